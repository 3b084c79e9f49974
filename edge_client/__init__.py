"""The device: pictures -> edge half (ONNX Runtime) -> codec -> gRPC stream -> answers.

    from edge_client import SplitClient

    with SplitClient("bundles/mine", "server:50051", codec="q4") as client:
        print(client.classify("cat.jpg").class_name)
        for outcome in client.stream(["a.jpg", "b.jpg"]):
            print(outcome.index, outcome)

`EdgeError` is the root of everything the client raises by itself; `edge_client.errors` draws the tree.
Names are loaded when first used, so importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Before anything loads ONNX Runtime: it keeps that from phoning home.
import shared as shared

if TYPE_CHECKING:
    from edge_client.client import ClientSettings as ClientSettings
    from edge_client.client import SplitClient as SplitClient
    from edge_client.errors import BundleError as BundleError
    from edge_client.errors import BundleMismatch as BundleMismatch
    from edge_client.errors import CodecError as CodecError
    from edge_client.errors import DeviceExhausted as DeviceExhausted
    from edge_client.errors import EdgeError as EdgeError
    from edge_client.errors import FrameFailed as FrameFailed
    from edge_client.errors import ImageError as ImageError
    from edge_client.errors import ModelError as ModelError
    from edge_client.errors import ServerRefused as ServerRefused
    from edge_client.errors import ServerUnreachable as ServerUnreachable
    from edge_client.errors import SourceError as SourceError
    from edge_client.errors import SourceLost as SourceLost
    from edge_client.errors import TlsFailure as TlsFailure
    from edge_client.model import EdgeModel as EdgeModel
    from edge_client.outcome import Answer as Answer
    from edge_client.outcome import ClassScore as ClassScore
    from edge_client.outcome import FrameFailure as FrameFailure
    from edge_client.outcome import Outcome as Outcome
    from edge_client.outcome import ServerTimings as ServerTimings
    from edge_client.outcome import Superseded as Superseded
    from edge_client.picture import Picture as Picture
    from edge_client.reconnection import ReconnectPolicy as ReconnectPolicy
    from edge_client.streaming import OutcomeStream as OutcomeStream
    from edge_client.window import WindowPolicy as WindowPolicy
    from shared.tls import TlsError as TlsError
    from shared.tls import TlsFiles as TlsFiles

    __version__: str

_NAMES = {
    "edge_client.client": ("ClientSettings", "SplitClient"),
    "edge_client.errors": (
        "BundleError",
        "BundleMismatch",
        "CodecError",
        "DeviceExhausted",
        "EdgeError",
        "FrameFailed",
        "ImageError",
        "ModelError",
        "ServerRefused",
        "ServerUnreachable",
        "SourceError",
        "SourceLost",
        "TlsFailure",
    ),
    "edge_client.model": ("EdgeModel",),
    "edge_client.outcome": (
        "Answer",
        "ClassScore",
        "FrameFailure",
        "Outcome",
        "ServerTimings",
        "Superseded",
    ),
    "edge_client.picture": ("Picture",),
    "edge_client.reconnection": ("ReconnectPolicy",),
    "edge_client.streaming": ("OutcomeStream",),
    "edge_client.window": ("WindowPolicy",),
    "shared.tls": ("TlsError", "TlsFiles"),
    "shared.version": ("__version__",),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
