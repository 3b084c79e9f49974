"""A relay that spoils what passes, with the toxics of Toxiproxy by their names and attributes."""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["upstream", "downstream"]
"""From the client to the server, and back."""

_CHUNK_BYTES = 1 << 14
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Toxic:
    """One toxic; what is None or 0 does nothing.

    Attributes:
        latency_ms, jitter_ms: `latency`.
        rate_kb_s: `bandwidth`.
        delay_ms: `slow_close`: before a close is passed on.
        timeout_ms: `timeout`: nothing passes, and after so long the connection is closed; 0: never.
        reset_ms: `reset_peer`: a RST to both sides after so long.
        slice_bytes, slice_us: `slicer`: pieces of about so many bytes, and the wait between them.
        most_bytes: `limit_data`: the connection is closed after so many.
    """

    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    rate_kb_s: float = 0.0
    delay_ms: float = 0.0
    timeout_ms: float | None = None
    reset_ms: float | None = None
    slice_bytes: int = 0
    slice_us: float = 0.0
    most_bytes: int | None = None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What is written at a time."""
        size = self.slice_bytes or len(data)
        at = 0
        while at < len(data):
            step = max(1, size if not self.slice_bytes else random.randint(1, 2 * size))
            yield data[at : at + step]
            at += step


@dataclass
class ToxicRelay:
    """Listens on `port`, passes on to a target; toxics may be put in and taken out while it runs.

    Attributes:
        target: port of the server on this machine.
        toxics: by direction.
        enabled: False is `down`: connections end, and no new ones are taken.
    """

    target: int
    toxics: dict[Direction, Toxic] = field(default_factory=dict)
    enabled: bool = True
    port: int = 0
    connections: int = 0

    async def serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        """Relay until told to stop."""
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError, asyncio.CancelledError):
            if self.enabled:
                await self._relay(reader, writer)
        writer.close()
        self._tasks.discard(task)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        both = (writer, back)
        pumps = [
            asyncio.create_task(self._pump("upstream", reader, back, both)),
            asyncio.create_task(self._pump("downstream", there, writer, both)),
            asyncio.create_task(self._watch(both)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            back.close()

    async def _watch(self, both: tuple[asyncio.StreamWriter, ...]) -> None:
        while self.enabled:
            await asyncio.sleep(0.02)

    async def _pump(
        self,
        direction: Direction,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, ...],
    ) -> None:
        passed = 0
        while True:
            data = await reader.read(_CHUNK_BYTES)
            toxic = self.toxics.get(direction, Toxic())
            if toxic.timeout_ms is not None:
                await asyncio.sleep(toxic.timeout_ms / 1000 or 3600)
                return
            if toxic.reset_ms is not None:
                await asyncio.sleep(toxic.reset_ms / 1000)
                for each in both:
                    each.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    each.transport.abort()
                return
            if not data:
                await asyncio.sleep(toxic.delay_ms / 1000)
                return
            for piece in toxic.pieces(data):
                await asyncio.sleep(self._wait_s(toxic, piece))
                if toxic.most_bytes is not None:
                    piece = piece[: toxic.most_bytes - passed]
                writer.write(piece)
                await writer.drain()
                passed += len(piece)
                if passed == toxic.most_bytes:
                    return

    def _wait_s(self, toxic: Toxic, piece: bytes) -> float:
        wait_ms = max(toxic.latency_ms + random.uniform(-1, 1) * toxic.jitter_ms, 0.0)
        if toxic.rate_kb_s:
            wait_ms += len(piece) / toxic.rate_kb_s
        return (wait_ms + toxic.slice_us / 1000) / 1000


@contextmanager
def relaying(target: int) -> Iterator[ToxicRelay]:
    """A relay on a thread of its own."""
    relay, started = ToxicRelay(target), threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(relay.serve(started, stop)))
    thread.start()
    try:
        assert started.wait(10)
        yield relay
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
