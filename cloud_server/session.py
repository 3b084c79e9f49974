"""One call: frames in, replies out in the order of the frames.

Two coroutines and no task per frame: the reader turns messages into tickets, the writer sends the head of the
line as soon as it has its reply. A full window stops the reader, even inside a message of several frames;
HTTP/2 flow control then stops the client.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from typing import Any, Protocol

import grpc

from siftfunnel.cloud_server.allowance import Allowance
from siftfunnel.cloud_server.callers import Caller
from siftfunnel.cloud_server.lane import Lane
from siftfunnel.cloud_server.messages import (
    BadMessageError,
    Messages,
    Single,
    TooLargeMessageError,
    check_size,
    parse_frame,
)
from siftfunnel.cloud_server.ticket import Owner, Ticket, Wish
from siftfunnel.shared.call_metadata import MOST
from siftfunnel.shared.flows import Direction
from siftfunnel.shared.reply_seal import ReplySeal
from siftfunnel.shared.rpc import split_inference_pb2 as pb

Overhear = Callable[[Direction, bytes], None]
"""Called with "up" or "down" and the serialised message."""

_log = logging.getLogger(__name__)

DRAINING = "the server is shutting down; connect again and send what is unanswered"

CHANGED = "what this client may do has changed; connect again"

GIVES_WAY = "the server is full and this stream was idle; connect again when there is something to send"

SINGLE = Single()

BROKEN = "the stream could not be read further; connect again and send what is unanswered"


def status_of(error: BadMessageError) -> grpc.StatusCode:
    """With what a call ends over a message."""
    too_large = isinstance(error, TooLargeMessageError)
    return grpc.StatusCode.RESOURCE_EXHAUSTED if too_large else grpc.StatusCode.INVALID_ARGUMENT


class Account:
    """Makes the tickets of one call, and holds them against its client's allowance until they are done with.

    Args:
        owner: waits for the replies.
        wish: what the call wants to know.
        seal: of the bundle's replies.
        allowance: the client's.
        output_bytes: what the outputs of one reply take at most.
    """

    def __init__(
        self, owner: Owner, wish: Wish, seal: ReplySeal, allowance: Allowance, output_bytes: int = 0
    ) -> None:
        self.allowance = allowance
        self._owner, self._wish, self._seal = owner, wish, seal
        self._output_bytes = output_bytes

    def open(self, frames: Sequence[pb.Frame]) -> list[tuple[Ticket, int | None]]:
        """Tickets stamped with the time of their arrival, each with its frame's budget in milliseconds."""
        entries = [(self._ticket(frame), _budget_ms(frame)) for frame in frames]
        payload_bytes = sum(len(frame.payload) for frame in frames)
        held_bytes = sum(ticket.held_bytes for ticket, _ in entries)
        self.allowance.take(len(entries), payload_bytes, held_bytes)
        return entries

    def close(self, tickets: Collection[Ticket]) -> None:
        """Their answers are taken, or nobody waits for them any more."""
        self.allowance.give_back(len(tickets), sum(ticket.held_bytes for ticket in tickets))

    def _ticket(self, frame: pb.Frame) -> Ticket:
        received_s = time.perf_counter()
        payload = frame.payload
        return Ticket(
            self._owner,
            frame.sequence,
            frame.codec,
            payload,
            self._wish,
            received_s,
            self._seal.begin(payload),
            len(payload) + self._output_bytes,
            bool(frame.padding),
        )


def _budget_ms(frame: pb.Frame) -> int | None:
    return frame.budget_ms if frame.HasField("budget_ms") else None


class UnaryCall:
    """The owner of a call's frames: one, or some that came together.

    Args:
        lane: of the bundle that the call named.
        caller: whose call it is.
        wish: what the call wants to know.
        seal: of the same bundle's replies.
        output_bytes: what the outputs of one reply take at most.
    """

    def __init__(
        self, lane: Lane, caller: Caller, wish: Wish, seal: ReplySeal, output_bytes: int = 0
    ) -> None:
        self.client: Hashable = caller.key
        self._lane = lane
        self._account = Account(self, wish, seal, caller.allowance, output_bytes)
        self._answered = asyncio.Event()

    def wake(self) -> None:
        """The reply is there."""
        self._answered.set()

    async def run(self, message: bytes) -> bytes:
        """Reply to one serialised frame.

        Raises:
            BadMessageError: not a `Frame`.
        """
        (ticket,) = await self.answer([parse_frame(message)])
        reply = ticket.sealed()
        assert reply is not None
        return reply

    async def answer(self, frames: Sequence[pb.Frame]) -> list[Ticket]:
        """The tickets of some frames that enter the queue together, once all have replies."""
        await self._account.allowance.turn()
        entries = self._account.open(frames)
        tickets = [ticket for ticket, _ in entries]
        self._lane.enter()
        try:
            self._lane.submit_all(entries)
            while any(ticket.reply is None for ticket in tickets):
                self._answered.clear()
                await self._answered.wait()
        finally:
            self._lane.leave(self)
            self._account.close(tickets)
        return tickets


class OpenStream(Protocol):
    """What the service asks of a stream, whatever it speaks.

    Attributes:
        caller: whose call it is.
    """

    caller: Caller

    @property
    def lane(self) -> Lane | None:
        """Of the one bundle that it is about; None where each message names its own."""

    @property
    def idle_s(self) -> float:
        """How long nothing has been under way; 0 where something is."""

    @property
    def unanswered(self) -> int:
        """Frames taken that have no reply yet, where they are not counted elsewhere."""

    @property
    def unread(self) -> int:
        """Replies that the client has not taken."""

    def drain(self, why: str = DRAINING) -> None:
        """Take no more; end with UNAVAILABLE once all that was taken is answered."""


