"""Plain gRPC, the floor: what anybody would write first, in our own environment."""

from pathlib import Path

from bench.peers.peer import Peer, Place
from bench.peers.wires import GrpcBytes
from shared.bundle import Bundle

RUNTIME = Path(__file__).resolve().parent / "runtimes" / "plain_grpc_cloud_half.py"


def command(bundle: Bundle, place: Place) -> list[str]:
    """All it needs to know is on its command line."""
    figures = (*bundle.manifest.feature.shape, place.ports[0])
    model = str(bundle.path("cloud.onnx").resolve())
    return [str(place.python), str(RUNTIME), model, *map(str, figures)]


PLAIN_GRPC = Peer(
    name="plain-grpc",
    label="plain gRPC, the floor (grpc.aio, ONNX Runtime)",
    settings="the model runs in the handler, one frame at a time",
    wire=GrpcBytes("/plain.CloudHalf/Infer"),
    environment=None,
    command=command,
)
