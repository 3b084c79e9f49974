"""Which frames are where: a pure state machine for the in-flight window and its resends.

No sockets, threads or clocks: callers pass the time in and carry out what `next_step` says.

    hand_in -> queued --Send--> in flight -> settled (exactly once)
                 ^                 |
                 +-- refused (full: later), turned away (draining), connection lost,
                     reply damaged or missing while others come

A frame keeps its payload until it is settled, so it can always be sent again, and a reply
for a frame that is not in flight settles nothing, so no frame is settled twice. A budget that
runs out settles its frame wherever that is; an answer that comes later is none.
"""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from siftfunnel.edge_client import outcome
from siftfunnel.edge_client.flight import Flight
from siftfunnel.edge_client.frame import EncodedFrame, Held
from siftfunnel.edge_client.settings import WindowPolicy


@dataclass(frozen=True, slots=True)
class Send:
    """Send this frame now, with what is left of its budget (None: no budget)."""

    frame: EncodedFrame
    budget_ms: int | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to send before this time (None: until something happens)."""

    until_s: float | None


@dataclass(frozen=True, slots=True)
class Finish:
    """Send nothing more on this connection and let the replies come in."""


@dataclass(frozen=True, slots=True)
class Stalled:
    """Drop the connection: what the server does, as the end of a sentence about it."""

    reason: str


Step = Send | Wait | Finish | Stalled


@dataclass(frozen=True, slots=True)
class Failed:
    """A frame settled without an answer."""

    held: Held
    code: str
    message: str


@dataclass
class InFlightWindow:
    """The frames handed in and not settled, and where each of them is.

    Args:
        policy: the limits.
        jitter: gives numbers in [0, 1); spreads the retries of many devices.
    """

    policy: WindowPolicy
    jitter: Callable[[], float]
    _queue: list[tuple[int, Held]] = field(default_factory=list)
    _delayed: list[tuple[float, int, Held]] = field(default_factory=list)
    _flight: Flight = field(default_factory=Flight)
    _failed: list[Failed] = field(default_factory=list)
    _server_window: int = 1
    _connected: bool = False
    _draining: bool = False
    _probing: bool = False
    _closed: bool = False
    _due_s: float = math.inf

    @property
    def unanswered(self) -> int:
        """Frames handed in and not settled."""
        return self.waiting + len(self._flight)

    @property
    def waiting(self) -> int:
        """Frames that are to be sent."""
        return len(self._queue) + len(self._delayed)

    @property
    def in_flight(self) -> int:
        """Frames sent on the present connection and not replied to."""
        return len(self._flight)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do and nothing more will come."""
        return self._closed and self.unanswered == 0

    @property
    def closed(self) -> bool:
        """Whether no more frames are taken."""
        return self._closed

    @property
    def draining(self) -> bool:
        """Whether the present connection's server takes no more frames."""
        return self._draining

    def fault(self, now_s: float) -> str | None:
        """Why the present connection is of no use, as the end of a sentence about the server; or None."""
        silent_s = self._flight.silent_s(now_s)
        if silent_s >= self.policy.reply_timeout_s:
            return f"has answered nothing for {silent_s:.1f} s; is it overloaded?"
        if (strays := self._flight.strays) > self.policy.strays_max:
            return f"sends replies to frames that it was not sent, {strays} since its last answer"
        return None

    def has_room(self, limit: int | None = None) -> bool:
        """Whether one more frame may be handed in, under the policy's limit or a lower one."""
        return not self._closed and self.unanswered < min(self.policy.limit, limit or self.policy.limit)

    @property
    def server_window(self) -> int:
        """Frames in flight that the server takes; 1 until it has told."""
        return self._server_window

    def hand_in(self, frame: EncodedFrame) -> None:
        """Take a frame. From here on it is settled exactly once.

        Raises:
            ValueError: there is no room, nothing more is taken, or the number is in use.
        """
        if not self.has_room():
            raise ValueError(f"frame {frame.sequence} handed in to a window that is full or closed")
        if any(held.frame.sequence == frame.sequence for held in self._all()):
            raise ValueError(f"frame {frame.sequence} is already in the window")
        heapq.heappush(self._queue, (frame.sequence, Held(frame)))
        if frame.deadline_s is not None:
            self._due_s = min(self._due_s, frame.deadline_s)

    def close(self) -> None:
        """Take no more frames; what was handed in is still settled."""
        self._closed = True

    def connected(self, server_window: int | None, now_s: float) -> None:
        """A stream is open; `server_window` is what the server told, None where it did not yet."""
        assert not self._flight, "the last connection ends before the next one begins"
        self._connected, self._draining = True, False
        self._server_window = max(1, server_window) if server_window is not None else 1
        self._flight = Flight(now_s)

    def disconnected(self, now_s: float, *, suspect: bool, message: str = "") -> None:
        """The stream is gone: everything in flight is queued again, in order.

        Args:
            now_s: present time.
            suspect: whether one of the frames in flight may have ended the call. Frames then go one
                at a time until a reply comes, and the one that is alone in flight each time fails.
            message: what the connection ended with.
        """
        self._connected, self._draining = False, False
        lost, owed = self._flight.waiting, self._flight.owed
        self._flight = Flight(now_s)
        if suspect and len(lost) == owed == 1:
            lost[0].suspicions += 1
            if lost[0].suspicions >= self.policy.suspicions_max:
                self._fail(lost.pop(), outcome.REJECTED, f"the server ends the call at this frame: {message}")
        self._probing = suspect and bool(self._probing or lost)
        for held in lost:
            self._enqueue(held)

    def next_steps(self, now_s: float, most: int) -> list[Send] | Wait | Finish | Stalled:
        """`next_step` for a sender that puts up to `most` frames into one message.

        A message that could hold more waits for company as long as replies are under way, which will make
        room or leave it alone; with nothing in flight it goes at once. It never takes more than half of what
        may be in flight, so that the server always has the next one.
        """
        step = self.next_step(now_s, self._group(most))
        if not isinstance(step, Send):
            return step
        steps = [step]
        while len(steps) < self._group(most) and isinstance(step := self.next_step(now_s), Send):
            steps.append(step)
        return steps

    def _group(self, most: int) -> int:
        return max(1, min(most, self._send_limit() // 2))

    def next_step(self, now_s: float, company: int = 1) -> Step:
        """What the sender of the present connection does now.

        Args:
            now_s: present time.
            company: frames that must be ready before one goes, unless no more are to be expected.
        """
        self.expire(now_s)
        if not self._connected or self._draining or self.done:
            return Finish()
        if (reason := self.fault(now_s)) is not None:
            return Stalled(reason)
        while self._delayed and self._delayed[0][0] <= now_s:
            self._enqueue(heapq.heappop(self._delayed)[2])
        ready = min(len(self._queue), self._send_limit() - self._flight.owed)
        if ready > 0 and (ready >= company or not self._flight.owed or self._is_last(ready)):
            return self._send(heapq.heappop(self._queue)[1], now_s)
        return Wait(self._wake_s())

    def _is_last(self, ready: int) -> bool:
        return self._closed and ready == len(self._queue)

    def _send_limit(self) -> int:
        return 1 if self._probing else min(self.policy.limit, self._server_window)

    def _send(self, held: Held, now_s: float) -> Send:
        held.sends += 1
        if held.first_sent_s is None:
            held.first_sent_s = now_s
        self._flight.send(held, now_s)
        deadline_s = held.frame.deadline_s
        # a budget of 0 can never be met, so the last millisecond is rounded up
        left_ms = None if deadline_s is None else max(1, int((deadline_s - now_s) * 1000))
        return Send(held.frame, left_ms)

    def _wake_s(self) -> float | None:
        times = [self._due_s, *(when_s for when_s, *_ in self._delayed[:1])]
        if self._flight.owed:
            times.append(self._flight.last_sign_s + self.policy.reply_timeout_s)
        earliest_s = min(times)
        return earliest_s if math.isfinite(earliest_s) else None

    def expire(self, now_s: float) -> None:
        """Fail the frames whose budget ran out, and send again what the server passed over."""
        if now_s < self._due_s:
            return
        for held in self._all():
            if held.frame.deadline_s is not None and held.frame.deadline_s <= now_s:
                self._fail(held, outcome.BUDGET_EXCEEDED, self._forget(held))
        for held in self._flight.passed_over(now_s - self._patience_s):
            self._lose(held, outcome.NO_REPLY, "the server answers later frames and not this one")
        deadlines_s = (held.frame.deadline_s for held in self._all())
        self._due_s = min((each for each in deadlines_s if each is not None), default=math.inf)
        self._expect_passed_over()

    def left_s(self, now_s: float) -> float:
        """How long until the first budget may run out, seconds; infinity without budgets."""
        return max(0.0, self._due_s - now_s)

    @property
    def _patience_s(self) -> float:
        return min(self.policy.passed_over_s, self.policy.reply_timeout_s)

    def _expect_passed_over(self) -> None:
        if (first_s := self._flight.first_passed_s) is not None:
            self._due_s = min(self._due_s, first_s + self._patience_s)

    def _forget(self, held: Held) -> str:
        """Take out a frame whose budget ran out; what to tell about it."""
        self._flight.release(held.frame.sequence)
        self._queue = [entry for entry in self._queue if entry[1] is not held]
        self._delayed = [entry for entry in self._delayed if entry[2] is not held]
        heapq.heapify(self._queue)
        heapq.heapify(self._delayed)
        if held.sends:
            return "the budget ran out before the answer came; raise it, or look why the server is slow"
        return "the budget ran out before the frame could be sent; raise it or send fewer frames"

    def payload_of(self, sequence: int) -> bytes | None:
        """What was sent of the frame in flight with this number; None where there is none."""
        held = self._flight.get(sequence)
        return None if held is None else held.frame.payload

    def settle(self, sequence: int, now_s: float) -> Held | None:
        """A reply came for this frame: give the frame out, or None for one that is not in flight."""
        held = self._flight.reply(sequence, now_s)
        self._expect_passed_over()
        if held is not None:
            self._probing = False
        return held

    def damaged(self, now_s: float) -> None:
        """A reply came that cannot be trusted, its number included: by its place it is the oldest frame's."""
        sequence = self._flight.oldest()
        if sequence is None:
            self._flight.strays += 1
        elif (held := self.settle(sequence, now_s)) is not None:
            message = "its replies come damaged, or answer another payload; use TLS, or look at the line"
            self._lose(held, outcome.DAMAGED, message)

    def _lose(self, held: Held, code: str, message: str) -> None:
        """A frame's reply is lost: send the frame again, up to the policy's limit."""
        held.losses += 1
        if held.losses >= self.policy.losses_max:
            self._fail(held, code, f"{message}; sent {held.sends} times")
        else:
            self._enqueue(held)

    def refused(self, sequence: int, retry_after_ms: int, message: str, now_s: float) -> None:
        """The server's queue was full: send the frame again later, up to the policy's limit."""
        held = self.settle(sequence, now_s)
        if held is None:
            return
        held.refusals += 1
        if held.refusals >= self.policy.refusals_max:
            self._fail(held, "RESOURCE_EXHAUSTED", f"refused {held.refusals} times, last: {message}")
            return
        growing_ms = self.policy.retry_floor_ms * 2 ** (held.refusals - 1)
        delay_ms = min(max(retry_after_ms, growing_ms), self.policy.retry_ceiling_ms)
        held.not_before_s = now_s + delay_ms * (1 + 0.25 * self.jitter()) / 1000
        heapq.heappush(self._delayed, (held.not_before_s, held.frame.sequence, held))

    def turned_away(self, sequence: int, now_s: float) -> None:
        """The server is draining: keep the frame for the next connection, send nothing more on this one."""
        held = self.settle(sequence, now_s)
        if held is not None:
            self._draining = True
            self._enqueue(held)

    def abandon(self, code: str, message: str) -> None:
        """Fail everything that is not settled and take no more frames."""
        self._closed = True
        held_frames = sorted(self._all(), key=lambda held: held.frame.sequence)
        self._queue, self._delayed = [], []
        for held in held_frames:
            self._flight.release(held.frame.sequence)
            self._fail(held, code, message)

    def take_failed(self) -> list[Failed]:
        """The frames that failed since the last call."""
        failed, self._failed = self._failed, []
        return failed

    def _all(self) -> list[Held]:
        waiting = [held for _, held in self._queue] + [held for *_, held in self._delayed]
        return waiting + self._flight.waiting

    def _enqueue(self, held: Held) -> None:
        heapq.heappush(self._queue, (held.frame.sequence, held))

    def _fail(self, held: Held, code: str, message: str) -> None:
        self._failed.append(Failed(held, code, message))
