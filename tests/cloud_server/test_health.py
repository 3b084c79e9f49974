"""`grpc.health.v1` over a real channel."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from siftfunnel.cloud_server.service import SERVICE
from tests.cloud_server.conftest import Serve

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def request(service: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


async def rest_of(watch: Any) -> list[int]:
    """Statuses until the server ends the call."""
    statuses = []
    while (response := await watch.read()) is not grpc.aio.EOF:
        statuses.append(response.status)
    return statuses


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_a_server_that_is_ready_says_so_for_itself_and_for_its_service(
    serve: Serve, service: str
) -> None:
    async with serve() as (server, _), grpc.aio.insecure_channel(str(server.addresses.grpc)) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert (await health.Check(request(service))).status == SERVING


async def test_an_unknown_service_is_not_found_by_check_and_unknown_to_watch(serve: Serve) -> None:
    async with serve() as (server, _), grpc.aio.insecure_channel(str(server.addresses.grpc)) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await health.Check(request("other.Service"))
        assert refusal.value.code() == grpc.StatusCode.NOT_FOUND
        watch = health.Watch(request("other.Service"))
        assert (await watch.read()).status == SERVICE_UNKNOWN
        watch.cancel()


async def test_watchers_see_the_drain_even_after_another_watcher_left(serve: Serve) -> None:
    async with serve() as (server, _), grpc.aio.insecure_channel(str(server.addresses.grpc)) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watches = [health.Watch(request(service)) for service in ("", SERVICE)]
        leaver = health.Watch(request(SERVICE))
        assert [(await watch.read()).status for watch in (*watches, leaver)] == [SERVING] * 3
        leaver.cancel()
        followers = [asyncio.ensure_future(rest_of(watch)) for watch in watches]
        await server.drain()
        assert await asyncio.gather(*followers) == [[NOT_SERVING]] * 2
