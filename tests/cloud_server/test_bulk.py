"""`StreamBatches` on a real server: the promises of `Stream`, several frames at a time."""

import grpc
import pytest

from siftfunnel.cloud_server.lane import Lane
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.cloud_server.conftest import Frames, Serve, damaged, metadata


async def collect(call: grpc.aio.StreamStreamCall) -> list[pb.Reply]:
    return [reply async for message in call for reply in message.replies]


@pytest.mark.parametrize("group", [1, 3, 8])
async def test_every_frame_has_one_reply_in_the_order_of_the_frames(
    serve: Serve, bundle: Bundle, frames: Frames, group: int
) -> None:
    sent = [frames.frame(number) for number in range(24)]
    grouped = [pb.Frames(frames=sent[at : at + group]) for at in range(0, 24, group)]
    async with serve(window_frames=8) as (server, stub):
        call = stub.StreamBatches(iter(grouped), metadata=metadata(bundle))
        replies = await collect(call)
        told = {key: value for key, value in await call.initial_metadata()}
        assert told["siftfunnel-message-bytes"] == str(server.catalogue.max_message_bytes)
    assert [reply.sequence for reply in replies] == list(range(24))
    assert [reply.prediction.class_index[0] for reply in replies] == [
        frames.right_class(n) for n in range(24)
    ]


async def test_a_bad_frame_costs_itself_only(serve: Serve, bundle: Bundle, frames: Frames) -> None:
    unknown = pb.Frame(sequence=2, codec=99, payload=b"payload")
    late = frames.frame(3, budget_ms=0)
    message = pb.Frames(frames=[frames.frame(0), damaged(frames.frame(1)), unknown, late, frames.frame(4)])
    async with serve() as (_, stub):
        replies = await collect(stub.StreamBatches(iter([message]), metadata=metadata(bundle)))
    assert [reply.sequence for reply in replies] == [0, 1, 2, 3, 4]
    code = pb.FrameError
    assert [reply.error.code for reply in replies] == [
        *(0, code.INVALID_PAYLOAD, code.UNKNOWN_CODEC, code.BUDGET_EXCEEDED, 0)
    ]


@pytest.mark.parametrize("count", [0, 5])
async def test_a_message_of_no_or_too_many_frames_ends_the_call_after_the_answers_before_it(
    serve: Serve, bundle: Bundle, frames: Frames, count: int
) -> None:
    bad = pb.Frames(frames=[frames.frame(1)] * count)
    async with serve(window_frames=4) as (_, stub):
        call = stub.StreamBatches(iter([pb.Frames(frames=[frames.frame(0)]), bad]), metadata=metadata(bundle))
        (first,) = (await call.read()).replies
        assert first.sequence == 0
        with pytest.raises(grpc.aio.AioRpcError) as end:
            await call.read()
    assert end.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_the_window_counts_frames_not_messages(
    serve: Serve, bundle: Bundle, frames: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[int] = []
    submit_all = Lane.submit_all

    def watched(lane: Lane, entries: list) -> None:
        submit_all(lane, entries)
        (owner,) = {ticket.owner for ticket, _ in entries}
        waiting.append(owner.unanswered)

    monkeypatch.setattr(Lane, "submit_all", watched)
    grouped = [pb.Frames(frames=[frames.frame(3 * n + k) for k in range(3)]) for n in range(10)]
    async with serve(window_frames=4) as (_, stub):
        replies = await collect(stub.StreamBatches(iter(grouped), metadata=metadata(bundle)))
    assert [reply.sequence for reply in replies] == list(range(30))
    assert max(waiting) <= 4


async def test_frames_of_one_message_share_a_batch(serve: Serve, bundle: Bundle, frames: Frames) -> None:
    message = pb.Frames(frames=[frames.frame(number) for number in range(4)])
    async with serve() as (_, stub):
        replies = await collect(stub.StreamBatches(iter([message]), metadata=metadata(bundle)))
    assert [reply.prediction.timings.batch_size for reply in replies] == [4, 4, 4, 4]


async def test_bytes_that_are_no_frames_end_the_call(serve: Serve, bundle: Bundle) -> None:
    async with (
        serve() as (server, _),
        grpc.aio.insecure_channel(str(server.addresses.grpc)) as channel,
    ):
        call = channel.stream_stream("/siftfunnel.v1.SplitInference/StreamBatches")(metadata=metadata(bundle))
        await call.write(b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as end:
            await call.read()
    assert end.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "not a siftfunnel.v1.Frames" in str(end.value.details())
