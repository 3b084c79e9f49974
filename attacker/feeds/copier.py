"""A transparent TCP relay: bytes are passed on before anything else is done with them.

Each connection has two ends. An end reads only while the other has nothing left to write, so a slow receiver
slows its own sender through TCP's window and nobody else; the end of one direction is passed on without
ending the other.
"""

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from siftfunnel.attacker.feeds.spool import Chunk, Closed, Opened, SpoolItem
from siftfunnel.attacker.tap.events import Direction, FeedError
from siftfunnel.shared.ports import Endpoint, why_not_listening

_CONNECT_TIMEOUT_S = 10.0
_MAX_CONNECTING = 256
_LATENCY_SAMPLES = 8192
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _End(asyncio.Protocol):
    """One end of a connection; what comes in here goes out at `other`."""

    transport: asyncio.Transport
    other: "_End"

    def __init__(self, copier: "Copier", direction: Direction) -> None:
        self._copier = copier
        self._direction = direction
        self._pending_since_ns: int | None = None
        self.number = 0
        self.ended = self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Stand by until the other end is there too."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(0)
        transport.pause_reading()
        if self._direction == "up":
            self._copier.meet(self)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, then tell of them."""
        self.other.write(data, time.perf_counter_ns())
        self._copier.tell(self.number, self._direction, data)

    def write(self, data: bytes, came_ns: int) -> None:
        """Send what came in at the other end at a time."""
        self._pending_since_ns = came_ns
        self.transport.write(data)
        if not self.transport.get_write_buffer_size():
            self.resume_writing()

    def pause_writing(self) -> None:
        """Bytes wait here: take no more of them in."""
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """All bytes are sent."""
        if self._pending_since_ns is not None:
            self._copier.latencies_us.append((time.perf_counter_ns() - self._pending_since_ns) / 1000)
            self._pending_since_ns = None
        self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        """Pass the end of this direction on; the other one stays open until it ends too."""
        self.ended = True
        if self.other.ended:
            self.transport.close()
            self.other.transport.close()
        else:
            with contextlib.suppress(OSError):
                self.other.transport.write_eof()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Nothing comes or goes here any more."""
        self.lost = True
        if self.number:
            self._copier.lose(self, error)

    def reset(self) -> None:
        """Close at once, so that the peer sees a reset rather than an orderly end."""
        with contextlib.suppress(OSError):
            bare = self.transport.get_extra_info("socket")
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()


class Copier:
    """Accepts, connects to `target`, copies. `tee` gets what passed, after it has passed on.

    `tee` must not block. `refused` is the latest reason why a client could not be served; `latencies_us` are
    the times from having read bytes to having written them.
    """

    def __init__(self, target: Endpoint, tee: Callable[[SpoolItem], None]) -> None:
        self._target = target
        self._tee = tee
        self._server: asyncio.Server | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self._links: dict[int, tuple[_End, str]] = {}
        self._links_made = 0
        self.bytes_copied = 0
        self.refused = ""
        self.latencies_us: deque[float] = deque(maxlen=_LATENCY_SAMPLES)

    async def listen(self, at: Endpoint) -> Endpoint:
        """Begin to accept; the address really taken.

        Raises:
            FeedError: it is in use, not permitted, or not of this machine.
        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._trouble)
        try:
            found = socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            # A name such as localhost stands for both families; clients that try one only try IPv4.
            family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
            both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
            listener = socket.create_server(address, family=family, backlog=128, dualstack_ipv6=both)
        except OSError as error:
            raise FeedError(f"the relay cannot listen at {at}: {why_not_listening(error)}") from None
        self._server = await loop.create_server(lambda: _End(self, "up"), sock=listener)
        return Endpoint(at.host, int(listener.getsockname()[1]))

    async def stop(self) -> None:
        """Close every connection and listen no more."""
        assert self._server is not None, "listen first"
        self._server.close()
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for number, (client, _) in list(self._links.items()):
            self._links[number] = client, "the tap stopped"
            client.reset()
            client.other.reset()
        while self._links:
            await asyncio.sleep(0)

    def meet(self, client: _End) -> None:
        """A client is there: connect to the target."""
        if len(self._connecting) >= _MAX_CONNECTING:
            self.refused = f"{_MAX_CONNECTING} clients wait for the target already"
            client.reset()
            return
        task = asyncio.get_running_loop().create_task(self._connect(client))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def tell(self, number: int, direction: Direction, data: bytes) -> None:
        """Bytes have passed."""
        self.bytes_copied += len(data)
        self._tee(Chunk(number, time.time(), direction, data))

    def lose(self, end: _End, error: Exception | None) -> None:
        """An end is gone; where that is no orderly end, the other one goes with it."""
        client, how = self._links[end.number]
        if error is not None and not how:
            how = f"reset ({getattr(error, 'strerror', None) or error})"
            self._links[end.number] = client, how
            end.other.reset()
        if end.other.lost:
            del self._links[end.number]
            self._tee(Closed(end.number, time.time(), how or "closed"))

    async def _connect(self, client: _End) -> None:
        server = _End(self, "down")
        server.other, client.other = client, server
        host, port = self._target.host, self._target.port
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await asyncio.get_running_loop().create_connection(lambda: server, host, port)
        except OSError as error:
            self.refused = (
                f"cannot reach the target {self._target}: {str(error) or 'no answer'}; is it running?"
            )
            client.reset()
        except asyncio.CancelledError:
            client.reset()
            raise
        else:
            self._begin(client, server)

    def _begin(self, client: _End, server: _End) -> None:
        self.refused = ""
        here, there = (end.transport.get_extra_info("peername") for end in (client, server))
        if client.lost or server.lost or here is None or there is None:
            client.reset()
            server.reset()
            return
        self._links_made += 1
        client.number = server.number = self._links_made
        self._links[self._links_made] = client, ""
        self._tee(Opened(self._links_made, time.time(), _name(here), _name(there)))
        client.transport.resume_reading()
        server.transport.resume_reading()

    def _trouble(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Out of file descriptors, the loop accepts again after a moment."""
        error = context.get("exception")
        if isinstance(error, OSError) and "accept" in context.get("message", ""):
            self.refused = f"cannot accept more connections: {error.strerror}; raise the limit on open files"
        else:
            loop.default_exception_handler(context)


def _name(address: tuple[object, ...]) -> str:
    return str(Endpoint(str(address[0]), int(str(address[1]))))
