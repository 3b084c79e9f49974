"""A stop in the middle of streams: everything taken is answered, the rest is clearly not taken."""

import asyncio
import threading

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from siftfunnel.cloud_server import engine as engines
from siftfunnel.cloud_server.batching import BatchPolicy
from siftfunnel.cloud_server.engine import EngineOptions
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.cloud_server.conftest import LOOPBACK, Frames, Serve, metadata, wait_until_taken
from tests.cloud_server.deaf_client import DeafClient
from tests.cloud_server.test_admin import get

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def collect(
    call: grpc.aio.StreamStreamCall[pb.Frame, pb.Reply],
) -> tuple[list[pb.Reply], grpc.StatusCode]:
    replies: list[pb.Reply] = []
    try:
        while (reply := await call.read()) is not grpc.aio.EOF:
            replies.append(reply)
    except grpc.aio.AioRpcError as error:
        return replies, error.code()
    return replies, await call.code()


async def test_frames_taken_before_a_stop_are_all_answered_then_the_stream_says_to_go_elsewhere(
    serve: Serve, bundle: Bundle, frames: Frames, gate: threading.Event
) -> None:
    async with serve(batching=BatchPolicy(2, 0.0, 64)) as (server, stub):
        gate.clear()
        sent = [frames.frame(number) for number in range(6)]
        calls = [stub.Stream(metadata=metadata(bundle)) for _ in range(2)]
        for call in calls:
            for frame in sent:
                await call.write(frame)
        await wait_until_taken(server, [*sent, *sent])
        drain = asyncio.ensure_future(server.drain())
        await asyncio.sleep(0.05)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await stub.Infer(frames.frame(9), metadata=metadata(bundle))
        assert refusal.value.code() == UNAVAILABLE
        gate.set()
        for replies, status in [await collect(call) for call in calls]:
            assert [reply.sequence for reply in replies] == list(range(6))
            assert all(reply.HasField("prediction") for reply in replies)
            assert status == UNAVAILABLE
        assert await drain


async def test_a_stream_that_its_client_had_finished_ends_well(
    serve: Serve, bundle: Bundle, frames: Frames, gate: threading.Event
) -> None:
    async with serve() as (server, stub):
        gate.clear()
        call = stub.Stream(metadata=metadata(bundle))
        sent = [frames.frame(0), frames.frame(1)]
        for frame in sent:
            await call.write(frame)
        await call.done_writing()
        await wait_until_taken(server, sent)
        await asyncio.sleep(0.05)
        drain = asyncio.ensure_future(server.drain())
        await asyncio.sleep(0.05)
        gate.set()
        replies, status = await collect(call)
        assert [reply.sequence for reply in replies] == [0, 1]
        assert status == grpc.StatusCode.OK
        assert await drain


async def test_an_idle_stream_is_ended_at_once(serve: Serve, bundle: Bundle) -> None:
    async with serve() as (server, stub):
        call = stub.Stream(metadata=metadata(bundle))
        await call.initial_metadata()
        await server.drain()
        assert await collect(call) == ([], UNAVAILABLE)


async def test_after_the_patience_of_a_stop_waiting_frames_get_a_typed_error(
    serve: Serve, bundle: Bundle, frames: Frames, gate: threading.Event
) -> None:
    async with serve(drain_s=0.2, batching=BatchPolicy(1, 0.0, 64)) as (server, stub):
        gate.clear()
        call = stub.Stream(metadata=metadata(bundle))
        sent = [frames.frame(number) for number in range(4)]
        for frame in sent:
            await call.write(frame)
        await wait_until_taken(server, sent)
        asyncio.get_running_loop().call_later(0.5, gate.set)
        assert not await server.drain()
        replies, status = await collect(call)
        assert [reply.sequence for reply in replies] == [0, 1, 2, 3]
        assert [reply.error.code for reply in replies] == [0, *[pb.FrameError.UNAVAILABLE] * 3]
        assert status == UNAVAILABLE


async def test_a_stream_that_opens_while_the_drain_begins_is_drained(serve: Serve, bundle: Bundle) -> None:
    async with serve() as (server, stub):
        service = server._service
        admit = service._admit

        async def drain_meanwhile(context: object) -> object:
            admitted = await admit(context)
            service.drain()
            return admitted

        service._admit = drain_meanwhile  # type: ignore[method-assign, assignment]
        call = stub.Stream(metadata=metadata(bundle))
        async with asyncio.timeout(5):
            assert await collect(call) == ([], UNAVAILABLE)


async def test_a_client_that_does_not_read_its_answers_does_not_spoil_a_drain(
    serve: Serve, bundle: Bundle, frames: Frames, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(drain_s=0.3) as (server, _):
        assert server.addresses.grpc is not None
        with DeafClient(server.addresses.grpc) as deaf:
            deaf.send(bundle, "Stream", frames.frame(0, "q4"), frames.frame(1, "q4"))
            deaf.send(bundle, "Infer", frames.frame(2, "q4"))
            labels = {"bundle": "tiny", "codec": "q4", "outcome": "answered"}
            registry = server.metrics.registry
            async with asyncio.timeout(10):
                while registry.get_sample_value("siftfunnel_frames_total", labels) != 3:
                    await asyncio.sleep(0.01)
            assert await server.drain()
    assert "2 calls still open after 0.3 s: 0 frames without an answer" in caplog.text


async def test_health_is_honest_about_a_model_that_hangs_and_one_that_comes_back(
    serve: Serve, bundle: Bundle, frames: Frames, gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        serve(stall_s=0.5, http=LOOPBACK) as (server, stub),
        grpc.aio.insecure_channel(str(server.addresses.grpc)) as channel,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=30)

        async def is_served(status: int) -> bool:
            answer = (await watch.read()).status
            code, _ = await asyncio.to_thread(get, server.addresses.http, "/healthz")
            ready = server.metrics.registry.get_sample_value("siftfunnel_ready")
            return (answer, code, ready) == (
                (SERVING, 200, 1) if status == SERVING else (NOT_SERVING, 503, 0)
            )

        assert await is_served(SERVING)
        gate.clear()
        stuck = await stub.Infer(frames.frame(0), metadata=metadata(bundle))
        assert stuck.error.code == pb.FrameError.INTERNAL
        assert await is_served(NOT_SERVING)
        gate.set()
        assert await is_served(SERVING)
        assert (await stub.Infer(frames.frame(1), metadata=metadata(bundle))).HasField("prediction")
        watch.cancel()
    assert "not serving: tiny: 1 batches have been running for more than 0.5 s" in caplog.text


def test_the_gate_wraps_what_the_registry_holds(bundle: Bundle, gate: threading.Event) -> None:
    engine = engines.open_engine("onnxruntime", bundle.path("cloud.onnx"), bundle.manifest, EngineOptions())
    gate.clear()
    threading.Timer(0.05, gate.set).start()
    (logits,) = engine.run(np.zeros((1, 12, 8, 8), np.float32))
    assert logits.shape == (1, 3)
