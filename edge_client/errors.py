"""What can go wrong at the device's boundary, and what each gRPC status means for the stream.

    EdgeError
    ├── ModelError              the edge half, or one of its stages, cannot be used
    ├── SourceError             the place the pictures come from cannot be used
    ├── SourceLost              a camera or stream stopped and did not come back
    ├── ServerUnreachable       nobody answers at the address, or not any more
    │   └── TlsFailure          somebody answers, but no trusted connection comes about
    ├── ServerRefused           the server answers and will not serve this client
    │   └── BundleMismatch      it serves another bundle than this device carries
    └── FrameFailed             `classify` got a `FrameFailure` for its picture

A picture that does not decode is `shared.preprocess.ImageError`, a bundle that cannot be
trusted `shared.bundle.BundleError`, an unknown codec `shared.wire.CodecError`.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_client.outcome import FrameFailure


class EdgeError(Exception):
    """Anything the device's client raises about itself or its server."""


class ModelError(EdgeError):
    """The edge half does not load, does not fit its manifest, or fails on a tensor."""


class SourceError(EdgeError, ValueError):
    """A directory, video, camera or list of paths that gives no pictures."""


class SourceLost(EdgeError):
    """A camera or network stream that gave pictures, stopped, and did not come back in time."""


class ServerUnreachable(EdgeError):
    """No connection to the server within the connect timeout."""


class TlsFailure(ServerUnreachable):
    """The TLS handshake fails; trying again does not help."""


class ServerRefused(EdgeError):
    """The server turns the call down for a reason that trying again does not change."""


class BundleMismatch(ServerRefused):
    """Device and server carry different bundles; the text holds both digests."""


class FrameFailed(EdgeError):
    """The picture handed to `classify` ended in an error.

    Attributes:
        failure: the outcome, with its code and message.
    """

    def __init__(self, failure: "FrameFailure") -> None:
        super().__init__(f"{failure.source}: {failure.code}, {failure.message}")
        self.failure = failure


class Remedy(Enum):
    """What the stream does after a call ended with a status it did not ask for.

    RECONNECT sends everything unanswered again over a new connection. ISOLATE does so one frame
    at a time, because a single frame may be what ends the call: a frame that keeps doing so gets
    a typed error instead of blocking the others for ever.
    """

    RECONNECT = "reconnect"
    ISOLATE = "isolate"


STATUS: Mapping[str, Remedy | type[EdgeError]] = MappingProxyType(
    {
        "OK": Remedy.RECONNECT,
        "CANCELLED": Remedy.RECONNECT,
        "UNAVAILABLE": Remedy.RECONNECT,
        "ABORTED": Remedy.RECONNECT,
        "DEADLINE_EXCEEDED": Remedy.RECONNECT,
        "UNKNOWN": Remedy.ISOLATE,
        "INTERNAL": Remedy.ISOLATE,
        "RESOURCE_EXHAUSTED": Remedy.ISOLATE,
        "INVALID_ARGUMENT": Remedy.ISOLATE,
        "OUT_OF_RANGE": Remedy.ISOLATE,
        "DATA_LOSS": Remedy.ISOLATE,
        "FAILED_PRECONDITION": BundleMismatch,
        "UNAUTHENTICATED": ServerRefused,
        "PERMISSION_DENIED": ServerRefused,
        "UNIMPLEMENTED": ServerRefused,
        "NOT_FOUND": ServerRefused,
        "ALREADY_EXISTS": ServerRefused,
    }
)
"""gRPC status of a call that ended -> what the stream does, or the error that ends it."""

_TLS_SIGNS = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification", "Peer name", "WRONG_VERSION_NUMBER")


def status_error(status: str, details: str, server: str, *, opened: bool = True) -> EdgeError | None:
    """The error that ends the stream for this status, or None where a new connection may help.

    Args:
        status: name of the gRPC status, for example "UNAVAILABLE".
        details: the text that came with it.
        server: the address dialled, for the message.
        opened: whether the stream was open; before that no frame can be what the server objects to.
    """
    if status == "UNAVAILABLE" and any(sign in details for sign in _TLS_SIGNS):
        return TlsFailure(
            f"no trusted connection to {server}: {details}. Check --tls-ca (the authority that signed the "
            "server's certificate), --tls-name (the name in it), and that the server speaks TLS"
        )
    kind = STATUS.get(status, Remedy.RECONNECT)
    if status == "INVALID_ARGUMENT" and not opened:
        kind = ServerRefused
    if isinstance(kind, Remedy):
        return None
    if kind is BundleMismatch:
        return BundleMismatch(f"{server} does not serve this device's bundle: {details}")
    return kind(f"{server} refused the call with {status}: {details or 'no reason given'}")


_PLAIN_TO_TLS_SIGNS = ("Socket closed", "Connection reset", "Broken pipe", "Endpoint closing")


def unreachable(server: str, last: str, *, was_connected: bool, over_tls: bool) -> ServerUnreachable:
    """The error after the connect timeout, with what to do about it.

    Args:
        server: the address dialled.
        last: status and text of the last attempt.
        was_connected: whether there was a connection before.
        over_tls: whether TLS was spoken.
    """
    if was_connected:
        text = f"lost the server at {server} and could not get it back"
    elif not over_tls and any(sign in last for sign in _PLAIN_TO_TLS_SIGNS):
        text = f"something at {server} hangs up; if it is a server that wants TLS, give --tls-ca or --tls"
    else:
        text = f"no server at {server}; is `siftfunnel cloud` running there?"
    return ServerUnreachable(f"{text} ({last})")


def suspects_a_frame(status: str) -> bool:
    """Whether a call that ended with this status may have ended because of one frame in it."""
    return STATUS.get(status) is Remedy.ISOLATE
