"""What each gRPC status means for a stream or a single call."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from siftfunnel.edge_client.errors import BundleMismatch, EdgeError, ServerRefused
from siftfunnel.edge_client.troubles import trouble_of


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


def status_error(status: str, details: str, server: str, *, opened: bool = True) -> EdgeError | None:
    """The error that ends the stream for this status, or None where a new connection may help.

    Args:
        status: name of the gRPC status, for example "UNAVAILABLE".
        details: the text that came with it.
        server: the address dialled, for the message.
        opened: whether the stream was open, or the connection had worked; before that no frame can be what
            the server objects to, and afterwards certificates may just be being renewed.
    """
    trouble = None if opened or status != "UNAVAILABLE" else trouble_of(details)
    if trouble is not None and trouble.final:
        return trouble.error(server, details)
    kind = STATUS.get(status, Remedy.RECONNECT)
    if status == "INVALID_ARGUMENT" and not opened:
        kind = ServerRefused
    if isinstance(kind, Remedy):
        return None
    if kind is BundleMismatch:
        return BundleMismatch(f"{server} does not serve this device's bundle: {details}")
    return kind(f"{server} refused the call with {status}: {details or 'no reason given'}")


def suspects_a_frame(status: str) -> bool:
    """Whether a call that ended with this status may have ended because of one frame in it."""
    return STATUS.get(status) is Remedy.ISOLATE
