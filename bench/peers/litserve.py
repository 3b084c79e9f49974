"""LitServe (Lightning): FastAPI in front, a worker process behind, dynamic batches."""

from pathlib import Path

from bench.peers.environment import Environment, same_onnxruntime
from bench.peers.peer import Peer, Place
from bench.peers.wires import HttpBytes
from shared.bundle import Bundle

RUNTIME = Path(__file__).resolve().parent / "runtimes" / "litserve_cloud_half.py"


def command(bundle: Bundle, place: Place) -> list[str]:
    """All it needs to know is on its command line."""
    figures = (*bundle.manifest.feature.shape, place.ports[0])
    model = str(bundle.path("cloud.onnx").resolve())
    return [str(place.python), str(RUNTIME), model, *map(str, figures)]


LITSERVE = Peer(
    name="litserve",
    label="LitServe 0.2 (ONNX Runtime)",
    settings="batches of at most 16, 1 ms batch timeout, fast queue (ZeroMQ), one worker, one API server",
    wire=HttpBytes("/predict"),
    environment=Environment("litserve", ("litserve==0.2.19", same_onnxruntime())),
    command=command,
)
