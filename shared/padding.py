"""Frames and replies made as long as others, so that their length tells less to who cannot read them.

A padded message has the field `padding`, one value of zeros or two, which whoever reads it passes over. It is
for calls over TLS: without, the payload's own length can be read. A frame that is padded asks for padded
replies, in steps of `REPLY_STEP` bytes.
"""

from dataclasses import dataclass

from siftfunnel.shared.rpc import split_inference_pb2 as pb

REPLY_STEP = 64
MOST_STEP = 1 << 22
PADME = "padme"
_EMPTY_BYTES = 2
"""Of a value without zeros: the field's tag and the length."""
_TAG = pb.Reply.PADDING_FIELD_NUMBER << 3 | 2


@dataclass(frozen=True)
class Padding:
    """To which lengths messages are padded.

    Attributes:
        step: to the next multiple of so many bytes; None: to a number with few significant bits, at most 12 %
            more (PADMÉ, Nikitin et al., PETS 2019).

    Raises:
        ValueError: a step out of range.
    """

    step: int | None = None

    def __post_init__(self) -> None:
        if self.step is not None and not 1 <= self.step <= MOST_STEP:
            raise ValueError(f"messages are padded to multiples of 1 to {MOST_STEP} bytes, not {self.step}")

    @classmethod
    def parse(cls, text: str) -> "Padding":
        """Read `padme` or a number of bytes.

        Raises:
            ValueError: neither.
        """
        if text == PADME:
            return cls()
        if not (text.isascii() and text.isdigit() and len(text) < 9):
            raise ValueError(
                f"messages are padded to {PADME} or to multiples of a number of bytes, not {text!r}"
            )
        return cls(int(text))

    def length(self, length: int) -> int:
        """The length to which one is padded.

        >>> [Padding().length(length) for length in (9, 80, 81, 1000)], Padding(32).length(33)
        ([10, 80, 88, 1024], 64)
        """
        if self.step is not None:
            return -(-length // self.step) * self.step
        if length < 2:
            return length
        exponent = length.bit_length() - 1
        # PADMÉ: as many bits stay significant as the exponent takes to write down
        mask = (1 << max(exponent - exponent.bit_length(), 0)) - 1
        return (length + mask) & ~mask

    def pad(self, frame: pb.Frame) -> None:
        """Give a frame's message its length."""
        size = frame.ByteSize() + _EMPTY_BYTES
        frame.padding.extend(map(bytes, zeros_of(self.length(size) - size)))


def pad_reply(reply: bytes) -> bytes:
    """A serialised reply with padding; the seal comes behind it.

    >>> len(pad_reply(bytes(10))), len(pad_reply(bytes(62))), len(pad_reply(bytes(63)))
    (64, 64, 128)
    """
    size = len(reply) + _EMPTY_BYTES
    lengths = zeros_of(Padding(REPLY_STEP).length(size) - size)
    return reply + b"".join(bytes((_TAG,)) + _varint(length) + bytes(length) for length in lengths)


def zeros_of(more_bytes: int) -> list[int]:
    """Lengths of values that take so many bytes more than one without zeros.

    >>> zeros_of(127), zeros_of(128), zeros_of(129)
    ([127], [126, 0], [128])
    """
    for length_bytes in range(1, 5):
        zeros = more_bytes - (length_bytes - 1)
        if zeros >= 0 and len(_varint(zeros)) == length_bytes:
            return [zeros]
    return [*zeros_of(more_bytes - _EMPTY_BYTES), 0]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
