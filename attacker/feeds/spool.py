"""The only thing between a relay's copying thread and its parser: a queue that never makes its writer wait.

Bytes over the limit are not kept; the hole is told to the reader, in order, before the next bytes of that
direction. Once full, the spool takes nothing until half of it is read, so that losses come in few long holes
between which whole messages pass, rather than in many short ones that damage them all.
"""

from dataclasses import dataclass
from queue import Empty, SimpleQueue

from attacker.tap.events import Direction


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection begins."""

    number: int
    time_s: float
    client: str
    server: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes that passed; `missed_bytes` of the same direction passed unseen just before."""

    number: int
    time_s: float
    direction: Direction
    data: bytes
    missed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """A connection ends; `missed` are bytes that passed unseen at its end, per direction."""

    number: int
    time_s: float
    how: str
    missed: tuple[tuple[Direction, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing more will come."""


SpoolItem = Opened | Chunk | Closed | Finished


class Spool:
    """Written by one thread, read by another; `limit_bytes` bounds the bytes that wait."""

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes < 1:
            raise ValueError(f"limit_bytes must be positive, not {limit_bytes}")
        self._limit_bytes = limit_bytes
        self._queue: SimpleQueue[SpoolItem] = SimpleQueue()
        # Each counter has one writer, so that neither thread ever takes a lock for them.
        self._put_bytes = 0
        self._taken_bytes = 0
        self._full = False
        self._missed: dict[tuple[int, Direction], int] = {}
        self.missed_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        """Bytes put and not yet taken."""
        return self._put_bytes - self._taken_bytes

    def put(self, item: SpoolItem) -> None:
        """Add an item; never waits. A chunk that does not fit becomes a hole."""
        if isinstance(item, Chunk):
            self._put_chunk(item)
        elif isinstance(item, Closed):
            keys = [key for key in self._missed if key[0] == item.number]
            missed = tuple((way, self._missed.pop((number, way))) for number, way in keys)
            self._queue.put(Closed(item.number, item.time_s, item.how, missed))
        else:
            self._queue.put(item)

    def take(self, timeout_s: float) -> SpoolItem | None:
        """The next item, None when there was none for a while."""
        try:
            item = self._queue.get(timeout=timeout_s)
        except Empty:
            return None
        if isinstance(item, Chunk):
            self._taken_bytes += len(item.data)
        return item

    def _put_chunk(self, chunk: Chunk) -> None:
        key = (chunk.number, chunk.direction)
        waiting_bytes = self.waiting_bytes
        self._full = waiting_bytes > self._limit_bytes // 2 if self._full else self._full
        if self._full or waiting_bytes + len(chunk.data) > self._limit_bytes:
            self._full = True
            self._missed[key] = self._missed.get(key, 0) + len(chunk.data)
            self.missed_bytes += len(chunk.data)
            return
        self._put_bytes += len(chunk.data)
        if missed_bytes := self._missed.pop(key, 0):
            chunk = Chunk(chunk.number, chunk.time_s, chunk.direction, chunk.data, missed_bytes)
        self._queue.put(chunk)
