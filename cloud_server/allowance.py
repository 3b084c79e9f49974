"""What one client may have under way and send, and what all of them may make the server hold.

    message read -> turn() -> take() -> frames in the queue, ..., replies taken by the client -> give_back()

What is over is not refused: the message waits, the stream is read no further, HTTP/2's flow control stops the
client, and the others do not notice. Of one event loop.
"""

import asyncio
import math
from collections import deque

_BURST_S = 0.1
"""A client that was silent may send as much at once as its rate allows for this long; longer bursts are what
others would wait for."""


class Rate:
    """So many units a second, on average over longer times than a burst (GCRA, as ATM had it).

    >>> rate = Rate(100.0, now_s=0.0)
    >>> rate.take(10, now_s=0.0)
    >>> rate.wait_s(now_s=0.0)
    0.0
    >>> rate.take(50, now_s=0.0)
    >>> rate.wait_s(now_s=0.0), rate.wait_s(now_s=0.5)
    (0.5, 0.0)
    """

    def __init__(self, per_second: float, now_s: float) -> None:
        self._per_second = per_second
        self._paid_until_s = now_s - _BURST_S

    def take(self, units: float, now_s: float) -> None:
        """Use some up; it may run into debt."""
        self._paid_until_s = max(self._paid_until_s, now_s - _BURST_S) + units / self._per_second

    def wait_s(self, now_s: float) -> float:
        """Until the debt is paid, seconds."""
        return max(self._paid_until_s - now_s, 0.0)


class Allowance:
    """What may be under way; a parent's counts too.

    Args:
        frames: unanswered at most.
        held_bytes: payloads and outputs that the frames may make the server hold; one message may be over.
        frames_per_second: taken at most; None: any number.
        bytes_per_second: of payload; None: any amount.
        parent: the server's, of which this is a client's.
    """

    def __init__(
        self,
        frames: float = math.inf,
        held_bytes: float = math.inf,
        frames_per_second: float | None = None,
        bytes_per_second: float | None = None,
        parent: "Allowance | None" = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._most_frames, self._most_bytes = frames, held_bytes
        now_s = self._loop.time()
        self._frame_rate, self._byte_rate = (
            Rate(each or math.inf, now_s) for each in (frames_per_second, bytes_per_second)
        )
        self._parent = parent
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.frames = self.held_bytes = 0

    @property
    def room(self) -> float:
        """Frames that may be taken now."""
        return self._most_frames - self.frames

    @property
    def idle(self) -> bool:
        """Whether a new one would be as good: nothing is under way or owed."""
        return not self.frames and not self._waiting and not self._debt_s()

    async def turn(self) -> None:
        """Wait until there is room for a frame; then it must be taken before anything else is awaited."""
        while await self._waited() or (self._parent is not None and await self._parent._waited()):
            pass

    def take(self, frames: int, payload_bytes: int, held_bytes: int) -> None:
        """Frames are under way.

        Args:
            frames: how many.
            payload_bytes: of all of them.
            held_bytes: what they may make the server hold.
        """
        now_s = self._loop.time()
        self._frame_rate.take(frames, now_s)
        self._byte_rate.take(payload_bytes, now_s)
        self._hold(frames, held_bytes)
        if self._parent is not None:
            self._parent._hold(frames, held_bytes)

    def give_back(self, frames: int, held_bytes: int) -> None:
        """Frames are answered, and the answers taken; or nobody waits for them any more."""
        for each in (self, self._parent):
            if each is not None:
                each._hold(-frames, -held_bytes)
                each._wake(frames)

    def _hold(self, frames: int, held_bytes: int) -> None:
        self.frames += frames
        self.held_bytes += held_bytes

    def _full(self) -> bool:
        return self.frames >= self._most_frames or self.held_bytes >= self._most_bytes

    def _debt_s(self) -> float:
        now_s = self._loop.time()
        return max(self._frame_rate.wait_s(now_s), self._byte_rate.wait_s(now_s))

    async def _waited(self) -> bool:
        """Wait once, if at all."""
        if self._full():
            turn = self._loop.create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake(1)  # the turn was this one's, which is gone
                raise
            return True
        if (debt_s := self._debt_s()) > 0:
            await asyncio.sleep(debt_s)
            return True
        return False

    def _wake(self, count: int) -> None:
        """Let as many look again as frames came back; one that finds no room waits anew."""
        while count and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                count -= 1
