"""Messages of one and of several frames: what round-trips, and what strangers send."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.cloud_server.messages import BadMessageError, Several, Single
from siftfunnel.shared.rpc import split_inference_pb2 as pb

FRAMES = st.lists(
    st.builds(
        pb.Frame,
        sequence=st.integers(0, 2**64 - 1),
        codec=st.integers(0, 2**32 - 1),
        payload=st.binary(max_size=300),
        budget_ms=st.none() | st.integers(0, 2**32 - 1),
    ),
    min_size=1,
    max_size=8,
)
REPLIES = st.lists(
    st.builds(
        pb.Reply,
        sequence=st.integers(0, 2**64 - 1),
        error=st.builds(pb.FrameError, message=st.text(max_size=400)),
    ),
    min_size=1,
    max_size=20,
)


@given(FRAMES)
def test_frames_come_out_as_they_went_in(frames: list[pb.Frame]) -> None:
    assert list(Several().frames(pb.Frames(frames=frames).SerializeToString(), window=8)) == frames


@given(REPLIES)
def test_joined_replies_are_what_protobuf_would_write(replies: list[pb.Reply]) -> None:
    joined = Several().join([reply.SerializeToString() for reply in replies])
    assert joined is not None
    message, count = joined
    assert count == len(replies)
    assert message == pb.Replies(replies=replies).SerializeToString()


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_a_bad_message(message: bytes) -> None:
    try:
        frames = Several().frames(message, window=4)
    except BadMessageError:
        return
    assert 1 <= len(frames) <= 4


def test_a_message_of_replies_stays_small() -> None:
    replies = [pb.Reply(sequence=n, error=pb.FrameError(message="x" * 30_000)) for n in range(4)]
    serialised = [reply.SerializeToString() for reply in replies]
    joined = Several().join(serialised)
    assert joined is not None
    message, count = joined
    assert (count, list(pb.Replies.FromString(message).replies)) == (2, replies[:2])
    big = pb.Reply(error=pb.FrameError(message="x" * 70_000)).SerializeToString()
    joined = Several().join([big, big])
    assert joined is not None
    assert joined[1] == 1


def test_replies_that_find_no_room_are_not_made_yet() -> None:
    made: list[int] = []

    def replies() -> Iterator[bytes]:
        for number in range(10):
            made.append(number)
            yield bytes(40_000)

    assert Several().join(replies()) is not None
    assert made == [0, 1]
    assert Several().join(iter(())) is None
    assert Single().join(iter(())) is None


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"\x08", "a message of 1 bytes is not a siftfunnel.v1.Frames"),
        (b"", "without a frame"),
        (pb.Frames(frames=[pb.Frame()] * 5).SerializeToString(), "a message of 5 frames, the window is 4"),
    ],
)
def test_a_bad_message_says_what_is_wrong(message: bytes, why: str) -> None:
    with pytest.raises(BadMessageError, match=why):
        Several().frames(message, window=4)


def test_a_single_frame_is_parsed_alone_and_sent_alone() -> None:
    frame = pb.Frame(sequence=3, payload=b"x")
    assert list(Single().frames(frame.SerializeToString(), window=1)) == [frame]
    assert Single().join([b"first", b"second"]) == (b"first", 1)
