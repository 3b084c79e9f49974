"""What one client and all of them may hold open."""

import asyncio
import threading
from collections.abc import Callable

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from siftfunnel.cloud_server import service
from siftfunnel.cloud_server.ceilings import Ceilings, Gate, client_of, peer_of
from siftfunnel.cloud_server.session import GIVES_WAY
from siftfunnel.shared.access import ClientLimits
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.cloud_server.conftest import Frames, Serve, metadata, wait_until_taken
from tests.split_inference import SplitInferenceStub

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


class Caller:
    """A call's context, as far as a gate looks at it."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self.end: Callable[[object], None] = lambda context: None

    def peer(self) -> str:
        return self._peer

    def add_done_callback(self, callback: Callable[[object], None]) -> None:
        self.end = callback


@pytest.mark.parametrize(
    ("peer", "address", "client"),
    [
        ("ipv4:10.0.0.7:50412", "10.0.0.7:50412", "10.0.0.7"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:50412", "[2001:db8:1:2:3:4:5:6]:50412", "2001:db8:1:2::/64"),
        ("ipv6:%5B::ffff:10.0.0.7%5D:50412", "[::ffff:10.0.0.7]:50412", "10.0.0.7"),
        ("ipv6:%5Bfe80::1%25eth0%5D:50412", "[fe80::1%eth0]:50412", "fe80::/64"),
        ("unix:/run/siftfunnel", "unix:/run/siftfunnel", "unix:/run/siftfunnel"),
    ],
)
def test_a_client_is_an_address_or_the_network_of_one(peer: str, address: str, client: str) -> None:
    assert (peer_of(Caller(peer)), client_of(Caller(peer))) == (address, client)


def enter(gate: Gate, caller: Caller, most: int = 2) -> str | None:
    return gate.enter(caller, client_of(caller), most)


def test_a_gate_counts_all_calls_and_those_of_each_client_until_they_end() -> None:
    gate = Gate(calls=3)
    one = [Caller("ipv4:10.0.0.1:1"), Caller("ipv4:10.0.0.1:2")]
    assert [enter(gate, call) for call in one] == [None, None]
    assert "2 calls of 10.0.0.1 are open" in (enter(gate, Caller("ipv4:10.0.0.1:3")) or "")
    assert enter(gate, Caller("ipv4:10.0.0.2:1")) is None
    assert "3 calls are open" in (enter(gate, Caller("ipv4:10.0.0.3:1")) or "")
    one[0].end(None)
    assert enter(gate, Caller("ipv4:10.0.0.3:2")) is None
    assert gate.calls_open == 3


def test_calls_that_were_told_to_end_make_room_a_bit_ahead_of_their_going() -> None:
    told: list[str] = []

    def make_room(client: str) -> bool:
        told.append(client)
        return True

    gate = Gate(calls=8, make_room=make_room)
    for number in range(6):
        assert enter(gate, Caller(f"ipv4:10.0.0.1:{number}"), 100) is None
    for number in range(2):
        assert enter(gate, Caller(f"ipv4:10.0.0.2:{number}"), 100) is None
    assert told == []
    assert enter(gate, Caller("ipv4:10.0.0.3:1"), 100) is None
    # whoever has most gives way, and not without end while nobody goes
    assert told == ["10.0.0.1"]
    assert "9 calls are open" in (enter(gate, Caller("ipv4:10.0.0.3:2"), 100) or "")


@pytest.mark.parametrize("field", ["connections", "calls", "calls_per_connection"])
def test_a_ceiling_below_one_is_refused_by_name(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be at least 1, not 0"):
        Ceilings(**{field: 0})


async def refusal(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value.code(), caught.value.details() or ""


async def test_a_compressed_message_is_refused_before_it_is_inflated(
    serve: Serve, bundle: Bundle, frames: Frames
) -> None:
    async with serve() as (server, _):
        address = str(server.addresses.grpc)
        async with grpc.aio.insecure_channel(address, compression=grpc.Compression.Gzip) as channel:
            stub = SplitInferenceStub(channel)
            code, details = await refusal(stub.Infer(frames.frame(0), metadata=metadata(bundle)))
            assert code == grpc.StatusCode.UNIMPLEMENTED
            assert "gzip" in details


@pytest.mark.parametrize(
    ("ceilings", "why"),
    [
        (Ceilings(calls=2), "the server takes no more"),
        (Ceilings(client=ClientLimits(calls=2)), "one client has no more"),
    ],
)
async def test_a_call_over_a_ceiling_is_told_to_go_elsewhere_and_the_open_ones_go_on(
    serve: Serve,
    bundle: Bundle,
    frames: Frames,
    ceilings: Ceilings,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "_IDLE_S", 3600.0)
    async with serve(ceilings=ceilings) as (server, stub):
        calls = [stub.Stream(metadata=metadata(bundle)) for _ in range(2)]
        for call in calls:
            await call.initial_metadata()
        code, details = await refusal(stub.Infer(frames.frame(0), metadata=metadata(bundle)))
        assert (code, why in details) == (UNAVAILABLE, True)
        # whoever looks after a full server is still told how it is
        async with grpc.aio.insecure_channel(str(server.addresses.grpc)) as channel:
            health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        await calls[0].write(frames.frame(1))
        assert (await calls[0].read()).sequence == 1
        calls[1].cancel()
        registry = server.metrics.registry
        async with asyncio.timeout(5):
            while registry.get_sample_value("siftfunnel_calls_open") != 1:
                await asyncio.sleep(0.005)
        assert (await stub.Infer(frames.frame(2), metadata=metadata(bundle))).sequence == 2
        refused = registry.get_sample_value("siftfunnel_refused_calls_total", {"reason": "no_room"})
        assert refused == 1


async def test_at_a_ceiling_the_stream_that_was_idle_longest_gives_way_and_no_busy_one(
    serve: Serve,
    bundle: Bundle,
    frames: Frames,
    gate: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "_IDLE_S", 0.0)
    async with serve(ceilings=Ceilings(client=ClientLimits(calls=2))) as (server, stub):
        idle, busy = (stub.Stream(metadata=metadata(bundle)) for _ in range(2))
        await idle.initial_metadata()
        gate.clear()
        await busy.write(frames.frame(0))
        await wait_until_taken(server, [frames.frame(0)])
        third = stub.Stream(metadata=metadata(bundle))
        await third.initial_metadata()
        code, details = await refusal(idle.read())
        assert (code, details) == (UNAVAILABLE, GIVES_WAY)
        await third.write(frames.frame(1))
        await wait_until_taken(server, [frames.frame(0), frames.frame(1)])
        assert (await refusal(stub.Infer(frames.frame(2), metadata=metadata(bundle))))[0] == UNAVAILABLE
        gate.set()
        assert [(await call.read()).sequence for call in (busy, third)] == [0, 1]
        assert server.metrics.registry.get_sample_value("siftfunnel_streams_gave_way_total") == 1


async def test_a_connection_has_so_many_calls_and_the_server_so_many_connections(
    serve: Serve, bundle: Bundle
) -> None:
    ceilings = Ceilings(connections=2, calls_per_connection=3)
    own = (("grpc.use_local_subchannel_pool", 1),)
    async with serve(ceilings=ceilings) as (server, stub):
        calls = [stub.Stream(metadata=metadata(bundle)) for _ in range(3)]
        for call in calls:
            await call.initial_metadata()
        calls.append(stub.Stream(metadata=metadata(bundle)))
        waits = asyncio.ensure_future(calls[3].initial_metadata())
        assert not (await asyncio.wait([waits], timeout=0.2))[0]
        address = str(server.addresses.grpc)
        async with (
            grpc.aio.insecure_channel(address, options=own) as second,
            grpc.aio.insecure_channel(address, options=own) as third,
        ):
            await SplitInferenceStub(second).Describe(pb.DescribeRequest(), timeout=10)
            code, _ = await refusal(SplitInferenceStub(third).Describe(pb.DescribeRequest(), timeout=10))
            assert code == UNAVAILABLE
        calls[0].cancel()
        async with asyncio.timeout(10):
            await waits
        for call in calls[1:]:
            call.cancel()


async def test_who_asks_after_health_without_end_has_a_ceiling_too(serve: Serve) -> None:
    async with serve() as (server, _), grpc.aio.insecure_channel(str(server.addresses.grpc)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watches = [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(64)]
        for watch in watches:
            await watch.read()
        code, _ = await refusal(stub.Watch(health_pb2.HealthCheckRequest()).read())
        assert code == UNAVAILABLE
