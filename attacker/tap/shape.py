"""Telling a Frame or a Reply, or several, by shape, for calls whose headers were not heard."""

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from siftfunnel.attacker.tap.events import Direction, Kind
from siftfunnel.attacker.tap.inflate import may_begin_compressed
from siftfunnel.shared.rpc import split_inference_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["SplitInference"].full_name
FRAME_METHODS = frozenset((f"/{SERVICE}/Infer", f"/{SERVICE}/Stream"))
BATCH_METHOD = f"/{SERVICE}/StreamBatches"

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
    if method == BATCH_METHOD:
        return "frames" if direction == "up" else "replies"
    if method not in FRAME_METHODS:
        return "other"
    return "frame" if direction == "up" else "reply"


def recognise(direction: Direction, message: bytes) -> Kind:
    """What a message of unknown method is, by trying to read it."""
    # Field 1 is a number in a Frame or Reply and a message in Frames or Replies: no bytes are both.
    if direction == "up":
        frame, frames = pb.Frame(), pb.Frames()
        if _parses(frame, message) and _plausible(frame):
            return "frame"
        whole = _parses(frames, message) and len(frames.frames) > 0
        return "frames" if whole and all(_is_sound(frame) for frame in frames.frames) else "other"
    reply, replies = pb.Reply(), pb.Replies()
    if _parses(reply, message) and reply.WhichOneof("outcome") is not None:
        return "reply"
    whole = _parses(replies, message) and len(replies.replies) > 0
    answers = all(r.WhichOneof("outcome") is not None and _all_known(r) for r in replies.replies)
    return "replies" if whole and answers else "other"


def split(kind: Kind, message: bytes) -> list[bytes]:
    """The serialised Frames or Replies in a message of that kind; of another kind, the message itself.

    Raises:
        DecodeError: it is not what it is said to be.
    """
    if kind == "frames":
        return [frame.SerializeToString() for frame in pb.Frames.FromString(message).frames]
    if kind == "replies":
        return [reply.SerializeToString() for reply in pb.Replies.FromString(message).replies]
    return [message]


def first_frame(kind: Kind, message: bytes) -> bytes | None:
    """A serialised Frame out of a message of that kind, to try bundles on; None where it holds none."""
    if kind == "frame":
        return message
    if kind != "frames":
        return None
    try:
        return next(iter(split(kind, message)), None)
    except DecodeError:
        return None


def _is_sound(frame: pb.Frame) -> bool:
    return _plausible(frame) and _all_known(frame)


def _plausible(frame: pb.Frame) -> bool:
    return len(frame.payload) >= _MIN_PAYLOAD_BYTES and frame.codec < _MAX_CODECS


def _all_known(message: Message) -> bool:
    return len(UnknownFieldSet(message)) == 0


def _parses(into: Message, message: bytes) -> bool:
    try:
        into.ParseFromString(message)
    except DecodeError:
        return False
    return _all_known(into)


def may_begin_message(payload: bytes, max_message_bytes: int) -> bool:
    """Whether a DATA payload begins like a gRPC message that holds a small protobuf message.

    Of a compressed one only the beginning can be told. Of others it
    follows the message's top-level fields as far as the bytes at hand reach: their lengths must add up
    within the declared length, which foreign bytes do not.

    >>> may_begin_message(bytes.fromhex("0000000004" "0801" "1000"), 100)
    True
    """
    if len(payload) < 7 or payload[0] > 1:
        return False
    length = int.from_bytes(payload[1:5], "big")
    if not 2 <= length <= max_message_bytes:
        return False
    if payload[0] == 1:
        return may_begin_compressed(payload[5:7])
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
