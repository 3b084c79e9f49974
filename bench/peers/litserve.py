"""LitServe (Lightning): FastAPI in front, a worker process behind, dynamic batches."""

from siftfunnel.bench.peers.environment import Environment, same_onnxruntime
from siftfunnel.bench.peers.peer import Peer
from siftfunnel.bench.peers.script import running
from siftfunnel.bench.peers.wires import HttpBytes

LITSERVE = Peer(
    name="litserve",
    label="LitServe 0.2 (ONNX Runtime)",
    settings="batches of at most 16, 1 ms batch timeout, fast queue (ZeroMQ), one worker, one API server",
    wire=HttpBytes("/predict"),
    environment=Environment("litserve", ("litserve==0.2.19", same_onnxruntime())),
    command=running("litserve_cloud_half.py"),
)
