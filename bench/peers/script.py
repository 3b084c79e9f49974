"""Command lines of runtimes that take the model, the feature's shape and one port."""

from collections.abc import Callable
from pathlib import Path

from siftfunnel.bench.peers.peer import Place
from siftfunnel.shared.bundle import Bundle

_RUNTIMES = Path(__file__).resolve().parent / "runtimes"


def running(runtime: str) -> Callable[[Bundle, Place], list[str]]:
    """The command of a file in ``runtimes``: MODEL CHANNELS HEIGHT WIDTH PORT."""

    def command(bundle: Bundle, place: Place) -> list[str]:
        figures = (*bundle.manifest.feature.shape, place.ports[0])
        model = str(bundle.path("cloud.onnx").resolve())
        return [str(place.python), str(_RUNTIMES / runtime), model, *map(str, figures)]

    return command
