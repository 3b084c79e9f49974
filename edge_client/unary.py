"""One frame over `Infer`, with the patience of a stream: reconnect, honour retry hints, give up in time."""

import random
import threading
import time

from edge_client.errors import status_error, suspects_a_frame, unreachable
from edge_client.outcome import Answer, FrameFailure
from edge_client.reconnection import Reconnection, ReconnectPolicy
from edge_client.rotation import Rotation
from edge_client.settlement import Agreement, failure_of, message_of, take_reply
from edge_client.transport import CallEnded, UnaryCalls
from edge_client.window import EncodedFrame, InFlightWindow, Send, Wait, WindowPolicy


class Unary:
    """Delivers single frames over a connection that is kept; safe from several threads.

    Args:
        servers: one or several.
        digest: the bundle's.
        agreement: bundle and codec.
        top_k: classes per answer.
        window: how often a frame is sent again.
        reconnect: how a lost server is dialled again.
    """

    def __init__(
        self,
        servers: Rotation,
        digest: str,
        agreement: Agreement,
        top_k: int,
        window: WindowPolicy,
        reconnect: ReconnectPolicy,
    ) -> None:
        self._servers = servers
        self._digest = digest
        self._agreement = agreement
        self._top_k = top_k
        self._window = window
        self._reconnect = reconnect
        self._lock = threading.Lock()
        self._calls: UnaryCalls | None = None

    def deliver(self, frame: EncodedFrame) -> Answer | FrameFailure:
        """Send a frame until it has its outcome.

        Raises:
            ServerUnreachable: no server within the connect timeout.
            ServerRefused: trying again does not help.
        """
        window = InFlightWindow(self._window, random.random)
        window.hand_in(frame)
        window.close()
        reconnection = Reconnection(self._reconnect, random.random, len(self._servers))
        while True:
            now_s = time.monotonic()
            window.connected(1, now_s)
            step = window.next_step(now_s)
            if isinstance(step, Wait) and step.until_s is not None:
                time.sleep(max(0.0, step.until_s - now_s))
            elif isinstance(step, Send) and (result := self._attempt(step, window, reconnection)) is not None:
                return result
            for failed in window.take_failed():
                return failure_of(failed, self._agreement, time.monotonic())

    def _attempt(
        self, send: Send, window: InFlightWindow, reconnection: Reconnection
    ) -> Answer | FrameFailure | None:
        """Send once; None where the frame is to be sent again or the window has failed it."""
        reconnection.dialling(time.monotonic())
        calls = self._connection()
        try:
            reply = calls.infer(message_of(send, self._agreement), self._window.reply_timeout_s)
        except CallEnded as end:
            self._replace(calls)
            window.disconnected(time.monotonic(), suspect=suspects_a_frame(end.status), message=str(end))
            if not window.done:
                self._pause(end, calls.server, reconnection)
            return None
        result = take_reply(window, reply, self._agreement, time.monotonic())
        if reply.error.code == reply.error.UNAVAILABLE:
            self._replace(calls)
            self._pause(CallEnded("UNAVAILABLE", reply.error.message), calls.server, reconnection)
        else:
            reconnection.answered()
        return result

    def close(self) -> None:
        """Free the connection."""
        self._replace(self._calls)

    def _connection(self) -> UnaryCalls:
        with self._lock:
            if self._calls is None:
                self._calls = UnaryCalls(self._servers.turn(), self._digest, self._top_k)
            return self._calls

    def _replace(self, calls: UnaryCalls | None) -> None:
        """Close a connection that failed, unless another thread has done so already."""
        with self._lock:
            if calls is None or calls is not self._calls:
                return
            self._calls = None
        calls.close()

    def _pause(self, end: CallEnded, server: str, reconnection: Reconnection) -> None:
        """Wait until the next attempt is due.

        Raises:
            EdgeError: there is none.
        """
        error = status_error(end.status, end.details, server, opened=False)
        if error and reconnection.refused(server):
            raise error
        wait_s = reconnection.lost(time.monotonic(), stalled=end.status == "DEADLINE_EXCEEDED")
        if wait_s is None:
            address = self._servers.address
            over_tls = bool(address.tls)
            raise unreachable(address.target, str(end), was_connected=False, over_tls=over_tls)
        time.sleep(wait_s)
