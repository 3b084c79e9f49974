"""What one gRPC message of a stream holds: one frame and one reply, or several of each.

Replies are joined as bytes: a serialised `Replies` is its replies one after the other, each behind its field
tag and length.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from google.protobuf.message import DecodeError

from siftfunnel.shared.rpc import split_inference_pb2 as pb

_REPLIES_TAG = bytes([pb.Replies.REPLIES_FIELD_NUMBER << 3 | 2])
_MOST_REPLY_BYTES = 64 * 1024


class BadMessageError(ValueError):
    """A message that holds no frames that could be replied to, so the call ends."""


class TooLargeMessageError(BadMessageError):
    """A message that is larger than this server takes."""


def check_size(message: bytes, most: int) -> None:
    """Hold a message to what was told: gRPC's own ceiling leaves room for requests of other protocols.

    Raises:
        TooLargeMessageError: it is larger; the text is gRPC's.
    """
    if len(message) > most:
        raise TooLargeMessageError(f"Received message larger than max ({len(message)} vs. {most})")


class Messages(Protocol):
    """How frames and replies are laid into messages."""

    def frames(self, message: bytes, window: int) -> Sequence[pb.Frame]:
        """The frames of a message that came off the wire.

        Args:
            message: serialised.
            window: most frames that one message may hold.

        Raises:
            BadMessageError: not such a message.
        """

    def join(self, replies: Iterable[bytes]) -> tuple[bytes, int] | None:
        """A message with the first of some serialised replies, and how many it took; None of none."""


class Single:
    """`Stream`: a `Frame` up, a `Reply` down."""

    def frames(self, message: bytes, window: int) -> Sequence[pb.Frame]:
        """See `Messages`."""
        return (parse_frame(message),)

    def join(self, replies: Iterable[bytes]) -> tuple[bytes, int] | None:
        """See `Messages`."""
        return next(((reply, 1) for reply in replies), None)


class Several:
    """`StreamBatches`: `Frames` up, `Replies` down."""

    def frames(self, message: bytes, window: int) -> Sequence[pb.Frame]:
        """See `Messages`."""
        try:
            frames: Sequence[pb.Frame] = pb.Frames.FromString(message).frames
        except DecodeError:
            raise BadMessageError(
                f"a message of {len(message)} bytes is not a siftfunnel.v1.Frames"
            ) from None
        if not frames:
            raise BadMessageError("a siftfunnel.v1.Frames without a frame; send at least one per message")
        if len(frames) > window:
            raise BadMessageError(
                f"a message of {len(frames)} frames, the window is {window}; send fewer per message"
            )
        return frames

    def join(self, replies: Iterable[bytes]) -> tuple[bytes, int] | None:
        """See `Messages`; a message of several stays near 64 KiB, which every client takes."""
        parts: list[bytes] = []
        taken = byte_count = 0
        for reply in replies:
            byte_count += len(reply)
            if taken and byte_count > _MOST_REPLY_BYTES:
                break
            parts += (_REPLIES_TAG, _varint(len(reply)), reply)
            taken += 1
        return (b"".join(parts), taken) if taken else None


def parse_frame(message: bytes) -> pb.Frame:
    """Parse a message of `Infer` or `Stream`.

    Raises:
        BadMessageError: not a `Frame`.
    """
    try:
        return pb.Frame.FromString(message)
    except DecodeError:
        raise BadMessageError(f"a message of {len(message)} bytes is not a siftfunnel.v1.Frame") from None


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    octets = bytearray()
    while number >= 0x80:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)
