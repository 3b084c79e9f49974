"""Clients that send prepared messages: a closed loop for throughput, Poisson arrivals for latency.

One process and one event loop hold all streams, each on a connection of its own.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from siftfunnel.bench.peers.wires import open_stream
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.wire import codec_by_name, make_codecs


@dataclass(frozen=True)
class Traffic:
    """What clients send.

    Attributes:
        digest: the bundle's.
        messages: serialised, each with `frames_per_message` frames; sent in turn.
        frames_per_message: 1 goes over `Stream`, more over `StreamBatches`.
    """

    digest: str
    messages: Sequence[bytes]
    frames_per_message: int = 1

    @property
    def method(self) -> str:
        """The method of our service."""
        return "Stream" if self.frames_per_message == 1 else "StreamBatches"


def traffic_of(
    bundle: Bundle, features_NCHW: NDArray[np.float32], codec: str, frames_per_message: int = 1
) -> Traffic:
    """Traffic that repeats some features."""
    chosen = codec_by_name(make_codecs(bundle.manifest, bundle.digest), codec)
    payloads = [chosen.encode(feature) for feature in features_NCHW]
    return prepare(bundle.digest, chosen.index, payloads, frames_per_message)


def prepare(digest: str, codec: int, payloads: Sequence[bytes], frames_per_message: int = 1) -> Traffic:
    """Traffic that repeats some payloads."""
    frames = [pb.Frame(sequence=n, codec=codec, payload=payload) for n, payload in enumerate(payloads)]
    if frames_per_message == 1:
        return Traffic(digest, [frame.SerializeToString() for frame in frames])
    groups = [frames[n : n + frames_per_message] for n in range(0, len(frames), frames_per_message)]
    whole = [group for group in groups if len(group) == frames_per_message]
    return Traffic(digest, [pb.Frames(frames=g).SerializeToString() for g in whole], frames_per_message)


class Streams:
    """Open streams to one server; use inside a running event loop.

    Args:
        address: HOST:PORT.
        traffic: what they send.
        count: how many.
        token: what they show.
    """

    def __init__(self, address: str, traffic: Traffic, count: int, token: str | None = None) -> None:
        self._address, self._token = address, token
        self._traffic = traffic
        self._count = count
        self._stack = AsyncExitStack()
        self._calls: list[Any] = []
        self.batch_sizes: list[int] = []

    async def __aenter__(self) -> "Streams":
        for _ in range(self._count):
            stream = open_stream(self._address, self._traffic.digest, self._traffic.method, self._token)
            self._calls.append(await self._stack.enter_async_context(stream))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def send(self, messages_per_stream: int, window: int) -> float:
        """Send so many messages on every stream, `window` of them unanswered at a time; seconds it took."""
        started_s = time.perf_counter()
        raw = await asyncio.gather(*(self._closed(call, messages_per_stream, window) for call in self._calls))
        seconds = time.perf_counter() - started_s
        for replies in raw:
            self._check(replies, messages_per_stream * self._traffic.frames_per_message)
        return seconds

    async def send_at(self, due_s: Sequence[float]) -> list[float]:
        """Send one frame at each of these times, on the streams in turn; seconds from due time to answer."""
        started_s = time.perf_counter() + 0.05
        shares = [[started_s + due for due in due_s[n :: self._count]] for n in range(self._count)]
        pairs = zip(self._calls, shares, strict=True)
        latencies = await asyncio.gather(*(self._open(call, share) for call, share in pairs))
        return [latency for each in latencies for latency in each]

    async def _closed(self, call: Any, count: int, window: int) -> list[bytes]:
        room, messages = asyncio.Semaphore(window), self._traffic.messages

        async def write() -> None:
            for number in range(count):
                await room.acquire()
                await call.write(messages[number % len(messages)])

        writer = asyncio.create_task(write())
        wanted, group = count * self._traffic.frames_per_message, self._traffic.frames_per_message
        replies: list[bytes] = []
        got = owed = 0
        while got < wanted:
            reply = await self._reply(call)
            replies.append(reply)
            answered = 1 if group == 1 else len(pb.Replies.FromString(reply).replies)
            got += answered
            owed += answered
            while owed >= group:
                owed -= group
                room.release()
        await writer
        return replies

    async def _open(self, call: Any, due_s: Sequence[float]) -> list[float]:
        messages = self._traffic.messages

        async def write() -> None:
            for number, due in enumerate(due_s):
                if (early_s := due - time.perf_counter()) > 0:
                    await asyncio.sleep(early_s)
                await call.write(messages[number % len(messages)])

        writer = asyncio.create_task(write())
        latencies = []
        replies = []
        for due in due_s:
            replies.append(await self._reply(call))
            latencies.append(time.perf_counter() - due)
        await writer
        self._check(replies, len(due_s))
        return latencies

    async def _reply(self, call: Any) -> bytes:
        reply = await call.read()
        if reply is grpc.aio.EOF:
            raise RuntimeError(f"a stream ended early: {await call.code()} {await call.details()}")
        assert isinstance(reply, bytes)
        return reply

    def _check(self, raw: Sequence[bytes], wanted: int) -> None:
        """Parsing comes after timing; a refusal among the answers makes the figure worthless."""
        single = self._traffic.frames_per_message == 1
        replies = [
            r
            for message in raw
            for r in ([pb.Reply.FromString(message)] if single else pb.Replies.FromString(message).replies)
        ]
        for reply in replies:
            if reply.WhichOneof("outcome") != "prediction":
                raise RuntimeError(f"frame {reply.sequence} was refused: {reply.error.message}")
            self.batch_sizes.append(reply.prediction.timings.batch_size)
        if len(replies) != wanted:
            raise RuntimeError(f"{len(replies)} answers for {wanted} frames")


def poisson_arrivals(rate_per_s: float, seconds: float, seed: int = 0) -> list[float]:
    """Times of a Poisson process, seconds from 0."""
    gaps = np.random.default_rng(seed).exponential(1 / rate_per_s, int(rate_per_s * seconds * 1.5) + 10)
    times = np.cumsum(gaps)
    return [float(each) for each in times[times < seconds]]
