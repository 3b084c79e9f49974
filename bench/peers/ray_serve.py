"""Ray Serve: a proxy in front, a replica behind, dynamic batches, on a local cluster of one node."""

from siftfunnel.bench.peers.environment import Environment, same_onnxruntime
from siftfunnel.bench.peers.peer import Peer
from siftfunnel.bench.peers.script import running
from siftfunnel.bench.peers.wires import HttpBytes

RAY_SERVE = Peer(
    name="ray-serve",
    label="Ray Serve 2.60 (ONNX Runtime)",
    settings="RAY_SERVE_THROUGHPUT_OPTIMIZED, HTTP proxy, batches of at most 16, no batch wait, one replica, "
    "no dashboard, the whole cluster on the core",
    wire=HttpBytes("/predict"),
    environment=Environment("ray-serve", ("ray[serve]==2.60.0", same_onnxruntime())),
    command=running("ray_cloud_half.py"),
    variables={"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"},
)
