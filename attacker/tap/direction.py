"""Which end of a connection is the client, when its beginning was not captured.

Both readings are followed side by side until one of them makes sense: request headers or Frames on their way
up, response headers or Replies on their way down. Until then nothing is told.
"""

from collections.abc import Callable
from dataclasses import replace

from siftfunnel.attacker.tap.connection import ConnectionTap
from siftfunnel.attacker.tap.events import Direction, Event, other_way
from siftfunnel.attacker.tap.packets import Address

BY_SHAPE = "the shape of its messages"
BY_PORT = "the port numbers"
_UNDECIDED_BYTES, _UNDECIDED_EVENTS = 4 << 20, 256


class UnsureTap:
    """A `ConnectionTap` that does not know yet which direction is which.

    Args:
        make: makes the tap of a connection whose client is given.
        client: the likelier client, taken where nothing tells; "up" is what it sends.
        server: the other end.
        time_s: when the connection was met.
    """

    def __init__(
        self, make: Callable[[Address], ConnectionTap], client: Address, server: Address, time_s: float
    ) -> None:
        self._readings = (make(client), make(server))
        self._ends = ((str(client), str(server)), (str(server), str(client)))
        self._met_s = time_s
        self._held: tuple[list[Event], list[Event]] = ([], [])
        self._taken_bytes = 0
        self._chosen: int | None = None

    @property
    def buffered_bytes(self) -> int:
        """What is held back until more comes."""
        return sum(tap.buffered_bytes for tap in self._readings)

    def receive(self, direction: Direction, data: bytes, time_s: float) -> list[Event]:
        """See `ConnectionTap.receive`."""
        return self._take(direction, len(data), lambda tap, way: tap.receive(way, data, time_s))

    def lose(self, direction: Direction, byte_count: int, time_s: float, why: str) -> list[Event]:
        """See `ConnectionTap.lose`."""
        return self._take(direction, byte_count, lambda tap, way: tap.lose(way, byte_count, time_s, why))

    def close(self, time_s: float, how: str) -> list[Event]:
        """See `ConnectionTap.close`."""
        events = self._choose(0) if self._chosen is None else []
        return events + self._readings[self._chosen or 0].close(time_s, how)

    def _take(
        self, direction: Direction, byte_count: int, hand: Callable[[ConnectionTap, Direction], list[Event]]
    ) -> list[Event]:
        ways = (direction, other_way(direction))
        if self._chosen is not None:
            return hand(self._readings[self._chosen], ways[self._chosen])
        for tap, way, held in zip(self._readings, ways, self._held, strict=True):
            held += hand(tap, way)
        self._taken_bytes += byte_count
        likely, unlikely = (tap.sense for tap in self._readings)
        if likely != unlikely:
            return self._choose(0 if likely > unlikely else 1)
        most_events = max(map(len, self._held))
        undecided = self._taken_bytes <= _UNDECIDED_BYTES and most_events <= _UNDECIDED_EVENTS
        return [] if undecided else self._choose(0)

    def _choose(self, reading: int) -> list[Event]:
        tap = self._readings[reading]
        told_by = BY_SHAPE if tap.sense else BY_PORT
        opened = replace(tap.opened(self._met_s, *self._ends[reading]), told_by=told_by)
        events: list[Event] = [opened, *self._held[reading]]
        self._chosen, self._held = reading, ([], [])
        return events
