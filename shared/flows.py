"""Overheard messages as JSON lines: what a tap or a curious cloud writes down and replays.

One line holds one gRPC message of one connection:

    {"time_s": 12.5, "connection": "10.0.0.2:50412", "direction": "up",
     "method": "/siftfunnel.v1.SplitInference/Stream", "digest": null,
     "message_b64": "CAE=", "wire_bytes": 9}
"""

import base64
import binascii
import json
import math
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from siftfunnel.shared.digests import is_digest
from siftfunnel.shared.json_fields import FieldError, Fields, parse_object

Direction = Literal["up", "down"]


class FlowError(ValueError):
    """A line that is not a flow record; the text says which field and why."""


@dataclass(frozen=True)
class FlowRecord:
    """One overheard message.

    Attributes:
        time_s: when its last byte passed, seconds since the epoch.
        connection: names the call; equal for messages that shared it, for whom alone sequence numbers differ.
        direction: "up" is edge to cloud, "down" the way back.
        method: the gRPC path, or None where the header could not be read (joined late).
        digest: the bundle's digest from the call metadata, or None where unknown.
        message: the serialised `Frame` or `Frames` (up), `Reply` or `Replies` (down); the method says which.
        wire_bytes: TCP payload that carried it, HTTP/2 framing included.

    Raises:
        FlowError: a value outside its range.
    """

    time_s: float
    connection: str
    direction: Direction
    method: str | None
    digest: str | None
    message: bytes
    wire_bytes: int

    def __post_init__(self) -> None:
        if not math.isfinite(self.time_s):
            raise FlowError(f"time_s must be finite, not {self.time_s}")
        if self.direction not in get_args(Direction):
            raise FlowError(f"direction must be 'up' or 'down', not {self.direction!r}")
        if self.digest is not None and not is_digest(self.digest):
            raise FlowError(f"digest must be 64 lower-case hex digits or null, not {self.digest!r}")
        if self.wire_bytes < 0:
            raise FlowError(f"wire_bytes must not be negative, not {self.wire_bytes}")


def write_flow(record: FlowRecord) -> str:
    r"""One record as one line, newline included.

    >>> write_flow(FlowRecord(0.5, "c1", "up", None, None, b"\x08\x01", 7))
    '{"time_s": 0.5, "connection": "c1", "direction": "up", "method": null, "digest": null,
      "message_b64": "CAE=", "wire_bytes": 7}\n'      (in one line)
    """
    fields = asdict(record)
    message = fields.pop("message")
    wire_bytes = fields.pop("wire_bytes")
    fields["message_b64"] = base64.b64encode(message).decode("ascii")
    fields["wire_bytes"] = wire_bytes
    return json.dumps(fields) + "\n"


def read_flow(line: str) -> FlowRecord:
    """Parse one line; fields it does not know are ignored.

    Raises:
        FlowError: not JSON, or a field is missing or wrong; the text names it.
    """
    try:
        fields = Fields(parse_object(line, "flow"), "flow")
        return FlowRecord(
            time_s=fields.number("time_s"),
            connection=fields.string("connection"),
            direction=fields.text("direction"),  # type: ignore[arg-type]  # checked by FlowRecord
            method=fields.optional_text("method"),
            digest=fields.optional_text("digest"),
            message=_message(fields),
            wire_bytes=fields.integer("wire_bytes", 0, 2**62),
        )
    except FieldError as error:
        raise FlowError(str(error)) from None


def _message(fields: Fields) -> bytes:
    try:
        return base64.b64decode(fields.string("message_b64"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise fields.error("message_b64", f"is not base64 ({error})") from None
