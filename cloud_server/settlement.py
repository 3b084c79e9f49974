"""The one reply of each ticket: counted, set once, and told to whoever waits.

Several threads may settle a ticket: a worker, its helper, and whoever gives a hanging worker up. The first
one counts.
"""

import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from siftfunnel.cloud_server import answers
from siftfunnel.cloud_server.metrics import ANSWERED, ERROR_OUTCOMES, BundleMetrics
from siftfunnel.cloud_server.ticket import Owner, Ticket
from siftfunnel.shared.rpc import split_inference_pb2 as pb

_log = logging.getLogger(__name__)

FAILED = "the cloud half failed on this frame; the server's log says why"


class Settlement:
    """Settles the tickets of one bundle; safe from any thread.

    Args:
        metrics: the bundle's instruments.
        wake: hands owners with new replies to the event loop.
        name: for log lines.
        clock: seconds; monotonic.
    """

    def __init__(
        self,
        metrics: BundleMetrics,
        wake: Callable[[Iterable[Owner]], None],
        name: str,
        clock: Callable[[], float],
    ) -> None:
        self._metrics = metrics
        self._wake = wake
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._log_again_s = -math.inf

    def answer(self, replies: Sequence[tuple[Ticket, bytes]]) -> None:
        """Settle some tickets with their predictions and wake their owners."""
        with self._lock:
            fresh = [(ticket, reply) for ticket, reply in replies if ticket.reply is None]
            # Counted before anybody can see them: who has a reply finds it in the metrics.
            for codec, count in Counter(ticket.codec for ticket, _ in fresh).items():
                self._metrics.ended(codec, ANSWERED, count)
            for ticket, reply in fresh:
                ticket.reply = reply
        self.wake(ticket for ticket, _ in fresh)

    def refuse(self, ticket: Ticket, code: pb.FrameError.Code, message: str, retry_after_ms: int = 0) -> None:
        """Settle a ticket with an error; its owner is not woken yet."""
        with self._lock:
            if ticket.reply is not None:
                return
            self._metrics.ended(ticket.codec, ERROR_OUTCOMES[code])
            ticket.payload = b""
            ticket.reply = answers.failure(ticket.sequence, code, message, retry_after_ms)

    def fail(self, tickets: Sequence[Ticket], message: str = FAILED) -> None:
        """An error for those that have no reply yet; all are woken, who has one may not have been."""
        for ticket in tickets:
            self.refuse(ticket, pb.FrameError.INTERNAL, message)
        self.wake(tickets)

    def wake(self, tickets: Iterable[Ticket]) -> None:
        """Tell the owners of some settled tickets."""
        if owners := {ticket.owner for ticket in tickets}:
            self._wake(owners)

    def log_failure(self, what: str, ticket: Ticket, error: BaseException | None = None) -> None:
        """Once a second at most: a client that sends only poison must not fill the disk."""
        now_s = self._clock()
        if now_s >= self._log_again_s:
            self._log_again_s = now_s + 1.0
            _log.error("%s: %s on frame %d", self._name, what, ticket.sequence, exc_info=error)
