"""A reply that was changed on the way, or answers another payload, does not pass for sound."""

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.shared.reply_seal import ReplySeal
from siftfunnel.shared.rpc import split_inference_pb2 as pb

DIGEST = "00" * 31 + "ff"
SEAL = ReplySeal(DIGEST)
REPLY = pb.Reply(sequence=7, prediction=pb.Prediction(class_index=[1], score=[0.75])).SerializeToString()


def test_the_checksum_covers_digest_payload_and_reply_and_is_the_replys_last_field() -> None:
    sealed = SEAL.close(b"payload", REPLY)
    expected = google_crc32c.value(bytes.fromhex(DIGEST) + b"payload" + REPLY)
    assert sealed == REPLY + b"\x25" + expected.to_bytes(4, "little")
    assert pb.Reply.FromString(sealed).checksum == expected


def test_who_does_not_know_the_field_reads_the_reply_as_ever() -> None:
    read = pb.Reply.FromString(SEAL.close(b"payload", REPLY))
    read.ClearField("checksum")
    assert read == pb.Reply.FromString(REPLY)


@given(st.data(), st.binary(max_size=20), st.binary(max_size=20))
def test_no_flipped_bit_passes(data: st.DataObject, payload: bytes, reply: bytes) -> None:
    sealed = bytearray(SEAL.close(payload, reply))
    assert SEAL.fits(bytes(sealed), payload)
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    assert not SEAL.fits(bytes(sealed), payload)


@pytest.mark.parametrize("other", [b"", b"payloae", b"payload."])
def test_the_answer_to_another_payload_does_not_fit(other: bytes) -> None:
    assert not SEAL.fits(SEAL.close(other, REPLY), b"payload")


def test_the_answer_of_another_bundle_does_not_fit() -> None:
    assert not SEAL.fits(ReplySeal("11" * 32).close(b"payload", REPLY), b"payload")


@given(st.binary(max_size=64))
def test_bytes_that_nobody_sealed_do_not_fit(data: bytes) -> None:
    assert not SEAL.fits(data, b"payload")


def test_replies_and_serialised_replies_are_the_same_bytes() -> None:
    several = pb.Replies(replies=[pb.Reply.FromString(REPLY)] * 3).SerializeToString()
    assert list(pb.SerialisedReplies.FromString(several).replies) == [REPLY] * 3


@pytest.mark.parametrize("digest", ["", "ab", "AB" * 32])
def test_a_digest_that_is_none_is_refused(digest: str) -> None:
    with pytest.raises(ValueError, match="64 lower-case hex digits"):
        ReplySeal(digest)
