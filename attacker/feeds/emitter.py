"""Events on their way from a feed's thread to its sink, counted on the way."""

import logging
from collections.abc import Iterable

from siftfunnel.attacker.feeds.tally import Tally
from siftfunnel.attacker.tap.events import Event, Sink

log = logging.getLogger(__name__)


class Emitter:
    """Hands events over; an observer that raises is counted and does not end the feed."""

    def __init__(self, feed: str) -> None:
        self.tally = Tally()
        self.sink: Sink = _nobody
        self._feed = feed

    def emit(self, events: Iterable[Event]) -> None:
        """Count events and hand them over, in order."""
        for event in events:
            self.tally.note(event)
            try:
                self.sink(event)
            except Exception:  # an observer's fault must not end the tap
                log.exception("an observer of %s failed", self._feed)
                self.tally.drop("events: an observer failed")


def _nobody(event: Event) -> None:
    """The sink before there is one."""
