"""The checksum that ties a payload to its bundle and codec.

    payload = body || crc32c(digest_bytes || codec_index || body)

`digest_bytes` are the 32 bytes of the bundle's digest, `codec_index` is one byte, the checksum
is stored little endian. It catches corruption and a payload of another bundle or codec; it is
no signature: whoever knows the bundle can make one. The parts of a packed payload are sealed one by one, with
one byte more behind the codec's: the part's place, from 0. A codec that codes the checksum together with
its levels takes it over those instead (`siftfunnel.shared.wire.context_body`).
"""

import struct

import google_crc32c

from siftfunnel.shared.digests import is_digest
from siftfunnel.shared.wire.errors import CodecError

SEAL_BYTES = 4
CHECKSUM_DIFFERS = "checksum differs: the payload is damaged, or of another bundle or codec"
_SEAL = struct.Struct("<I")


class Seal:
    """Closes bodies into payloads, and opens payloads.

    Args:
        digest: the bundle's, 64 lower-case hex digits.
        codec_index: position in the manifest's list, 0 to 255.
        places: where a part of a packed payload stands; none for a whole one.

    Raises:
        ValueError: another form of digest, or an index or place that is not a byte.
    """

    def __init__(self, digest: str, codec_index: int, *places: int) -> None:
        if not is_digest(digest):
            raise ValueError(f"a digest is 64 lower-case hex digits, not {digest!r}")
        self._digest, self._places = digest, (codec_index, *places)
        self._prefix_crc = google_crc32c.value(bytes.fromhex(digest) + bytes([codec_index, *places]))

    def at(self, place: int) -> "Seal":
        """The seal of a part of a packed payload."""
        return Seal(self._digest, *self._places, place)

    def checksum(self, data: bytes) -> int:
        """The checksum over digest, codec index and data, 32 bits."""
        value: int = google_crc32c.extend(self._prefix_crc, data)
        return value

    def close(self, body: bytes) -> bytes:
        """Append the checksum."""
        return body + _SEAL.pack(self.checksum(body))

    def open(self, payload: bytes) -> bytes:
        """Take the checksum off and check it.

        Raises:
            CodecError: shorter than a checksum, or the checksum is another.
        """
        if len(payload) < SEAL_BYTES:
            raise CodecError(f"payload of {len(payload)} bytes is shorter than its checksum: truncated")
        body = payload[:-SEAL_BYTES]
        (stored,) = _SEAL.unpack(payload[-SEAL_BYTES:])
        if self.checksum(body) != stored:
            raise CodecError(CHECKSUM_DIFFERS)
        return body
