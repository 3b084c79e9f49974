"""What passed the relay, on its way from the process that copies to the one that listens.

The writer never waits: what is over the limit is not kept, and the hole is told to the reader, in order,
before the next bytes of that direction. Once full, the spool takes nothing until half of it is read, so that
losses come in few long holes between which whole messages pass, rather than in many short ones that damage
them all. An item is a fixed header, then bytes.
"""

import json
import struct
from dataclasses import dataclass, replace
from typing import BinaryIO

from siftfunnel.attacker.tap.events import Direction

# Kind, direction, connection number, time, missed bytes or connections, bytes that follow.
_HEADER = struct.Struct("=BBIdQI")
_OPENED, _CHUNK, _CLOSED, _FINISHED = range(4)
_DIRECTIONS: tuple[Direction, Direction] = ("up", "down")


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection begins; `missed_connections` others before it were not followed at all."""

    number: int
    time_s: float
    client: str
    server: str
    missed_connections: int = 0

    def packed(self) -> tuple[bytes, bytes]:
        """Header and body, as they are sent."""
        body = json.dumps([self.client, self.server]).encode()
        return _HEADER.pack(_OPENED, 0, self.number, self.time_s, self.missed_connections, len(body)), body


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes that passed; `missed_bytes` of the same direction passed unseen just before."""

    number: int
    time_s: float
    direction: Direction
    data: bytes
    missed_bytes: int = 0

    def packed(self) -> tuple[bytes, bytes]:
        """Header and body, as they are sent."""
        way, size = _DIRECTIONS.index(self.direction), len(self.data)
        return _HEADER.pack(_CHUNK, way, self.number, self.time_s, self.missed_bytes, size), self.data


@dataclass(frozen=True, slots=True)
class Closed:
    """A connection ends; `missed` are bytes that passed unseen at its end, per direction."""

    number: int
    time_s: float
    how: str
    missed: tuple[tuple[Direction, int], ...] = ()

    def packed(self) -> tuple[bytes, bytes]:
        """Header and body, as they are sent."""
        body = json.dumps([self.how, self.missed]).encode()
        return _HEADER.pack(_CLOSED, 0, self.number, self.time_s, 0, len(body)), body


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing more will come; `missed_connections` at the end were not followed at all."""

    missed_connections: int = 0

    def packed(self) -> tuple[bytes, bytes]:
        """Header and body, as they are sent."""
        return _HEADER.pack(_FINISHED, 0, 0, 0.0, self.missed_connections, 0), b""


SpoolItem = Opened | Chunk | Closed | Finished


def read_item(stream: BinaryIO) -> SpoolItem:
    """The next item; `Finished` as well when the other process is gone."""
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return Finished()
    kind, direction, number, time_s, missed, length = _HEADER.unpack(header)
    body = stream.read(length)
    if len(body) < length:
        return Finished()
    if kind == _FINISHED:
        return Finished(missed)
    if kind == _CHUNK:
        return Chunk(number, time_s, _DIRECTIONS[direction], body, missed)
    first, second = json.loads(body)
    if kind == _OPENED:
        return Opened(number, time_s, first, second, missed)
    return Closed(number, time_s, first, tuple((way, count) for way, count in second))


class Spool:
    """Items as bytes that wait to be sent; `limit_bytes` bounds them. One thread writes and takes.

    `missed_bytes` and `missed_connections` count what was not kept, whether the reader was told of it or not.
    """

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes < 1:
            raise ValueError(f"limit_bytes must be positive, not {limit_bytes}")
        self.waiting = bytearray()
        self._limit_bytes = limit_bytes
        self._full = False
        self._missed: dict[tuple[int, Direction], int] = {}
        self._unheard: set[int] = set()
        self._unheard_since = 0
        self.missed_connections = 0
        self.missed_bytes = 0

    def put(self, item: SpoolItem) -> None:
        """Add an item; never waits. A chunk that does not fit becomes a hole."""
        if isinstance(item, Opened):
            self._put_opened(item)
        elif isinstance(item, Finished):
            self._add(Finished(self._unheard_since))
        elif item.number in self._unheard:
            self._pass_over(item)
        elif isinstance(item, Chunk):
            self._put_chunk(item)
        else:
            keys = [key for key in self._missed if key[0] == item.number]
            missed = tuple((way, self._missed.pop((number, way))) for number, way in keys)
            # An end is always told: its connection's beginning was.
            self._add(replace(item, missed=missed))

    def _keep(self, item: Opened | Chunk) -> bool:
        """Add an item if there is room for it."""
        if self._full and len(self.waiting) <= self._limit_bytes // 2:
            self._full = False
        size_bytes = sum(map(len, item.packed()))
        self._full = self._full or len(self.waiting) + size_bytes > self._limit_bytes
        if not self._full:
            self._add(item)
        return not self._full

    def _add(self, item: SpoolItem) -> None:
        for part in item.packed():
            self.waiting += part

    def _put_opened(self, opened: Opened) -> None:
        """A connection that begins while the spool is full is not followed: many short ones would fill it."""
        if self._keep(replace(opened, missed_connections=self._unheard_since)):
            self._unheard_since = 0
            return
        self._unheard.add(opened.number)
        self._unheard_since += 1
        self.missed_connections += 1

    def _pass_over(self, item: Chunk | Closed) -> None:
        if isinstance(item, Chunk):
            self.missed_bytes += len(item.data)
        else:
            self._unheard.discard(item.number)

    def _put_chunk(self, chunk: Chunk) -> None:
        key = (chunk.number, chunk.direction)
        if self._keep(replace(chunk, missed_bytes=self._missed.get(key, 0))):
            self._missed.pop(key, None)
        else:
            self._missed[key] = self._missed.get(key, 0) + len(chunk.data)
            self.missed_bytes += len(chunk.data)
