"""Rate and delay for one TCP port, without privileges: a relay that hands bytes on late.

What it cannot do it does not pretend to: TCP ends at the relay, so there is no loss, no retransmission and no
slow start over the link's round trip; connecting costs no round trip either. Its figures are those of a
long-lived connection on a link that loses nothing.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from siftfunnel.bench.children import announced, child, tell
from siftfunnel.bench.links.pipe import Pipe, pipes
from siftfunnel.bench.links.profiles import Direction, LinkProfile
from siftfunnel.bench.output import show
from siftfunnel.bench.stored import as_json, read
from siftfunnel.shared.ports import LOOPBACK, Endpoint

SEGMENT_BYTES = 1448
HEADER_BYTES = 52
"""IP and TCP with timestamps: what a segment of 1,448 bytes costs a link besides itself."""


QUEUE_S = 0.2
"""How much waits in the relay besides what is under way: a router would drop, a relay stops reading."""

BUFFER_BYTES = 32_768
"""Of the relay's sockets, so that the queue is in the relay and not in the kernel."""


def segments_at_most(direction: Direction) -> int:
    """Segments that are under way or wait at most.

    Example:
        >>> segments_at_most(Direction(1_448, delay_ms=100))
        37
    """
    if direction.rate_kbit_s is None:
        return 1000
    held_s = (direction.delay_ms + direction.jitter_ms) / 1000 + QUEUE_S
    return max(4, int(direction.rate_kbit_s * 125 * held_s / SEGMENT_BYTES))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pipe: Pipe, segments: int) -> None:
    """Hand on what arrives, segment by segment, each when the pipe says; then the end of the stream."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=segments)

    async def deliver() -> None:
        while True:
            arrival_s, segment = await waiting.get()
            await asyncio.sleep(max(0.0, arrival_s - loop.time()))
            if not segment:
                break
            writer.write(segment)
            await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()

    task = asyncio.create_task(deliver())
    try:
        while True:
            segment = await reader.read(SEGMENT_BYTES)
            fate = pipe.admit(loop.time(), len(segment) + HEADER_BYTES)
            assert isinstance(fate, float), "a relay's pipe neither loses nor overflows"
            await waiting.put((fate, segment))
            if not segment:
                break
        await task
    except ConnectionError:
        task.cancel()
        writer.close()


def without_loss(direction: Direction) -> Direction:
    """What a relay can do of a direction: no loss, and a queue that pushes back instead of dropping."""
    return replace(direction, loss=0.0, queue_packets=2**31)


def small_buffers(made: socket.socket) -> socket.socket:
    """The socket, with buffers of a fixed small size in both directions."""
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def relay(profile: dict[str, Any], target: str, seed: int) -> None:
    """The relay's process: listens on a free port, tells its address, relays to HOST:PORT until stopped."""
    asyncio.run(_relay(read(LinkProfile, profile, "link"), target, seed))


async def _relay(profile: LinkProfile, target: str, seed: int) -> None:
    to = Endpoint.parse(target)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            outgoing = small_buffers(socket.socket())
            outgoing.setblocking(False)
            await asyncio.get_running_loop().sock_connect(outgoing, (to.host, to.port))
            there, back = await asyncio.open_connection(sock=outgoing, limit=SEGMENT_BYTES)
        except OSError as error:
            show(f"the relay cannot reach {target}: {error}")
            writer.close()
            return
        await asyncio.gather(
            pump(reader, back, up, segments_at_most(profile.up)),
            pump(there, writer, down, segments_at_most(profile.down)),
        )
        back.close()
        writer.close()

    up, down = pipes(replace(profile, up=without_loss(profile.up), down=without_loss(profile.down)), seed)
    listener = small_buffers(socket.socket())
    listener.bind((LOOPBACK, 0))
    server = await asyncio.start_server(connected, sock=listener, limit=SEGMENT_BYTES)
    tell(address=f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}")
    async with server:
        await server.serve_forever()


@contextlib.contextmanager
def relay_link(profile: LinkProfile, target: str, *, seed: int = 1) -> Iterator[str]:
    """Relay to ``target`` (HOST:PORT) through the link; gives the HOST:PORT to connect to instead.

    Raises:
        NotStartedError: the relay did not start.
    """
    with announced(child(relay, profile=as_json(profile), target=target, seed=seed)) as running:
        yield str(running.told["address"])
