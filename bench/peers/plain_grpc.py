"""Plain gRPC, the floor: what anybody would write first, in our own environment."""

from siftfunnel.bench.peers.peer import Peer
from siftfunnel.bench.peers.script import running
from siftfunnel.bench.peers.wires import GrpcBytes

PLAIN_GRPC = Peer(
    name="plain-grpc",
    label="plain gRPC, the floor (grpc.aio, ONNX Runtime)",
    settings="the model runs in the handler, one frame at a time",
    wire=GrpcBytes("/plain.CloudHalf/Infer"),
    environment=None,
    command=running("plain_grpc_cloud_half.py"),
)
