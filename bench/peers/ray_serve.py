"""Ray Serve: a proxy in front, a replica behind, dynamic batches, on a local cluster of one node."""

from pathlib import Path

from bench.peers.environment import Environment, same_onnxruntime
from bench.peers.peer import Peer, Place
from bench.peers.wires import HttpBytes
from shared.bundle import Bundle

RUNTIME = Path(__file__).resolve().parent / "runtimes" / "ray_cloud_half.py"


def command(bundle: Bundle, place: Place) -> list[str]:
    """All it needs to know is on its command line."""
    figures = (*bundle.manifest.feature.shape, place.ports[0])
    model = str(bundle.path("cloud.onnx").resolve())
    return [str(place.python), str(RUNTIME), model, *map(str, figures)]


RAY_SERVE = Peer(
    name="ray-serve",
    label="Ray Serve 2.60 (ONNX Runtime)",
    settings="RAY_SERVE_THROUGHPUT_OPTIMIZED, batches of at most 16, no batch wait, one replica",
    wire=HttpBytes("/predict"),
    environment=Environment("ray-serve", ("ray[serve]==2.60.0", same_onnxruntime())),
    command=command,
    variables={"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"},
)
