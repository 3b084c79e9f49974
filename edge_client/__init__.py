"""The device: pictures -> edge half (ONNX Runtime) -> codec -> gRPC stream -> answers.

    from edge_client import SplitClient

    with SplitClient("bundles/mine", "server:50051", codec="q4") as client:
        print(client.classify("cat.jpg").class_name)
        for outcome in client.stream(["a.jpg", "b.jpg"]):
            print(outcome)

`EdgeError` is the root of everything the client raises by itself; `edge_client.errors` draws the tree.
Names are loaded when first used, so importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Before anything loads ONNX Runtime: it keeps that from phoning home.
import shared as shared

if TYPE_CHECKING:
    from edge_client.client import SplitClient as SplitClient
    from edge_client.errors import EdgeError as EdgeError
    from edge_client.model import EdgeModel as EdgeModel
    from edge_client.outcome import Answer as Answer
    from edge_client.outcome import FrameFailure as FrameFailure

_HOMES = {
    "Answer": "edge_client.outcome",
    "EdgeError": "edge_client.errors",
    "EdgeModel": "edge_client.model",
    "FrameFailure": "edge_client.outcome",
    "SplitClient": "edge_client.client",
}

__all__ = ["Answer", "EdgeError", "EdgeModel", "FrameFailure", "SplitClient"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
