"""The device: pictures -> edge half (ONNX Runtime) -> codec -> gRPC stream -> answers.

    from siftfunnel.edge_client import SplitClient

    with SplitClient("bundles/mine", "server:50051", codec="q4") as client:
        print(client.classify("cat.jpg").class_name)
        for outcome in client.stream(["a.jpg", "b.jpg"]):
            print(outcome.index, outcome)

`EdgeError` is the root of everything the client raises by itself; `siftfunnel.edge_client.errors` draws the
tree. Names are loaded when first used, so importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siftfunnel.edge_client.client import SplitClient as SplitClient
    from siftfunnel.edge_client.errors import BundleError as BundleError
    from siftfunnel.edge_client.errors import BundleMismatch as BundleMismatch
    from siftfunnel.edge_client.errors import CodecError as CodecError
    from siftfunnel.edge_client.errors import DeviceExhausted as DeviceExhausted
    from siftfunnel.edge_client.errors import EdgeError as EdgeError
    from siftfunnel.edge_client.errors import FrameFailed as FrameFailed
    from siftfunnel.edge_client.errors import ImageError as ImageError
    from siftfunnel.edge_client.errors import ModelError as ModelError
    from siftfunnel.edge_client.errors import OutputError as OutputError
    from siftfunnel.edge_client.errors import ServerRefused as ServerRefused
    from siftfunnel.edge_client.errors import ServerUnreachable as ServerUnreachable
    from siftfunnel.edge_client.errors import SourceError as SourceError
    from siftfunnel.edge_client.errors import SourceLost as SourceLost
    from siftfunnel.edge_client.errors import TlsFailure as TlsFailure
    from siftfunnel.edge_client.model import EdgeModel as EdgeModel
    from siftfunnel.edge_client.outcome import Answer as Answer
    from siftfunnel.edge_client.outcome import ClassScore as ClassScore
    from siftfunnel.edge_client.outcome import FrameFailure as FrameFailure
    from siftfunnel.edge_client.outcome import Outcome as Outcome
    from siftfunnel.edge_client.outcome import ServerTimings as ServerTimings
    from siftfunnel.edge_client.outcome import Superseded as Superseded
    from siftfunnel.edge_client.picture import Picture as Picture
    from siftfunnel.edge_client.settings import ClientSettings as ClientSettings
    from siftfunnel.edge_client.settings import ReconnectPolicy as ReconnectPolicy
    from siftfunnel.edge_client.settings import WindowPolicy as WindowPolicy
    from siftfunnel.edge_client.streaming import OutcomeStream as OutcomeStream
    from siftfunnel.edge_client.tensors import Outputs as Outputs
    from siftfunnel.shared.placement import Transform as Transform
    from siftfunnel.shared.tls import TlsError as TlsError
    from siftfunnel.shared.tls import TlsFiles as TlsFiles

    __version__: str

_NAMES = {
    "siftfunnel.edge_client.client": ("SplitClient",),
    "siftfunnel.edge_client.errors": (
        "BundleError",
        "BundleMismatch",
        "CodecError",
        "DeviceExhausted",
        "EdgeError",
        "FrameFailed",
        "ImageError",
        "ModelError",
        "OutputError",
        "ServerRefused",
        "ServerUnreachable",
        "SourceError",
        "SourceLost",
        "TlsFailure",
    ),
    "siftfunnel.edge_client.model": ("EdgeModel",),
    "siftfunnel.edge_client.outcome": (
        "Answer",
        "ClassScore",
        "FrameFailure",
        "Outcome",
        "ServerTimings",
        "Superseded",
    ),
    "siftfunnel.edge_client.picture": ("Picture",),
    "siftfunnel.edge_client.settings": ("ClientSettings", "ReconnectPolicy", "WindowPolicy"),
    "siftfunnel.edge_client.streaming": ("OutcomeStream",),
    "siftfunnel.edge_client.tensors": ("Outputs",),
    "siftfunnel.shared.placement": ("Transform",),
    "siftfunnel.shared.tls": ("TlsError", "TlsFiles"),
    "siftfunnel": ("__version__",),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
