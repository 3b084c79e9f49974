"""Telling messages by their shape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.attacker.tap.shape import BATCH_METHOD, Content, may_begin_message, read
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.attacker.service import DESCRIBE, INFER, STREAM, answer, payload

FRAMES = [
    pb.Frame(payload=payload(100)),
    pb.Frame(sequence=1 << 60, codec=7, payload=payload(70_000), budget_ms=250),
    pb.Frame(codec=1, payload=payload(5)),
]
REPLIES = [
    answer(FRAMES[1]),
    pb.Reply(error=pb.FrameError(code=pb.FrameError.UNKNOWN_CODEC, message="no codec 9")),
]


def kind_of(method: str | None, direction: str, message: bytes) -> str:
    return read(method, direction, message).kind


def recognise(direction: str, message: bytes) -> str:
    return kind_of(None, direction, message)


@pytest.mark.parametrize("frame", FRAMES)
def test_a_frame_is_recognised_on_its_way_up_only(frame: pb.Frame) -> None:
    message = frame.SerializeToString()
    assert recognise("up", message) == "frame"
    assert recognise("down", message) == "other"


@pytest.mark.parametrize("reply", REPLIES)
def test_a_reply_is_recognised(reply: pb.Reply) -> None:
    assert recognise("down", reply.SerializeToString()) == "reply"


@pytest.mark.parametrize(
    "message",
    [b"", pb.DescribeReply(server_version="1", window=8).SerializeToString(), b"\xff" * 40, bytes(40)],
)
def test_other_messages_are_neither(message: bytes) -> None:
    assert recognise("up", message) == "other"
    assert recognise("down", message) == "other"


def test_a_known_method_decides() -> None:
    assert [kind_of(method, "up", b"") for method in (STREAM, INFER, DESCRIBE)] == ["frame", "frame", "other"]
    assert [kind_of(method, "down", b"") for method in (STREAM, INFER, DESCRIBE)] == [
        "reply",
        "reply",
        "other",
    ]


@pytest.mark.parametrize("message", FRAMES + REPLIES)
def test_a_message_may_begin_wherever_it_is_cut(message: pb.Frame | pb.Reply) -> None:
    body = message.SerializeToString()
    whole = b"\0" + len(body).to_bytes(4, "big") + body
    assert all(may_begin_message(whole[:size], 1 << 20) for size in range(7, min(len(whole), 300)))
    assert may_begin_message(whole + whole, 1 << 20)
    assert not may_begin_message(whole[:6], 1 << 20)
    assert not may_begin_message(whole, len(body) - 1)


@pytest.mark.parametrize("size", [7, 100, 10_000])
def test_runs_of_one_byte_are_no_message(size: int) -> None:
    assert not any(may_begin_message(bytes([value]) * size, 1 << 23) for value in range(256))


@given(st.binary(max_size=300))
def test_any_bytes_get_an_answer(data: bytes) -> None:
    assert may_begin_message(data, 1 << 20) in (True, False)
    assert recognise("up", data) in ("frame", "frames", "other")
    assert recognise("down", data) in ("reply", "replies", "other")


def test_several_in_one_message_are_recognised_and_taken_apart() -> None:
    up = pb.Frames(frames=FRAMES).SerializeToString()
    down = pb.Replies(replies=REPLIES).SerializeToString()
    assert (recognise("up", up), recognise("down", down)) == ("frames", "replies")
    assert (recognise("down", up), recognise("up", down)) == ("other", "other")
    assert (kind_of(BATCH_METHOD, "up", b""), kind_of(BATCH_METHOD, "down", b"")) == ("frames", "replies")
    for method in (None, BATCH_METHOD):
        assert read(method, "up", up) == Content("frames", tuple(FRAMES))
        assert read(method, "down", down) == Content("replies", tuple(REPLIES))
    assert read(None, "up", up).first_frame == FRAMES[0]
    assert read(None, "down", down).first_frame is None
    assert read(BATCH_METHOD, "up", b"").first_frame is None


def test_a_message_that_is_not_what_its_method_says_has_no_parts() -> None:
    for method in (STREAM, BATCH_METHOD):
        content = read(method, "up", b"\xff")
        assert (content.parts, content.first_frame) == (None, None)
