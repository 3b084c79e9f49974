"""Counts behind a feed's state, kept from the events that pass."""

import threading
from collections import Counter
from dataclasses import dataclass

from siftfunnel.attacker.tap.events import (
    ConnectionClosed,
    ConnectionOpened,
    Dropped,
    Event,
    Opaque,
    Overheard,
)

_MAX_KINDS = 50


@dataclass(frozen=True)
class Counts:
    """One reading of a `Tally`: the fields of a `FeedState` that are counts of events."""

    connections_open: int
    connections_seen: int
    midway_connections: int
    directions_told_by: dict[str, int]
    encrypted_connections: int
    messages: int
    opaque_bytes: int
    dropped: dict[str, int]


class Tally:
    """Counts events; written by the feed's parsing thread, read from any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[str] = set()
        self._encrypted: set[str] = set()
        self._seen = self._midway = self._encrypted_count = self._messages = self._opaque_bytes = 0
        self._told_by: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()

    def note(self, event: Event) -> None:
        """Count one event."""
        with self._lock:
            if isinstance(event, Overheard):
                self._messages += 1
            elif isinstance(event, Opaque):
                self._note_opaque(event)
            elif isinstance(event, Dropped):
                self._drop(f"{event.unit}: {event.why}", event.count)
            elif isinstance(event, ConnectionOpened):
                self._open.add(event.connection)
                self._seen += 1
                self._midway += event.joined_midway
                if event.told_by:
                    self._told_by[event.told_by] += 1
            elif isinstance(event, ConnectionClosed):
                self._open.discard(event.connection)
                self._encrypted.discard(event.connection)

    def drop(self, what: str, count: int = 1) -> None:
        """Count a loss that no event tells of."""
        with self._lock:
            self._drop(what, count)

    def read(self) -> Counts:
        """All counts at one moment."""
        with self._lock:
            return Counts(
                len(self._open),
                self._seen,
                self._midway,
                dict(self._told_by),
                self._encrypted_count,
                self._messages,
                self._opaque_bytes,
                dict(self._dropped),
            )

    def _drop(self, what: str, count: int) -> None:
        # Details stand in brackets and differ each time: a kind of loss has one line, and kinds are few.
        kind = what.partition(" (")[0]
        if kind not in self._dropped and len(self._dropped) >= _MAX_KINDS:
            kind = "other"
        self._dropped[kind] += count

    def _note_opaque(self, event: Opaque) -> None:
        self._opaque_bytes += event.byte_count
        if event.reason.startswith("tls") and event.connection not in self._encrypted:
            self._encrypted.add(event.connection)
            self._encrypted_count += 1
