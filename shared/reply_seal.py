"""The checksum that ties a reply to the payload it answers.

    sealed reply = reply || tag || crc32c(digest_bytes || payload || reply)

`reply` is a serialised `Reply`; tag and checksum (little endian) are its field `checksum`. A client that does
not know the field reads the reply as ever. The checksum finds a bit that flipped on the way, up or down: a
payload that arrived as another one, or a sequence that became another frame's. It is no signature.
"""

import struct

import google_crc32c

from siftfunnel.shared.digests import is_digest
from siftfunnel.shared.rpc import split_inference_pb2 as pb

_FIXED32 = 5
_FIELD = struct.Struct("<BI")
_TAG = pb.Reply.CHECKSUM_FIELD_NUMBER << 3 | _FIXED32


class ReplySeal:
    """Seals and checks the replies about one bundle.

    Args:
        digest: the bundle's, 64 lower-case hex digits.

    Raises:
        ValueError: another form of digest.

    Example:
        >>> seal = ReplySeal("ab" * 32)
        >>> sealed = seal.close(b"payload", pb.Reply(sequence=7).SerializeToString())
        >>> seal.fits(sealed, b"payload"), seal.fits(sealed, b"another")
        (True, False)
    """

    def __init__(self, digest: str) -> None:
        if not is_digest(digest):
            raise ValueError(f"a digest is 64 lower-case hex digits, not {digest!r}")
        self._digest_crc: int = google_crc32c.value(bytes.fromhex(digest))

    def begin(self, payload: bytes) -> int:
        """The checksum over digest and payload, for `seal`: what is kept of a payload that is not."""
        value: int = google_crc32c.extend(self._digest_crc, payload)
        return value

    def close(self, payload: bytes, reply: bytes) -> bytes:
        """A serialised reply with its checksum."""
        return seal(self.begin(payload), reply)

    def fits(self, sealed: bytes, payload: bytes) -> bool:
        """Whether a sealed reply is undamaged and answers this payload."""
        reply = sealed[: -_FIELD.size]
        return sealed == self.close(payload, reply)


def seal(begun: int, reply: bytes) -> bytes:
    """A serialised reply with its checksum, from what `ReplySeal.begin` made of the payload."""
    return reply + _FIELD.pack(_TAG, google_crc32c.extend(begun, reply))
