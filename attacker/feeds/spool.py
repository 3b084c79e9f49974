"""The only thing between a relay's copying thread and its parser: a queue that never makes its writer wait.

What is over the limit is not kept; the hole is told to the reader, in order, before the next bytes of that
direction. An item counts with what it takes to keep it, so that many small ones are bounded too. Once full,
the spool takes nothing until half of it is read, so that losses come in few long holes between which whole
messages pass, rather than in many short ones that damage them all.
"""

from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

from siftfunnel.attacker.tap.events import Direction


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection begins; `missed_connections` others before it were not followed at all."""

    number: int
    time_s: float
    client: str
    server: str
    missed_connections: int = 0


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
    """Nothing more will come; `missed_connections` at the end were not followed at all."""

    missed_connections: int = 0


SpoolItem = Opened | Chunk | Closed | Finished

ITEM_BYTES = 256
"""What an item takes in memory beside the bytes that passed."""


class Spool:
    """Written by one thread, read by another; `limit_bytes` bounds the memory of what waits.

    `missed_bytes` and `missed_connections` count what was not kept, whether the reader was told of it or not.
    """

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
        self._unheard: set[int] = set()
        self._unheard_since = 0
        self.missed_connections = 0
        self.missed_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        """Memory of what was put and not yet taken."""
        return self._put_bytes - self._taken_bytes

    def put(self, item: SpoolItem) -> None:
        """Add an item; never waits. A chunk that does not fit becomes a hole."""
        if isinstance(item, Opened):
            self._put_opened(item)
        elif isinstance(item, Finished):
            self._queue.put(Finished(self._unheard_since))
        elif item.number in self._unheard:
            self._pass_over(item)
        elif isinstance(item, Chunk):
            self._put_chunk(item)
        else:
            keys = [key for key in self._missed if key[0] == item.number]
            missed = tuple((way, self._missed.pop((number, way))) for number, way in keys)
            # An end is always told: its connection's beginning was.
            self._keep(Closed(item.number, item.time_s, item.how, missed))

    def take(self, timeout_s: float) -> SpoolItem | None:
        """The next item, None when there was none for a while."""
        try:
            item = self._queue.get(timeout=timeout_s)
        except Empty:
            return None
        self._taken_bytes += _cost(item)
        return item

    def _has_room_for(self, byte_count: int) -> bool:
        waiting_bytes = self.waiting_bytes
        if self._full and waiting_bytes <= self._limit_bytes // 2:
            self._full = False
        self._full = self._full or waiting_bytes + byte_count > self._limit_bytes
        return not self._full

    def _put_opened(self, opened: Opened) -> None:
        """A connection that begins while the spool is full is not followed: many short ones would fill it."""
        if not self._has_room_for(_cost(opened)):
            self._unheard.add(opened.number)
            self._unheard_since += 1
            self.missed_connections += 1
            return
        missed, self._unheard_since = self._unheard_since, 0
        self._keep(replace(opened, missed_connections=missed))

    def _pass_over(self, item: Chunk | Closed) -> None:
        if isinstance(item, Chunk):
            self.missed_bytes += len(item.data)
        else:
            self._unheard.discard(item.number)

    def _put_chunk(self, chunk: Chunk) -> None:
        key = (chunk.number, chunk.direction)
        if not self._has_room_for(_cost(chunk)):
            self._missed[key] = self._missed.get(key, 0) + len(chunk.data)
            self.missed_bytes += len(chunk.data)
            return
        if missed_bytes := self._missed.pop(key, 0):
            chunk = replace(chunk, missed_bytes=missed_bytes)
        self._keep(chunk)

    def _keep(self, item: Opened | Chunk | Closed) -> None:
        self._put_bytes += _cost(item)
        self._queue.put(item)


def _cost(item: SpoolItem) -> int:
    if isinstance(item, Finished):
        return 0
    return ITEM_BYTES + (len(item.data) if isinstance(item, Chunk) else 0)
