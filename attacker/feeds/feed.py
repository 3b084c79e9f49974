"""What every feed is made of: counted events on their way to a sink, one thread, an account of itself."""

import logging
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from siftfunnel.attacker.feeds.config import TapConfig
from siftfunnel.attacker.tap.events import (
    ConnectionClosed,
    ConnectionOpened,
    Dropped,
    Event,
    FeedError,
    FeedState,
    Opaque,
    Overheard,
    Phase,
    Sink,
)

log = logging.getLogger(__name__)

_MAX_KINDS = 50
_STOP_TIMEOUT_S = 10.0

Source = TypeVar("Source")


class Tally:
    """Counts events; written by the feed's parsing thread, read from any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[str] = set()
        self._encrypted: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._told_by: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()

    def note(self, event: Event) -> None:
        """Count one event."""
        with self._lock:
            if isinstance(event, Overheard):
                self._counts["messages"] += 1
            elif isinstance(event, Opaque):
                self._note_opaque(event)
            elif isinstance(event, Dropped):
                self._drop(f"{event.unit}: {event.why}", event.count)
            elif isinstance(event, ConnectionOpened):
                self._open.add(event.connection)
                self._counts["connections_seen"] += 1
                self._counts["midway_connections"] += event.joined_midway
                if event.told_by:
                    self._told_by[event.told_by] += 1
            elif isinstance(event, ConnectionClosed):
                self._open.discard(event.connection)
                self._encrypted.discard(event.connection)

    def drop(self, what: str, count: int = 1) -> None:
        """Count a loss that no event tells of."""
        with self._lock:
            self._drop(what, count)

    def read(self) -> dict[str, Any]:
        """All counts at one moment: the fields of a `FeedState` that are counts of events."""
        with self._lock:
            return {
                **self._counts,
                "connections_open": len(self._open),
                "directions_told_by": dict(self._told_by),
                "dropped": dict(self._dropped),
            }

    def _drop(self, what: str, count: int) -> None:
        # Details stand in brackets and differ each time: a kind of loss has one line, and kinds are few.
        kind = what.partition(" (")[0]
        if kind not in self._dropped and len(self._dropped) >= _MAX_KINDS:
            kind = "other"
        self._dropped[kind] += count

    def _note_opaque(self, event: Opaque) -> None:
        self._counts["opaque_bytes"] += event.byte_count
        if event.reason.startswith("tls") and event.connection not in self._encrypted:
            self._encrypted.add(event.connection)
            self._counts["encrypted_connections"] += 1


class ThreadFeed(ABC, Generic[Source]):
    """A `Feed` that listens on one thread of its own; what it listens to is `Source`.

    A subclass opens its source, listens until `stopping` is set or there is nothing more, and says what
    happened at the end. A fault while listening ends the feed, and its state tells of it.
    """

    def __init__(self, config: TapConfig) -> None:
        self.stopping = threading.Event()
        self._tap, self._kind = str(config), config.kind
        self._tally = Tally()
        self._sink: Sink | None = None
        self._phase: Phase = "idle"
        self._detail = ""
        self._thread: threading.Thread | None = None

    @abstractmethod
    def _open(self) -> Source:
        """What is listened to, opened.

        Raises:
            FeedError: it cannot be.
        """

    @abstractmethod
    def _listen(self, source: Source) -> Phase:
        """Listen; the phase in which that ended. Raises FeedError where it cannot go on."""

    @abstractmethod
    def _close(self, source: Source) -> list[Event]:
        """Let go of the source; the last events."""

    @abstractmethod
    def _figures(self) -> dict[str, Any]:
        """Fields of the state that no event tells of; `detail` among them where nothing is wrong."""

    def _doing(self) -> str:
        return f"listening at {self._tap}"

    def start(self, sink: Sink) -> None:
        """Begin listening; see `Feed.start`."""
        self._sink, self._phase = sink, "starting"
        try:
            source = self._open()
        except FeedError as error:
            self._phase, self._detail = "failed", str(error)
            raise
        self._phase = "running"
        self._thread = threading.Thread(target=self._run, args=(source,), name=self._tap, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end and wait for it, 10 s at most; see `Feed.stop`."""
        self.stopping.set()
        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT_S)
            self._thread = None

    def state(self) -> FeedState:
        """How the feed is doing now."""
        told = {**self._tally.read(), **self._figures()}
        told["detail"] = self._detail or told.get("detail", "")
        return FeedState(tap=self._tap, kind=self._kind, phase=self._phase, **told)

    def _emit(self, events: Iterable[Event]) -> None:
        """Count events and hand them over, in order; an observer that raises does not end the feed."""
        for event in events:
            self._tally.note(event)
            try:
                if self._sink is not None:
                    self._sink(event)
            except Exception:  # an observer's fault must not end the tap
                log.exception("an observer of %s failed", self._tap)
                self._tally.drop("events: an observer failed")

    def _run(self, source: Source) -> None:
        ended: Phase = "failed"
        try:
            ended = self._listen(source)
        except FeedError as error:
            self._detail = str(error)
        except Exception as error:  # the thread's last words: the state must tell
            log.exception("%s failed", self._tap)
            self._detail = f"{self._doing()} failed: {error}"
        finally:
            self._emit(self._close(source))
            self._phase = ended
