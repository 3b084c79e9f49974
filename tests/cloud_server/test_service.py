"""The service in this process on port 0, over real channels."""

import asyncio
from collections.abc import Iterable

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siftfunnel.cloud_server.batching import BatchPolicy
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.cloud_server.conftest import Frames, Serve, damaged, metadata
from tests.split_inference import SplitInferenceStub

Code = pb.FrameError
Status = grpc.StatusCode


async def stream(
    stub: SplitInferenceStub, bundle: Bundle, frames: Iterable[pb.Frame], top_k: int | None = None
) -> list[pb.Reply]:
    """Send frames on one stream while reading its replies; the stream must end well."""
    call = stub.Stream(iter(frames), metadata=metadata(bundle, top_k))
    replies = [reply async for reply in call]
    assert await call.code() == Status.OK
    return replies


async def failure(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value.code(), caught.value.details() or ""


async def test_a_stream_answers_every_frame_in_order_with_the_class_of_the_model(
    serve: Serve, bundle: Bundle, frames: Frames
) -> None:
    async with serve() as (_, stub):
        replies = await stream(stub, bundle, [frames.frame(number) for number in range(100)])
    assert [reply.sequence for reply in replies] == list(range(100))
    assert [reply.prediction.class_index[0] for reply in replies] == [
        frames.right_class(n) for n in range(100)
    ]


async def test_one_stream_may_mix_all_codecs_of_its_bundle(
    serve: Serve, bundle: Bundle, frames: Frames
) -> None:
    names = [codec.name for codec in frames.codecs]
    async with serve() as (_, stub):
        replies = await stream(stub, bundle, [frames.frame(place, name) for place, name in enumerate(names)])
    assert [reply.WhichOneof("outcome") for reply in replies] == ["prediction"] * len(names)


async def test_infer_answers_one_frame_and_repeats_the_digest(
    serve: Serve, bundle: Bundle, frames: Frames
) -> None:
    async with serve() as (_, stub):
        call = stub.Infer(frames.frame(12, "q6"), metadata=metadata(bundle))
        reply = await call
        opening = dict(await call.initial_metadata())
    assert reply.sequence == 12
    assert list(reply.prediction.class_index) == [frames.right_class(12)]
    assert opening["siftfunnel-bundle"] == bundle.digest
    assert opening["siftfunnel-window"] == "64"


async def test_a_bad_frame_of_infer_is_a_reply_and_no_failed_call(
    serve: Serve, bundle: Bundle, frames: Frames
) -> None:
    async with serve() as (_, stub):
        reply = await stub.Infer(damaged(frames.frame(0)), metadata=metadata(bundle))
    assert reply.error.code == Code.INVALID_PAYLOAD


async def test_the_number_of_classes_is_what_the_call_asks_for(
    serve: Serve, bundle: Bundle, frames: Frames
) -> None:
    async with serve() as (_, stub):
        (two,) = await stream(stub, bundle, [frames.frame(0)], top_k=2)
        (all_three,) = await stream(stub, bundle, [frames.frame(0)], top_k=50)
    assert list(two.prediction.class_index) == list(all_three.prediction.class_index)[:2]
    assert sum(all_three.prediction.score) == pytest.approx(1.0, abs=1e-5)


async def test_bad_frames_in_the_middle_never_end_a_stream(
    serve: Serve, bundle: Bundle, frames: Frames
) -> None:
    sent = [
        frames.frame(0),
        damaged(frames.frame(1, "q6")),
        pb.Frame(sequence=2, codec=0, payload=frames.frame(2).payload[:-7]),
        pb.Frame(sequence=3, codec=99, payload=b"?"),
        pb.Frame(sequence=4, codec=0, payload=frames.frame(4).payload * 3),
        pb.Frame(sequence=5),
        frames.frame(6, budget_ms=0),
        pb.Frame(sequence=7, codec=1, payload=frames.frame(7, "fp32").payload),
        frames.frame(8, budget_ms=60_000),
    ]
    async with serve() as (_, stub):
        replies = await stream(stub, bundle, sent)
    assert [reply.sequence for reply in replies] == list(range(9))
    assert [reply.error.code for reply in replies] == [
        0,
        Code.INVALID_PAYLOAD,
        Code.INVALID_PAYLOAD,
        Code.UNKNOWN_CODEC,
        Code.INVALID_PAYLOAD,
        Code.INVALID_PAYLOAD,
        Code.BUDGET_EXCEEDED,
        Code.INVALID_PAYLOAD,
        0,
    ]


async def test_a_payload_of_another_bundle_is_refused_by_its_checksum(
    serve: Serve, bundle: Bundle, other_bundle: Bundle
) -> None:
    stranger = Frames(other_bundle).frame(0)
    async with serve() as (_, stub):
        (reply,) = await stream(stub, bundle, [stranger])
    assert reply.error.code == Code.INVALID_PAYLOAD


async def test_several_bundles_are_served_at_once(serve: Serve, bundle: Bundle, other_bundle: Bundle) -> None:
    both = (bundle, other_bundle)
    makers = [Frames(each) for each in both]
    async with serve(bundles=tuple(each.directory for each in both)) as (_, stub):
        described = await stub.Describe(pb.DescribeRequest())
        results = await asyncio.gather(
            *(
                stream(stub, each, [maker.frame(n) for n in range(20)])
                for each, maker in zip(both, makers, strict=True)
            )
        )
    assert [each.digest for each in described.bundles] == [bundle.digest, other_bundle.digest]
    for maker, replies in zip(makers, results, strict=True):
        assert [r.prediction.class_index[0] for r in replies] == [maker.right_class(n) for n in range(20)]


async def test_describe_tells_what_a_client_needs_to_know(serve: Serve, bundle: Bundle) -> None:
    async with serve(window_frames=7) as (_, stub):
        described = await stub.Describe(pb.DescribeRequest())
    (only,) = described.bundles
    assert (only.name, only.digest, only.default) == ("tiny", bundle.digest, True)
    assert list(only.classes) == ["circle", "square", "triangle"]
    assert list(only.codecs) == ["fp32", "fp16", "int8", "q8", "q7", "q6", "q5", "q4"]
    assert only.codecs[only.default_codec] == "q6"
    assert list(only.feature_shape) == [12, 8, 8]
    # the tiny network's products are so small that they are taken in one order whatever the batch
    assert only.batch_invariant
    assert described.window == 7
    assert described.max_message_bytes > 12 * 8 * 8 * 4


@pytest.mark.parametrize("method", ["Infer", "Stream"])
async def test_another_digest_is_refused_and_both_are_named(
    serve: Serve, bundle: Bundle, other_bundle: Bundle, method: str
) -> None:
    async with serve() as (_, stub):
        opening = metadata(other_bundle)
        call = (
            stub.Infer(pb.Frame(), metadata=opening) if method == "Infer" else stub.Stream(metadata=opening)
        )
        code, details = await failure(call if method == "Infer" else call.read())
    assert code == Status.FAILED_PRECONDITION
    assert other_bundle.digest in details
    assert f"tiny {bundle.digest}" in details


@pytest.mark.parametrize(
    ("opening", "complaint"),
    [
        ((), "send the digest of your bundle, .* as call metadata 'siftfunnel-bundle'; it is missing"),
        ((("siftfunnel-bundle", "tiny"),), "got 'tiny'"),
        ((("siftfunnel-bundle", "AB" * 32),), "lower-case hex"),
        ((("siftfunnel-top-k", "0"),), "siftfunnel-top-k must be a whole number of at least 1, not '0'"),
        ((("siftfunnel-top-k", "many"),), "not 'many'"),
    ],
)
async def test_metadata_that_says_nothing_useful_is_refused_with_what_to_send(
    serve: Serve, opening: tuple[tuple[str, str], ...], complaint: str
) -> None:
    async with serve() as (_, stub):
        code, details = await failure(stub.Stream(metadata=opening).read())
        again, _ = await failure(stub.Infer(pb.Frame(), metadata=opening))
    assert code == again == Status.INVALID_ARGUMENT
    with pytest.raises(AssertionError, match=complaint):
        raise AssertionError(details)


async def test_a_message_over_the_limit_ends_its_call_with_a_clear_status_and_no_other(
    serve: Serve, bundle: Bundle, frames: Frames
) -> None:
    async with serve() as (_, stub):
        limit = (await stub.Describe(pb.DescribeRequest())).max_message_bytes
        huge = pb.Frame(sequence=1, payload=bytes(limit))
        code, details = await failure(stub.Infer(huge, metadata=metadata(bundle)))
        assert code == Status.RESOURCE_EXHAUSTED
        assert f"larger than max ({huge.ByteSize()} vs. {limit})" in details
        call = stub.Stream(metadata=metadata(bundle))
        await call.write(huge)
        code, _ = await failure(call.read())
        assert code == Status.RESOURCE_EXHAUSTED
        (reply,) = await stream(stub, bundle, [frames.frame(2)])
        assert reply.HasField("prediction")


async def test_bytes_that_are_no_frame_end_the_stream_after_the_answers_before_them(
    serve: Serve, bundle: Bundle, frames: Frames
) -> None:
    async with (
        serve() as (server, _),
        grpc.aio.insecure_channel(str(server.addresses.grpc)) as channel,
    ):
        call = channel.stream_stream("/siftfunnel.v1.SplitInference/Stream")(metadata=metadata(bundle))
        await call.write(frames.frame(0).SerializeToString())
        await call.write(b"\xff\xff\xff")
        assert pb.Reply.FromString(await call.read()).HasField("prediction")
        code, details = await failure(call.read())
        assert code == Status.INVALID_ARGUMENT
        assert "a message of 3 bytes is not a siftfunnel.v1.Frame" in details
        unary = channel.unary_unary("/siftfunnel.v1.SplitInference/Infer")
        code, _ = await failure(unary(b"\xff\xff\xff", metadata=metadata(bundle)))
        assert code == Status.INVALID_ARGUMENT


async def test_a_stream_holds_no_more_frames_than_its_window(
    serve: Serve, bundle: Bundle, frames: Frames
) -> None:
    sent = [frames.frame(number, "q4") for number in range(200)]
    async with serve(window_frames=3, batching=BatchPolicy(16, 0.0, 16)) as (_, stub):
        replies = await stream(stub, bundle, sent)
    assert [reply.WhichOneof("outcome") for reply in replies] == ["prediction"] * 200
    assert max(reply.prediction.timings.batch_size for reply in replies) <= 3


async def test_a_queue_smaller_than_the_window_answers_every_frame_one_way_or_the_other(
    serve: Serve, bundle: Bundle, frames: Frames
) -> None:
    sent = [frames.frame(number) for number in range(300)]
    async with serve(batching=BatchPolicy(1, 0.0, 1)) as (_, stub):
        replies = await stream(stub, bundle, sent)
    assert [reply.sequence for reply in replies] == list(range(300))
    for reply in replies:
        full = reply.error.code == Code.RESOURCE_EXHAUSTED and reply.error.retry_after_ms > 0
        assert full or reply.HasField("prediction")


async def test_a_client_that_goes_away_leaves_nothing_behind(
    serve: Serve, bundle: Bundle, frames: Frames
) -> None:
    async with serve() as (server, stub):
        call = stub.Stream(metadata=metadata(bundle))
        await call.write(frames.frame(0))
        assert (await call.read()).sequence == 0
        labels = {"bundle": "tiny"}
        assert server.metrics.registry.get_sample_value("siftfunnel_streams_open", labels) == 1
        call.cancel()
        async with asyncio.timeout(5):
            while server.metrics.registry.get_sample_value("siftfunnel_streams_open", labels):
                await asyncio.sleep(0.01)
        (reply,) = await stream(stub, bundle, [frames.frame(1)])
        assert reply.sequence == 1


async def test_reflection_is_there_when_asked_for_and_only_then(serve: Serve) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    async with (
        serve(reflection=True) as (server, _),
        grpc.aio.insecure_channel(str(server.addresses.grpc)) as channel,
    ):
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([asked]))
        names = {each.name for each in (await call.read()).list_services_response.service}
    assert {"siftfunnel.v1.SplitInference", "grpc.health.v1.Health"} <= names
    async with serve() as (server, _), grpc.aio.insecure_channel(str(server.addresses.grpc)) as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([asked]))
        code, _ = await failure(call.read())
    assert code == Status.UNIMPLEMENTED


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=80)), min_size=1, max_size=20))
async def test_any_payloads_at_all_get_one_typed_reply_each(
    serve: Serve, bundle: Bundle, payloads: list[tuple[int, bytes]]
) -> None:
    sent = [pb.Frame(sequence=n, codec=codec, payload=body) for n, (codec, body) in enumerate(payloads)]
    async with serve() as (_, stub):
        replies = await stream(stub, bundle, sent)
    assert [reply.sequence for reply in replies] == list(range(len(sent)))
    assert {reply.error.code for reply in replies} <= {Code.INVALID_PAYLOAD, Code.UNKNOWN_CODEC}
