"""The cloud feed: messages that the cloud itself wrote down; TLS does not stop this adversary.

The file is read from its beginning and followed as it grows, also where it is full and the next one takes its
place; one that is complete simply has nothing more to say.
"""

import os
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from siftfunnel.attacker.feeds.config import CloudConfig
from siftfunnel.attacker.feeds.feed import ThreadFeed
from siftfunnel.attacker.tap.events import (
    ConnectionClosed,
    ConnectionOpened,
    DigestSource,
    Dropped,
    Event,
    FeedError,
    Overheard,
    Phase,
    Settle,
    Traffic,
)
from siftfunnel.attacker.tap.shape import Content, read
from siftfunnel.shared.flow_file import older_file
from siftfunnel.shared.flows import FlowError, FlowRecord, read_flow

_POLL_S = 0.1
_READ_BYTES = 1 << 20
_MAX_LINE_BYTES = 64 << 20
_MAX_CONNECTIONS = 1024


@dataclass
class _Known:
    """What is remembered of one connection of the recording."""

    name: str
    traffic: Traffic = field(default_factory=Traffic)
    digest: str | None = None
    digest_source: DigestSource | None = None


class FlowReplay:
    """Flow records in, the events a tap would have told out; pure."""

    def __init__(self, settle: Settle | None = None) -> None:
        self._settle = settle
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._let_go = 0

    def receive(self, record: FlowRecord) -> list[Event]:
        """Take one record."""
        events: list[Event] = []
        known = self._known.get(record.connection)
        if known is None:
            known = self._open(record, events)
        content = read(record.method, record.direction, record.message)
        if record.digest is not None:
            known.digest, known.digest_source = record.digest, "header"
        elif (settled := self._tried(content)) is not None:
            known.digest, known.digest_source = settled, "checksum"
        up_bytes, down_bytes = known.traffic.up_bytes, known.traffic.down_bytes
        if record.direction == "up":
            up_bytes += record.wire_bytes
        else:
            down_bytes += record.wire_bytes
        known.traffic = Traffic(up_bytes, down_bytes, 0)
        events.append(
            Overheard(
                connection=known.name,
                time_s=record.time_s,
                direction=record.direction,
                stream_id=0,
                kind=content.kind,
                method=record.method,
                digest=known.digest,
                digest_source=known.digest_source,
                message=record.message,
                parts=content.parts,
                wire_bytes=record.wire_bytes,
                traffic=known.traffic,
            )
        )
        return events

    def _tried(self, content: Content) -> str | None:
        """The digest of the bundle that a message's first frame fits, if there is such a frame and bundle."""
        frame = content.first_frame
        return None if self._settle is None or frame is None else self._settle(frame)

    def close(self, time_s: float) -> list[Event]:
        """The recording is over."""
        known = list(self._known.values())
        self._known.clear()
        return [ConnectionClosed(each.name, time_s, "the recording ends", each.traffic) for each in known]

    def _open(self, record: FlowRecord, events: list[Event]) -> _Known:
        while len(self._known) >= _MAX_CONNECTIONS:
            _, oldest = self._known.popitem(last=False)
            self._let_go += 1
            events.append(ConnectionClosed(oldest.name, record.time_s, "let go", oldest.traffic))
        # A name of the recording serves as it is, until one that was let go comes back.
        name = f"{record.connection}#{self._let_go}" if self._let_go else record.connection
        known = self._known[record.connection] = _Known(name)
        midway = record.method is None
        events.append(ConnectionOpened(known.name, record.time_s, record.connection, "the cloud", midway))
        return known


class CloudFeed(ThreadFeed[None]):
    """`cloud:FLOWS`: follows a file of flow records from its beginning, still growing or not."""

    def __init__(self, config: CloudConfig, settle: Settle | None = None) -> None:
        super().__init__(config)
        self._path = config.path
        self._replay = FlowReplay(settle)
        self._told = ""
        self._wire_bytes = 0
        self._rest = b""
        self._number = 0
        self._finished: os.stat_result | None = None

    def _open(self) -> None:
        """Nothing yet: the file may not be there."""
        path = self._path
        if not path.parent.is_dir() or path.is_dir():
            problem = "it is a directory" if path.is_dir() else f"there is no directory {path.parent}"
            raise FeedError(f"cannot follow {path}: {problem}")

    def _figures(self) -> dict[str, Any]:
        return {"bytes_seen": self._wire_bytes, "detail": self._told}

    def _listen(self, source: None) -> Phase:
        while not self.stopping.is_set():
            self._follow()
        return "stopped"

    def _close(self, source: None) -> list[Event]:
        return self._replay.close(time.time())

    def _follow(self) -> None:
        """Read one file until it is replaced or the feed stopped."""
        path = self._next()
        try:
            stream = open(path, "rb")  # noqa: SIM115 - closed by the with below
        except FileNotFoundError:
            self._told = f"waiting: {path} does not exist yet"
            self.stopping.wait(_POLL_S)
            return
        except OSError as error:
            raise FeedError(f"cannot read {path}: {error.strerror}") from None
        with stream:
            self._rest, self._number = b"", 0
            while not self.stopping.is_set():
                # asked before reading: what was written before it was replaced is read then
                replaced = self._replaced(stream)
                if data := stream.read(_READ_BYTES):
                    self._take(data)
                elif replaced:
                    self._end(stream)
                    return
                else:
                    self._told = f"read {self._number} records, waiting for more"
                    self.stopping.wait(_POLL_S)

    def _next(self) -> Path:
        """The recording, or its older half where that was filled since the last file was read."""
        path = self._path.resolve()
        try:
            older = os.stat(older_file(path))
        except FileNotFoundError:
            return path
        last = self._finished
        unread = (
            last is not None and not os.path.samestat(older, last) and older.st_mtime_ns >= last.st_mtime_ns
        )
        return older_file(path) if unread else path

    def _replaced(self, stream: BinaryIO) -> bool:
        """Whether the path now leads to another file (rotation), or this one was cut short."""
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        here = os.fstat(stream.fileno())
        return not os.path.samestat(there, here) or here.st_size < stream.tell()

    def _end(self, stream: BinaryIO) -> None:
        self._finished = os.fstat(stream.fileno())
        if self._rest.strip():
            self._emit([self._bad_line("the file ends in half a record")])

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MAX_LINE_BYTES:
            self._rest = b""
            self._emit([self._bad_line(f"a line over {_MAX_LINE_BYTES} bytes")])
        for line in lines:
            if line.strip():
                self._number += 1
                self._emit(self._read(line))

    def _read(self, line: bytes) -> list[Event]:
        try:
            record = read_flow(line.decode("utf-8"))
        except (FlowError, UnicodeDecodeError) as error:
            return [self._bad_line(f"no flow record ({str(error)[:200]})")]
        self._wire_bytes += record.wire_bytes
        return self._replay.receive(record)

    def _bad_line(self, why: str) -> Dropped:
        return Dropped(None, time.time(), 1, "lines", why)
