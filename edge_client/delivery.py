"""Delivery of frames: window and reconnection policy carried out over real connections.

Threads of one stream:

    caller's producer   hand_in ─┐
    gRPC's sender       _frames  ├─ one lock around the window ── next_outcome   caller
    delivery            _run     │
    watchdog            _watch  ─┘

A stream for single pictures (`deliver`) stays open between them, and whoever waits for one is its watchdog.
No feature leaves the device before the server has confirmed the bundle's digest on that call.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from siftfunnel.edge_client import outcome
from siftfunnel.edge_client.address import ServerAddress
from siftfunnel.edge_client.errors import EdgeError, ServerUnreachable
from siftfunnel.edge_client.frame import EncodedFrame, Held
from siftfunnel.edge_client.outcome import Answer, FrameFailure, Outcome
from siftfunnel.edge_client.reconnection import Reconnection
from siftfunnel.edge_client.redial import Redial
from siftfunnel.edge_client.settlement import Agreement, Terms, failure_of, message_of, take_reply
from siftfunnel.edge_client.status import suspects_a_frame
from siftfunnel.edge_client.transport import CallEnded, StreamCall
from siftfunnel.edge_client.window import Failed, Finish, InFlightWindow, Stalled, Wait
from siftfunnel.shared.rpc import split_inference_pb2 as pb

STOPPED = "the caller stopped before the answer came"
_WATCH_EVERY_S = 0.25
_OPEN_TIMEOUT_S = 10.0
_END_TIMEOUT_S = 2.0
_UNCOLLECTED_MAX = 256
_UNCOLLECTED_BYTES = 64 * 2**20
"""Outputs of answers that nobody has fetched, before no more frames are taken."""


class Delivery:
    """Delivers frames and collects exactly one outcome for each.

    Args:
        dial: makes a call, not open yet, to the server whose turn it is.
        window: the frames' whereabouts.
        reconnection: when to dial again.
        agreement: bundle and codec.
        address: one server or several.
        frames_per_message: frames that may be sent together, where the call can do that.

    Attributes:
        on_outcome: if set before `start`, called with the lock held whenever there is a new outcome.
        error: what ended the stream, None while it runs or when it ended in order.
    """

    def __init__(
        self,
        dial: Callable[[], StreamCall],
        window: InFlightWindow,
        reconnection: Reconnection,
        agreement: Agreement,
        address: ServerAddress,
        frames_per_message: int = 1,
    ) -> None:
        self._dial = dial
        self._frames_per_message = frames_per_message
        self._window = window
        self._reconnection = reconnection
        self._agreement = agreement
        self._redial = Redial(reconnection, address)
        self._server = address
        self.on_outcome: Callable[[], None] | None = None
        lock = threading.Lock()
        self._work = threading.Condition(lock)
        self._room = threading.Condition(lock)
        self._news = threading.Condition(lock)
        self._outcomes: deque[Outcome] = deque()
        self._held_bytes = 0
        self._call: StreamCall | None = None
        self._opened = False
        self._dialled_s = 0.0
        self._done_s: float | None = None
        self._fault: str | None = None
        self._terms = Terms()
        self._was_connected = self._is_single = False
        self._over = threading.Event()
        self.error: EdgeError | None = None
        self._runner = threading.Thread(target=self._run, name="edge-stream", daemon=True)
        self._watchdog = threading.Thread(target=self._watch, name="edge-watchdog", daemon=True)

    def start(self) -> None:
        """Dial the server and begin."""
        self._runner.start()
        self._watchdog.start()

    def deliver(self, frame: EncodedFrame) -> Answer | FrameFailure:
        """Send one frame and wait for its outcome, before the next one; `error` tells what ended it early.

        The stream stays open after an answer, and ends with anything else.
        """
        self._is_single = True
        if not self.hand_in(frame):
            return failure_of(
                Failed(Held(frame), outcome.CANCELLED, STOPPED), self._agreement, time.monotonic()
            )
        if self._runner.ident is None:
            self._runner.start()
        while (result := self.next_outcome(self._look())) is None:
            continue
        assert isinstance(result, Answer | FrameFailure), "this frame's outcome is the only one"
        if isinstance(result, FrameFailure):
            # nobody is left to watch over the call
            self.abandon(outcome.CANCELLED, STOPPED)
        return result

    def wait_for_room(self, limit: int | None = None) -> bool:
        """Block until a frame may be handed in.

        Args:
            limit: a lower bound than the window's own; a live source keeps few frames under way.

        Returns:
            False where no more frames are taken.
        """
        with self._room:
            while not self._window.closed:
                if self._window.has_room(limit) and not self._is_full:
                    return True
                self._room.wait()
            return False

    def hand_in(self, frame: EncodedFrame) -> bool:
        """Take a frame; `wait_for_room` has said that there is room.

        Returns:
            False where the stream was closed in the meantime and the frame is not taken.
        """
        with self._work:
            if self._window.closed:
                return False
            self._window.hand_in(frame)
            self._work.notify_all()
            return True

    def report(self, result: Outcome) -> None:
        """Add the outcome of a frame that never came to be sent; waits while the caller collects none."""
        with self._room:
            while self._is_full and not self._window.closed:
                self._room.wait()
            self._publish(result)

    def finish(self) -> None:
        """Nothing more will be handed in; what was is still answered."""
        with self._work:
            self._window.close()
            self._work.notify_all()
            self._room.notify_all()

    def abandon(self, code: str, message: str) -> None:
        """Give up on everything unanswered: each frame's outcome is this failure."""
        with self._work:
            self._window.abandon(code, message)
            self._collect()
            call = self._call
            self._work.notify_all()
        if call is not None:
            call.cancel()

    def next_outcome(self, timeout_s: float | None = None) -> Outcome | None:
        """The next outcome; None when there will be none, or none came in time."""
        with self._news:
            self._news.wait_for(lambda: self._outcomes or self._over.is_set(), timeout_s)
            return self._pop()

    def poll_outcome(self) -> Outcome | None:
        """The next outcome if there is one."""
        with self._news:
            return self._pop()

    @property
    def idle(self) -> bool:
        """Whether it takes more frames and owes nothing for those that it had."""
        with self._work:
            return not (self._window.closed or self._window.unanswered or self._outcomes)

    @property
    def over(self) -> bool:
        """Whether every frame has its outcome and the connection is closed."""
        return self._over.is_set()

    def join(self, timeout_s: float) -> None:
        """Wait for its threads after `finish` or `abandon`."""
        for thread in (self._runner, self._watchdog):
            if thread.ident is not None:
                thread.join(timeout_s)

    def _pop(self) -> Outcome | None:
        if not self._outcomes:
            return None
        self._room.notify_all()
        result = self._outcomes.popleft()
        self._held_bytes -= _output_bytes(result)
        return result

    def _publish(self, result: Outcome) -> None:
        self._outcomes.append(result)
        self._held_bytes += _output_bytes(result)
        self._tell()

    @property
    def _is_full(self) -> bool:
        """Whether so much waits to be fetched that no more frames are taken."""
        return len(self._outcomes) >= _UNCOLLECTED_MAX or self._held_bytes >= _UNCOLLECTED_BYTES

    def _tell(self) -> None:
        self._news.notify_all()
        if self.on_outcome is not None:
            self.on_outcome()

    def _run(self) -> None:
        try:
            while self._has_work():
                self._serve_one_call()
        except EdgeError as error:
            self._fail(
                error, outcome.UNREACHABLE if isinstance(error, ServerUnreachable) else outcome.REFUSED
            )
        except Exception as error:
            # a fault of our own must not leave the caller waiting for ever
            self._fail(EdgeError(f"the stream failed: {error!r}"), "INTERNAL")
            raise
        finally:
            with self._news:
                self._over.set()
                self._tell()
                self._room.notify_all()

    def _fail(self, error: EdgeError, code: str) -> None:
        self.error = error
        self.abandon(code, str(error))

    def _has_work(self) -> bool:
        """Wait until a connection is needed; the first one is made at once, to fail early."""
        with self._work:
            while self._was_connected and not self._window.closed and not self._window.unanswered:
                self._work.wait()
            return not self._window.done

    def _serve_one_call(self) -> None:
        """Dial, send and receive until the call ends; then wait as the backoff says."""
        call = self._dial()
        self._server = call.address
        now_s = time.monotonic()
        with self._work:
            self._call, self._opened, self._fault, self._dialled_s = call, False, None, now_s
        self._reconnection.dialling(now_s)
        ended = CallEnded("OK", "")
        try:
            self._on_open(call.open(self._frames(call)))
            for reply in call.replies():
                self._on_reply(reply)
        except CallEnded as end:
            ended = end
        finally:
            self._on_end(ended)
            # what is cancelled once everything is settled says nothing about the connection
            call.close(broken=ended.status != "OK" and not self._window.done)
        self._after(ended)

    def _on_open(self, terms: Terms) -> None:
        now_s = time.monotonic()
        with self._work:
            self._reconnection.opened(now_s)
            self._window.connected(terms.window, now_s)
            self._terms = terms
            self._opened = self._was_connected = True
            self._redial.present()
            self._work.notify_all()

    def _on_end(self, ended: CallEnded) -> None:
        with self._work:
            self._call = None
            suspect = self._opened and self._fault is None and suspects_a_frame(ended.status)
            self._window.disconnected(time.monotonic(), suspect=suspect, message=str(ended))
            self._collect()
            self._work.notify_all()

    def _after(self, ended: CallEnded) -> None:
        """Decide what an ended call means: done, a wait before the next one, or the end.

        Raises:
            EdgeError: trying again does not help, or has gone on for too long.
        """
        with self._work:
            if self._window.done:
                return
            opened, fault, waiting = self._opened, self._fault, self._window.unanswered
        if self._was_connected and not waiting:
            # an idle stream that ended is no outage: `_has_work` dials again when there is a frame
            self._reconnection.answered()
            return
        server, before = self._server.target, self._was_connected
        self._pause(self._redial.wait_s(ended, server, opened=opened, fault=fault, was_connected=before))

    def _pause(self, wait_s: float) -> None:
        until_s = time.monotonic() + wait_s
        with self._work:
            while not self._window.done and (left_s := until_s - time.monotonic()) > 0:
                self._work.wait(left_s)

    def _frames(self, call: StreamCall) -> Iterator[list[pb.Frame]]:
        """What gRPC's sender reads: frames as the window lets them go; ends when nothing more may be sent."""
        while frames := self._next_frames(call):
            yield frames

    def _next_frames(self, call: StreamCall) -> list[pb.Frame]:
        with self._work:
            while self._call is call:
                now_s = time.monotonic()
                most = self._frames_per_message
                step = self._window.next_steps(now_s, most) if self._opened else Wait(None)
                self._collect()
                match step:
                    case list():
                        return [message_of(send, self._agreement) for send in step]
                    case Finish():
                        return []
                    case Stalled(reason):
                        self._fault = reason
                        call.cancel()
                        return []
                    case Wait(until_s):
                        self._work.wait(None if until_s is None else max(0.0, until_s - now_s))
            return []

    def _watch(self) -> None:
        while not self._over.wait(self._look()):
            pass

    def _look(self) -> float:
        """Notice what blocked threads cannot: a server that is silent, budgets that run out.

        Returns:
            When to look again, seconds from now.
        """
        now_s = time.monotonic()
        with self._work:
            self._window.expire(now_s)
            self._collect()
            self._rouse()
            if self._call is not None and self._is_overdue(now_s):
                self._call.cancel()
            return min(self._window.left_s(now_s), _WATCH_EVERY_S)

    def _is_overdue(self, now_s: float) -> bool:
        """Whether the server takes too long to open, to reply, or to end a stream that is done."""
        if self._window.done:
            self._done_s = self._done_s or now_s
            return now_s - self._done_s >= _END_TIMEOUT_S
        if self._opened:
            self._fault = self._fault or self._window.fault(now_s)
        elif (waited_s := now_s - self._dialled_s) >= _OPEN_TIMEOUT_S:
            self._fault = f"has not taken the call for {waited_s:.1f} s; is it overloaded?"
        return self._fault is not None

    def _on_reply(self, reply: bytes) -> None:
        now_s = time.monotonic()
        with self._work:
            in_flight = self._window.in_flight
            result = take_reply(self._window, reply, self._agreement, self._terms, now_s)
            if result is not None:
                self._publish(result)
            elif self._is_single and self._window.in_flight and self._call is not None:
                # the one reply that can come has another frame's number: what comes next may be this frame's
                self._window.damaged(now_s)
                self._call.cancel()
            if self._window.in_flight < in_flight and not self._window.draining:
                self._reconnection.answered()
            self._collect()
            self._rouse()

    def _rouse(self) -> None:
        """Wake the sender if it has something to do; woken for nothing it would delay a lone frame."""
        if self._window.waiting or self._window.done or self._window.draining:
            self._work.notify_all()

    def _collect(self) -> None:
        """Publish what the window has failed and let the producer go on; the lock is held."""
        now_s = time.monotonic()
        for failed in self._window.take_failed():
            self._publish(failure_of(self._redial.told(failed), self._agreement, now_s))
        self._room.notify_all()


def _output_bytes(result: Outcome) -> int:
    return sum(array.nbytes for array in result.outputs.values()) if isinstance(result, Answer) else 0
