"""`grpc.health.v1`: Check and Watch, for the whole server ("") and for the service by name.

The servicer of grpcio-health-checking forgets its other watchers when one of them leaves; this one does not.
"""

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from siftfunnel.cloud_server.ceilings import Gate, client_of

SERVING: int = health_pb2.HealthCheckResponse.SERVING
_CALLS, _CALLS_PER_CLIENT = 256, 64
"""A gate of its own: whoever looks after a full server must still be told how it is."""

NOT_SERVING: int = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN: int = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

Context = Any
"""A `grpc.aio.ServicerContext`."""


class HealthServicer:
    """One status for all the services of a server.

    Args:
        services: names that are known beside "".
    """

    def __init__(self, services: tuple[str, ...]) -> None:
        self._services = ("", *services)
        self._status = NOT_SERVING
        self._closed = False
        self._changed = asyncio.Event()
        self._gate = Gate(_CALLS)

    def register(self, server: grpc.aio.Server) -> None:
        """Serve it."""
        health_pb2_grpc.add_HealthServicer_to_server(self, server)

    def set_serving(self, serving: bool) -> None:
        """Change the status and tell every watcher."""
        self._status = SERVING if serving else NOT_SERVING
        self._announce()

    def close(self) -> None:
        """Let every watcher see the last status, then end its call."""
        self._closed = True
        self._announce()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> object:
        """The status now."""
        await self._enter(context)
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        return health_pb2.HealthCheckResponse(status=self._status)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        """The status now and after every change."""
        await self._enter(context)
        known = request.service in self._services
        last: int | None = None
        while True:
            changed, closed = self._changed, self._closed
            status = self._status if known else SERVICE_UNKNOWN
            if status != last:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                last = status
            if closed:
                return
            await changed.wait()

    async def _enter(self, context: Context) -> None:
        if no_room := self._gate.enter(context, client_of(context), _CALLS_PER_CLIENT):
            await context.abort(grpc.StatusCode.UNAVAILABLE, no_room)

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
