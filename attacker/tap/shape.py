"""Telling a Frame or a Reply by its shape, for calls whose headers were not heard."""

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from attacker.tap.events import Direction, Kind
from shared.rpc import split_inference_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["SplitInference"].full_name
FRAME_METHODS = frozenset((f"/{SERVICE}/Infer", f"/{SERVICE}/Stream"))

# Body and CRC32C: nothing shorter than a checksum is a payload, and no manifest lists this many codecs.
_MIN_PAYLOAD_BYTES = 5
_MAX_CODECS = 256
_LONGEST_FIELD_NUMBER = 15


def kind_of(method: str | None, direction: Direction, message: bytes) -> Kind:
    """What a message is: from the method where it is known, else from its shape.

    >>> kind_of("/siftfunnel.v1.SplitInference/Stream", "down", b"")
    'reply'
    """
    if method is None:
        return recognise(direction, message)
    if method not in FRAME_METHODS:
        return "other"
    return "frame" if direction == "up" else "reply"


def recognise(direction: Direction, message: bytes) -> Kind:
    """What a message of unknown method is, by trying to read it."""
    if direction == "up":
        frame = pb.Frame()
        plausible = _parses(frame, message) and len(frame.payload) >= _MIN_PAYLOAD_BYTES
        return "frame" if plausible and frame.codec < _MAX_CODECS else "other"
    reply = pb.Reply()
    return "reply" if _parses(reply, message) and reply.WhichOneof("outcome") is not None else "other"


def _parses(into: Message, message: bytes) -> bool:
    try:
        into.ParseFromString(message)
    except DecodeError:
        return False
    return len(UnknownFieldSet(into)) == 0


def may_begin_message(payload: bytes, max_message_bytes: int) -> bool:
    """Whether a DATA payload begins like a gRPC message that holds a small protobuf message.

    Follows the message's top-level fields as far as the bytes at hand reach: their lengths must add up
    within the declared length, which foreign bytes do not.

    >>> may_begin_message(bytes.fromhex("0000000004" "0801" "1000"), 100)
    True
    """
    if len(payload) < 7 or payload[0] != 0:
        return False
    length = int.from_bytes(payload[1:5], "big")
    if not 2 <= length <= max_message_bytes:
        return False
    at, end = 5, 5 + length
    while at < min(end, len(payload)):
        tag = payload[at]
        if not 1 <= tag >> 3 <= _LONGEST_FIELD_NUMBER:
            return False
        after = _skip_field(payload, at + 1, tag & 7)
        if after is None:
            # The field is cut off by the end of this payload: nothing contradicts it yet.
            return end > len(payload)
        if after > end:
            return False
        at = after
    return True


def _skip_field(payload: bytes, at: int, wire_type: int) -> int | None:
    """The offset behind a field's value; None when it cannot be told, far beyond the end when invalid."""
    if wire_type in (1, 5):
        return at + (8 if wire_type == 1 else 4)
    if wire_type not in (0, 2):
        return 1 << 62
    value, shift = 0, 0
    while shift < 64:
        if at >= len(payload):
            return None
        value |= (payload[at] & 0x7F) << shift
        at += 1
        if payload[at - 1] < 0x80:
            return at + value if wire_type == 2 else at
        shift += 7
    return 1 << 62
