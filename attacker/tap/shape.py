"""Reading messages: Frames and Replies, told by method, or by shape where no headers were heard."""

from dataclasses import dataclass

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

_KINDS: dict[Direction, tuple[Kind, Kind]] = {"up": ("frame", "frames"), "down": ("reply", "replies")}
_WHOLE: dict[Kind, type[Message]] = {
    "frame": pb.Frame,
    "frames": pb.Frames,
    "reply": pb.Reply,
    "replies": pb.Replies,
}


@dataclass(frozen=True, slots=True)
class Content:
    """A message read once: what it is, and the Frames or Replies in it.

    `parts` is empty for "other", and None where a method promised what the bytes do not hold.
    """

    kind: Kind
    parts: tuple[pb.Frame | pb.Reply, ...] | None = ()

    @property
    def first_frame(self) -> pb.Frame | None:
        """A Frame, to try bundles on; None where it holds none."""
        first = self.parts[0] if self.parts else None
        return first if isinstance(first, pb.Frame) else None


def read(method: str | None, direction: Direction, message: bytes) -> Content:
    """What a message is and holds: by its method where that is known, else by its shape.

    >>> read("/siftfunnel.v1.SplitInference/Stream", "down", b"").kind
    'reply'
    """
    if method is None:
        return _recognised(direction, message)
    if method not in FRAME_METHODS and method != BATCH_METHOD:
        return Content("other")
    kind = _KINDS[direction][method == BATCH_METHOD]
    whole = _WHOLE[kind]()
    try:
        whole.ParseFromString(message)
    except DecodeError:
        return Content(kind, None)
    return Content(kind, _parts(whole))


def _recognised(direction: Direction, message: bytes) -> Content:
    # Field 1 is a number in a Frame or Reply and a message in Frames or Replies: no bytes are both.
    for kind in _KINDS[direction]:
        whole = _WHOLE[kind]()
        try:
            whole.ParseFromString(message)
        except DecodeError:
            continue
        parts = _parts(whole)
        if parts and _all_known(whole) and all(map(_is_sound, parts)):
            return Content(kind, parts)
    return Content("other")


def _parts(whole: Message) -> tuple[pb.Frame | pb.Reply, ...]:
    if isinstance(whole, pb.Frames):
        return tuple(whole.frames)
    if isinstance(whole, pb.Replies):
        return tuple(whole.replies)
    assert isinstance(whole, pb.Frame | pb.Reply)
    return (whole,)


def _is_sound(part: pb.Frame | pb.Reply) -> bool:
    if isinstance(part, pb.Reply):
        return part.WhichOneof("outcome") is not None and _all_known(part)
    return len(part.payload) >= _MIN_PAYLOAD_BYTES and part.codec < _MAX_CODECS and _all_known(part)


def _all_known(message: Message) -> bool:
    return len(UnknownFieldSet(message)) == 0


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