class StreamSession:
    """One `Stream` or `StreamBatches` call.

    Args:
        context: of the call.
        lane: of the bundle that the call named.
        seal: of the same bundle's replies.
        window: frames that may be unanswered before the reader pauses.
        wish: what the call wants to know.
        overhear: gets a copy of every message, or None.
        messages: how frames and replies are laid into messages.
        caller: whose call it is.
        most_bytes: of one message.
        output_bytes: what the outputs of one reply take at most.
    """

    def __init__(
        self,
        context: "grpc.aio.ServicerContext[Any, Any]",
        lane: Lane,
        seal: ReplySeal,
        window: int,
        wish: Wish,
        overhear: Overhear | None,
        messages: Messages,
        caller: Caller,
        most_bytes: int = MOST,
        output_bytes: int = 0,
    ) -> None:
        self.caller = caller
        self.client: Hashable = caller.key
        self._context = context
        self.lane = lane
        self._account = Account(self, wish, seal, caller.allowance, output_bytes)
        self._window = window
        self._overhear = overhear
        self._messages, self._most_bytes = messages, most_bytes
        self._pending: deque[Ticket] = deque()
        self._loop = asyncio.get_running_loop()
        self._writer_sleeps: asyncio.Future[None] | None = None
        self._reader_sleeps: asyncio.Future[None] | None = None
        self._reading = True
        self._draining = False
        self._bad_message: BadMessageError | None = None
        self._why = DRAINING
        self._idle_since_s = self._loop.time()

    async def run(self) -> None:
        """Serve until the client is done, the server drains, or a message is not a frame."""
        self.lane.enter()
        reader = self._loop.create_task(self._read())
        try:
            await self._write()
        finally:
            reader.cancel()
            self.lane.leave(self)
            (trouble,) = await asyncio.gather(reader, return_exceptions=True)
            self._account.close(self._pending)
        if isinstance(trouble, Exception):
            # Ended well, the call would tell the client that everything it sent was taken.
            _log.error("a stream could not be read further", exc_info=trouble)
            await self._context.abort(grpc.StatusCode.INTERNAL, BROKEN)
        if self._bad_message is not None:
            await self._context.abort(status_of(self._bad_message), str(self._bad_message))
        if self._draining:
            await self._context.abort(grpc.StatusCode.UNAVAILABLE, self._why)

    def wake(self) -> None:
        """Some tickets have their replies."""
        _resume(self._writer_sleeps)

    def drain(self, why: str = DRAINING) -> None:
        """Take no more frames; end with UNAVAILABLE once all that were taken are answered."""
        self._why = why
        self._draining = self._reading
        self.wake()

    @property
    def idle_s(self) -> float:
        """How long no frame has been under way; 0 where one is, or where the stream is ending anyway."""
        return 0.0 if self._pending or self._draining else self._loop.time() - self._idle_since_s

    @property
    def unanswered(self) -> int:
        """Frames taken that have no reply yet."""
        return sum(ticket.reply is None for ticket in self._pending)

    @property
    def unread(self) -> int:
        """Replies that the client has not taken."""
        return len(self._pending) - self.unanswered

    async def _read(self) -> None:
        try:
            while (message := await self._context.read()) is not grpc.aio.EOF:
                if self._draining:
                    # Not taken: the call ends with UNAVAILABLE, which tells the client to send it elsewhere.
                    return
                check_size(message, self._most_bytes)
                frames = self._messages.frames(message, self._window)
                if self._overhear is not None:
                    self._overhear("up", message)
                if not await self._take(frames):
                    return
            # The client is done and all it sent was taken: nothing is left to send elsewhere.
            self._draining = False
        except BadMessageError as error:
            self._bad_message = error
        finally:
            self._reading = False
            self.wake()

    async def _take(self, frames: Sequence[pb.Frame]) -> bool:
        """Take the frames of one message as the window allows; False where the drain came in between."""
        at = 0
        while at < len(frames):
            allowance = self._account.allowance
            await allowance.turn()
            if self._draining:
                return False
            room = int(min(self._window - len(self._pending), allowance.room))
            self._submit(frames[at : at + room])
            at += room
            await self._room()
        return True

    async def _room(self) -> None:
        while len(self._pending) >= self._window:
            self._reader_sleeps = self._loop.create_future()
            await self._reader_sleeps

    def _submit(self, frames: Sequence[pb.Frame]) -> None:
        entries = self._account.open(frames)
        self._pending.extend(ticket for ticket, _ in entries)
        self.lane.submit_all(entries)
        if self._pending[0].reply is not None:
            self.wake()

    async def _write(self) -> None:
        while True:
            while (joined := self._messages.join(self._ready())) is not None:
                message, count = joined
                await self._context.write(message)
                self._account.close([self._pending.popleft() for _ in range(count)])
                if not self._pending:
                    self._idle_since_s = self._loop.time()
                _resume(self._reader_sleeps)
                if self._overhear is not None:
                    self._overhear("down", message)
            if not self._pending and (self._draining or not self._reading):
                return
            self._writer_sleeps = self._loop.create_future()
            await self._writer_sleeps

    def _ready(self) -> Iterator[bytes]:
        """Replies at the head of the line, in order, each sealed when it is asked for."""
        for ticket in self._pending:
            if (reply := ticket.sealed()) is None:
                return
            yield reply


def _resume(sleeper: "asyncio.Future[None] | None") -> None:
    if sleeper is not None and not sleeper.done():
        sleeper.set_result(None)
