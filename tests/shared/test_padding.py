"""Padding: every message of a class has its length, and whoever reads it passes over the zeros."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.shared.padding import REPLY_STEP, Padding, pad_reply, zeros_of
from siftfunnel.shared.reply_seal import ReplySeal
from siftfunnel.shared.rpc import split_inference_pb2 as pb

PADDINGS = st.one_of(st.none(), st.integers(1, 5000)).map(Padding)
FRAMES = st.builds(
    pb.Frame,
    sequence=st.integers(0, 2**64 - 1),
    codec=st.integers(0, 255),
    payload=st.binary(max_size=3000),
    budget_ms=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
)


@given(FRAMES, PADDINGS)
def test_a_padded_frame_has_the_length_of_its_class_and_says_the_same(
    frame: pb.Frame, padding: Padding
) -> None:
    before, size = pb.Frame(), frame.ByteSize()
    before.CopyFrom(frame)
    padding.pad(frame)
    data = frame.SerializeToString()
    assert len(data) == padding.length(size + 2)
    read = pb.Frame.FromString(data)
    assert read.padding
    read.ClearField("padding")
    assert read == before


@given(st.integers(0, 70_000))
def test_any_number_of_bytes_can_be_added(more: int) -> None:
    empty = pb.Frame(padding=[b""]).ByteSize()
    assert pb.Frame(padding=map(bytes, zeros_of(more))).ByteSize() == empty + more


@given(st.binary(max_size=50), st.binary(max_size=200))
def test_a_padded_reply_is_sealed_and_read_as_ever(payload: bytes, message: bytes) -> None:
    error = pb.FrameError(code=pb.FrameError.INTERNAL, message=message.hex())
    reply = pb.Reply(sequence=7, error=error)
    padded = pad_reply(reply.SerializeToString())
    assert len(padded) % REPLY_STEP == 0
    seal = ReplySeal("ab" * 32)
    sealed = seal.close(payload, padded)
    assert seal.fits(sealed, payload)
    assert pb.Reply.FromString(sealed).error == error


def test_padme_costs_at_most_an_eighth_and_leaves_few_lengths() -> None:
    lengths = [Padding().length(size) for size in range(1, 3000)]
    assert all(size <= padded <= 1.12 * size + 1 for size, padded in enumerate(lengths, 1))
    assert len(set(lengths)) < 150


@pytest.mark.parametrize("text", ["", "none", "-1", "0", "1.5", "9" * 30, "PADME"])
def test_what_is_no_padding_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="padded to"):
        Padding.parse(text)


def test_what_is_one_is_read() -> None:
    assert (Padding.parse("padme"), Padding.parse("512")) == (Padding(), Padding(512))
