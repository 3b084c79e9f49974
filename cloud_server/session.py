"""One call: frames in, replies out in the order of the frames.

Two coroutines and no task per frame: the reader turns messages into tickets, the writer sends the head of the
line as soon as it has its reply. A full window stops the reader, HTTP/2 flow control then stops the client.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from cloud_server.lane import Lane, Ticket
from shared.flows import Direction
from shared.rpc import split_inference_pb2 as pb

Overhear = Callable[[Direction, bytes], None]
"""Called with "up" or "down" and the serialised message."""

_log = logging.getLogger(__name__)

DRAINING = "the server is shutting down; connect again and send what is unanswered"


BROKEN = "the stream could not be read further; connect again and send what is unanswered"


class BadMessageError(ValueError):
    """A message that is not a `Frame`: without a sequence there is nothing to reply to, so the call ends."""


def parse_frame(message: bytes) -> pb.Frame:
    """Parse what came off the wire.

    Raises:
        BadMessageError: not a `Frame`.
    """
    try:
        return pb.Frame.FromString(message)
    except DecodeError:
        raise BadMessageError(f"a message of {len(message)} bytes is not a siftfunnel.v1.Frame") from None


def make_ticket(owner: "StreamSession | UnaryCall", frame: pb.Frame, top_k: int) -> tuple[Ticket, int | None]:
    """A ticket stamped with the time of its arrival, and the frame's budget in milliseconds."""
    budget_ms = frame.budget_ms if frame.HasField("budget_ms") else None
    return Ticket(owner, frame.sequence, frame.codec, frame.payload, top_k, time.perf_counter()), budget_ms


class UnaryCall:
    """The owner of a single frame."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._answered = asyncio.Event()

    def wake(self) -> None:
        """The reply is there."""
        self._answered.set()

    async def run(self, message: bytes, top_k: int) -> bytes:
        """Reply to one serialised frame.

        Raises:
            BadMessageError: not a `Frame`.
        """
        ticket, budget_ms = make_ticket(self, parse_frame(message), top_k)
        self._lane.enter()
        try:
            self._lane.submit(ticket, budget_ms)
            if ticket.reply is None:
                await self._answered.wait()
        finally:
            self._lane.leave(self)
        assert ticket.reply is not None
        return ticket.reply


class StreamSession:
    """One `Stream` call.

    Args:
        context: of the call.
        lane: of the bundle that the call named.
        window: frames that may be unanswered before the reader pauses.
        top_k: classes per prediction.
        overhear: gets a copy of every message, or None.
    """

    def __init__(
        self,
        context: "grpc.aio.ServicerContext[Any, Any]",
        lane: Lane,
        window: int,
        top_k: int,
        overhear: Overhear | None = None,
    ) -> None:
        self._context = context
        self._lane = lane
        self._window = window
        self._top_k = top_k
        self._overhear = overhear
        self._pending: deque[Ticket] = deque()
        self._loop = asyncio.get_running_loop()
        self._writer_sleeps: asyncio.Future[None] | None = None
        self._reader_sleeps: asyncio.Future[None] | None = None
        self._reading = True
        self._draining = False
        self._bad_message: BadMessageError | None = None

    async def run(self) -> None:
        """Serve until the client is done, the server drains, or a message is not a frame."""
        self._lane.enter()
        reader = self._loop.create_task(self._read())
        try:
            await self._write()
        finally:
            reader.cancel()
            self._lane.leave(self)
            (trouble,) = await asyncio.gather(reader, return_exceptions=True)
        if isinstance(trouble, Exception):
            # Ended well, the call would tell the client that everything it sent was taken.
            _log.error("a stream could not be read further", exc_info=trouble)
            await self._context.abort(grpc.StatusCode.INTERNAL, BROKEN)
        if self._bad_message is not None:
            await self._context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(self._bad_message))
        if self._draining:
            await self._context.abort(grpc.StatusCode.UNAVAILABLE, DRAINING)

    def wake(self) -> None:
        """Some tickets have their replies."""
        _resume(self._writer_sleeps)

    def drain(self) -> None:
        """Take no more frames; end with UNAVAILABLE once all that were taken are answered."""
        self._draining = self._reading
        self.wake()

    @property
    def unanswered(self) -> int:
        """Frames taken and not yet answered."""
        return len(self._pending)

    async def _read(self) -> None:
        try:
            while (message := await self._context.read()) is not grpc.aio.EOF:
                if self._draining:
                    # Not taken: the call ends with UNAVAILABLE, which tells the client to send it elsewhere.
                    return
                self._take(message)
                while len(self._pending) >= self._window:
                    self._reader_sleeps = self._loop.create_future()
                    await self._reader_sleeps
            # The client is done and all it sent was taken: nothing is left to send elsewhere.
            self._draining = False
        except BadMessageError as error:
            self._bad_message = error
        finally:
            self._reading = False
            self.wake()

    def _take(self, message: bytes) -> None:
        ticket, budget_ms = make_ticket(self, parse_frame(message), self._top_k)
        if self._overhear is not None:
            self._overhear("up", message)
        self._pending.append(ticket)
        self._lane.submit(ticket, budget_ms)
        if ticket.reply is not None:
            self.wake()

    async def _write(self) -> None:
        while True:
            while self._pending and (reply := self._pending[0].reply) is not None:
                await self._context.write(reply)
                self._pending.popleft()
                _resume(self._reader_sleeps)
                if self._overhear is not None:
                    self._overhear("down", reply)
            if not self._pending and (self._draining or not self._reading):
                return
            self._writer_sleeps = self._loop.create_future()
            await self._writer_sleeps


def _resume(sleeper: "asyncio.Future[None] | None") -> None:
    if sleeper is not None and not sleeper.done():
        sleeper.set_result(None)
