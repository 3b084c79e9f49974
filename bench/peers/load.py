"""Closed-loop load: each client sends its next frame when the answer to the last has come."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np

from siftfunnel.bench.peers.wires import Ask

WARM_UP_S = 0.3
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Measured:
    """One load on one peer.

    Attributes:
        frames: Answered within the time that counts.
        frames_per_s: Those per second.
        p50_ms: Median latency at the client, milliseconds.
        p99_ms: 99th percentile of it.
        client_cpu: Processor time of the load generator over the wall clock; near 1 it is what limits.
        answered: All frames, those of the warm-up and the last ones as well.
    """

    frames: int
    frames_per_s: float
    p50_ms: float
    p99_ms: float
    client_cpu: float
    answered: int


Connect = Callable[[], AbstractAsyncContextManager[Ask]]
"""Opens a connection of a client's own."""


async def run_load(connect: Connect, requests: Sequence[bytes], clients: int, seconds: float) -> Measured:
    """Drive a peer for ``seconds`` after a warm-up.

    Args:
        connect: To it.
        requests: Made beforehand; clients go through them in turn, each from another place.
        clients: How many.
        seconds: For so long.

    Raises:
        TimeoutError: it stopped answering.
        Exception: whatever the wire raises for an answer that is none.
    """
    async with asyncio.timeout(WARM_UP_S + seconds + _PATIENCE_S):
        return await _run(connect, requests, clients, seconds)


async def _run(connect: Connect, requests: Sequence[bytes], clients: int, seconds: float) -> Measured:
    answers = _Answers()
    async with AsyncExitStack() as stack:
        asks = [await stack.enter_async_context(connect()) for _ in range(clients)]
        answers.counted_from_s = time.perf_counter() + WARM_UP_S
        answers.until_s = answers.counted_from_s + seconds
        watch = asyncio.create_task(_client_cpu_s(WARM_UP_S, seconds))
        async with asyncio.TaskGroup() as group:
            for place, ask in enumerate(asks):
                first = place * len(requests) // clients
                group.create_task(_client(ask, [*requests[first:], *requests[:first]], answers))
        client_cpu_s, watched_s = await watch
    latencies_s = answers.latencies_s
    if not latencies_s:
        raise TimeoutError(f"no answer within {seconds:g} s")
    p50_ms, p99_ms = np.percentile(latencies_s, (50, 99)) * 1000
    return Measured(
        frames=len(latencies_s),
        frames_per_s=round(len(latencies_s) / seconds, 1),
        p50_ms=round(float(p50_ms), 3),
        p99_ms=round(float(p99_ms), 3),
        client_cpu=round(client_cpu_s / watched_s, 3),
        answered=answers.all,
    )


@dataclass
class _Answers:
    """What the clients of one load write down."""

    counted_from_s: float = 0.0
    until_s: float = 0.0
    all: int = 0
    latencies_s: list[float] = field(default_factory=list)


async def _client(ask: Ask, requests: Sequence[bytes], answers: _Answers) -> None:
    for request in cycle(requests):
        sent_s = time.perf_counter()
        await ask(request)
        answered_s = time.perf_counter()
        answers.all += 1
        if answered_s > answers.until_s:
            return
        if answered_s >= answers.counted_from_s:
            answers.latencies_s.append(answered_s - sent_s)


async def _client_cpu_s(after_s: float, seconds: float) -> tuple[float, float]:
    await asyncio.sleep(after_s)
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    return time.process_time() - cpu_s, time.perf_counter() - wall_s
