"""One frame over `Infer`, with the patience of a stream: reconnect, honour retry hints, give up in time."""

import math
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from siftfunnel.edge_client.frame import EncodedFrame
from siftfunnel.edge_client.interrupt import Interrupt
from siftfunnel.edge_client.outcome import CANCELLED, Answer, FrameFailure
from siftfunnel.edge_client.reconnection import Reconnection
from siftfunnel.edge_client.redial import Redial
from siftfunnel.edge_client.rotation import Rotation
from siftfunnel.edge_client.settings import ReconnectPolicy, WindowPolicy
from siftfunnel.edge_client.settlement import Agreement, failure_of, message_of, take_reply
from siftfunnel.edge_client.status import suspects_a_frame
from siftfunnel.edge_client.transport import Ask, CallEnded, UnaryCalls
from siftfunnel.edge_client.window import InFlightWindow, Send, Wait


@dataclass(frozen=True)
class _Delivery:
    """One frame on its way, and what decides about it."""

    window: InFlightWindow
    reconnection: Reconnection
    redial: Redial
    interrupt: Interrupt


class Unary:
    """Delivers single frames over a connection that is kept; safe from several threads.

    Args:
        servers: one or several.
        ask: what each call carries.
        agreement: bundle and codec.
        window: how often a frame is sent again.
        reconnect: how a lost server is dialled again.
    """

    def __init__(
        self,
        servers: Rotation,
        ask: Ask,
        agreement: Agreement,
        window: WindowPolicy,
        reconnect: ReconnectPolicy,
    ) -> None:
        self._servers = servers
        self._ask = ask
        self._agreement = agreement
        self._window = window
        self._reconnect = reconnect
        self._lock = threading.Lock()
        self._calls: UnaryCalls | None = None
        self._deliveries: set[Interrupt] = set()
        self._closed = False

    def deliver(self, frame: EncodedFrame, interrupt: Interrupt) -> Answer | FrameFailure:
        """Send a frame until it has its outcome.

        Args:
            frame: with its deadline, which bounds all waiting.
            interrupt: ends the delivery; the outcome is then CANCELLED. So does `close`.

        Raises:
            ServerUnreachable: no server within the connect timeout.
            ServerRefused: trying again does not help.
        """
        window = InFlightWindow(self._window, random.random)
        window.hand_in(frame)
        window.close()
        reconnection = Reconnection(self._reconnect, random.random, len(self._servers))
        delivery = _Delivery(window, reconnection, Redial(reconnection, self._servers.address), interrupt)
        with self._known(interrupt):
            while True:
                if interrupt.is_set:
                    window.abandon(CANCELLED, "the caller stopped before the answer came")
                if (result := self._step(delivery)) is not None:
                    return result
                for failed in window.take_failed():
                    return failure_of(delivery.redial.told(failed), self._agreement, time.monotonic())

    def close(self) -> None:
        """Free the connection and end what is being delivered."""
        with self._lock:
            self._closed = True
            interrupts = list(self._deliveries)
        for interrupt in interrupts:
            interrupt.set()
        self._replace(self._calls)

    @contextmanager
    def _known(self, interrupt: Interrupt) -> Iterator[None]:
        """While inside, `close` ends the delivery too."""
        with self._lock:
            self._deliveries.add(interrupt)
            closed = self._closed
        try:
            if closed:
                interrupt.set()
            yield
        finally:
            with self._lock:
                self._deliveries.discard(interrupt)

    def _step(self, delivery: "_Delivery") -> Answer | FrameFailure | None:
        now_s = time.monotonic()
        delivery.window.connected(1, now_s)
        step = delivery.window.next_step(now_s)
        if isinstance(step, Wait) and step.until_s is not None:
            delivery.interrupt.wait(max(0.0, step.until_s - now_s))
        elif isinstance(step, Send):
            return self._attempt(step, delivery)
        return None

    def _attempt(self, send: Send, delivery: "_Delivery") -> Answer | FrameFailure | None:
        """Send once; None where the frame is to be sent again or the window has failed it."""
        window = delivery.window
        delivery.reconnection.dialling(time.monotonic())
        calls = self._connection()
        budget_s = math.inf if send.budget_ms is None else send.budget_ms / 1000
        timeout_s = min(self._window.reply_timeout_s, budget_s)
        try:
            reply, terms = calls.infer(message_of(send, self._agreement), timeout_s, delivery.interrupt)
        except CallEnded as end:
            window.disconnected(time.monotonic(), suspect=suspects_a_frame(end.status), message=str(end))
            self._after(end, calls, timeout_s, delivery)
            return None
        result = take_reply(window, reply, self._agreement, terms, time.monotonic())
        if window.in_flight:
            # the one reply of this call has another frame's number
            window.damaged(time.monotonic())
        if window.draining:
            self._after(CallEnded("UNAVAILABLE", "the server is draining"), calls, timeout_s, delivery)
        else:
            delivery.reconnection.answered()
        return result

    def _after(self, end: CallEnded, calls: UnaryCalls, waited_s: float, delivery: "_Delivery") -> None:
        """Leave a connection that is of no use, and wait until the next attempt is due or the budget is over.

        Raises:
            EdgeError: there is no next attempt.
        """
        now_s = time.monotonic()
        late = end.status == "DEADLINE_EXCEEDED"
        left_s = delivery.window.left_s(now_s)
        if delivery.interrupt.is_set:
            return
        # one call that is late says nothing about a connection on which others are answered
        if not late or calls.silent_s(now_s) >= self._window.reply_timeout_s:
            self._replace(calls)
        if late:
            delivery.redial.present()
        if late and waited_s < self._window.reply_timeout_s:
            delivery.interrupt.wait(left_s)
        elif not delivery.window.done:
            fault = f"has not answered within {waited_s:.1f} s; is it overloaded?" if late else None
            wait_s = delivery.redial.wait_s(end, calls.server, opened=calls.proven, fault=fault)
            delivery.interrupt.wait(min(wait_s, left_s))

    def _connection(self) -> UnaryCalls:
        with self._lock:
            if self._calls is None:
                self._calls = UnaryCalls(self._servers.turn(), self._ask)
            return self._calls

    def _replace(self, calls: UnaryCalls | None) -> None:
        """Close a connection that failed, unless another thread has done so already."""
        with self._lock:
            if calls is None or calls is not self._calls:
                return
            self._calls = None
        calls.close()
