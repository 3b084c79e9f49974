import google_crc32c
import pytest

from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.seal import Seal

DIGEST = "00" * 31 + "ff"


def test_the_checksum_covers_digest_codec_and_body_and_stands_last_little_endian():
    checked = bytes.fromhex(DIGEST) + b"\x07" + b"body"
    expected = google_crc32c.value(checked).to_bytes(4, "little")
    assert Seal(DIGEST, 7).close(b"body") == b"body" + expected


def test_crc32c_is_castagnolis():
    assert google_crc32c.value(b"123456789") == 0xE3069283


def test_an_empty_body_can_be_sealed():
    seal = Seal(DIGEST, 0)
    assert seal.open(seal.close(b"")) == b""


@pytest.mark.parametrize("payload", [b"", b"abc"])
def test_a_payload_shorter_than_a_checksum_is_truncated(payload):
    with pytest.raises(CodecError, match=f"payload of {len(payload)} bytes is shorter than its checksum"):
        Seal(DIGEST, 0).open(payload)


def test_another_digest_or_codec_is_refused():
    payload = Seal(DIGEST, 1).close(b"body")
    for other in (Seal(DIGEST, 2), Seal("11" * 32, 1)):
        with pytest.raises(CodecError, match="checksum differs"):
            other.open(payload)


@pytest.mark.parametrize("digest", ["", "ab", "AB" * 32, "xy" * 32, "ab" * 33])
def test_a_digest_that_is_none_is_refused(digest):
    with pytest.raises(ValueError, match="64 lower-case hex digits"):
        Seal(digest, 0)
