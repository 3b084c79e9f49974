"""Spool items on their way from the relay's process to the tap's: a fixed header, then bytes."""

import json
import struct
from typing import BinaryIO

from siftfunnel.attacker.feeds.spool import Chunk, Closed, Finished, Opened, SpoolItem
from siftfunnel.attacker.tap.events import Direction

# Kind, direction, connection number, time, missed bytes or connections, bytes that follow.
_HEADER = struct.Struct("=BBIdQI")
_OPENED, _CHUNK, _CLOSED, _FINISHED = range(4)
_DIRECTIONS: tuple[Direction, Direction] = ("up", "down")


def pack_item(item: SpoolItem) -> tuple[bytes, bytes]:
    """Header and body; the body of a chunk is not copied."""
    if isinstance(item, Chunk):
        direction = _DIRECTIONS.index(item.direction)
        header = _HEADER.pack(_CHUNK, direction, item.number, item.time_s, item.missed_bytes, len(item.data))
        return header, item.data
    if isinstance(item, Opened):
        body = json.dumps([item.client, item.server]).encode()
        return _HEADER.pack(_OPENED, 0, item.number, item.time_s, item.missed_connections, len(body)), body
    if isinstance(item, Closed):
        body = json.dumps([item.how, item.missed]).encode()
        return _HEADER.pack(_CLOSED, 0, item.number, item.time_s, 0, len(body)), body
    return _HEADER.pack(_FINISHED, 0, 0, 0.0, item.missed_connections, 0), b""


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
