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
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from shared.digests import is_digest

Direction = Literal["up", "down"]


class FlowError(ValueError):
    """A line that is not a flow record; the text says which field and why."""


@dataclass(frozen=True)
class FlowRecord:
    """One overheard message.

    Attributes:
        time_s: when its last byte passed, seconds since the epoch.
        connection: names the connection; equal for messages that shared it.
        direction: "up" is edge to cloud, "down" the way back.
        method: the gRPC path, or None where the header could not be read (joined late).
        digest: the bundle's digest from the call metadata, or None where unknown.
        message: the serialised `Frame` (up) or `Reply` (down).
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


@dataclass(frozen=True)
class BadLine:
    """A line that a tolerant reader stepped over.

    Attributes:
        number: counted from 1.
        reason: which field is wrong and why.
    """

    number: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.reason}"


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
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FlowError(f"not JSON ({error})") from None
    if not isinstance(fields, dict):
        raise FlowError(f"expected a JSON object, not {type(fields).__name__}")
    time_s = _field(fields, "time_s", int, float)
    return FlowRecord(
        time_s=_as_float(time_s),
        connection=_field(fields, "connection", str),
        direction=_field(fields, "direction", str),
        method=_field(fields, "method", str, type(None)),
        digest=_field(fields, "digest", str, type(None)),
        message=_from_base64(_field(fields, "message_b64", str)),
        wire_bytes=_field(fields, "wire_bytes", int),
    )


def read_flows(lines: Iterable[str]) -> Iterator[FlowRecord | BadLine]:
    """Read many lines and go on after a bad one.

    Blank lines are skipped. A file that is still being written may end in half a line: that is
    a `BadLine` like any other, the caller decides whether to mind.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield read_flow(line)
        except FlowError as error:
            yield BadLine(number, str(error))


def _field(fields: dict[str, Any], name: str, *types: type) -> Any:
    if name not in fields:
        raise FlowError(f"{name} is missing")
    value = fields[name]
    # bool is an int to Python, but `true` is not a number of bytes
    if isinstance(value, bool) or not isinstance(value, types):
        wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in types)
        raise FlowError(f"{name} must be {wanted}, not {type(value).__name__}")
    return value


def _as_float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise FlowError("time_s is too large") from None


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FlowError(f"message_b64 is not base64 ({error})") from None
