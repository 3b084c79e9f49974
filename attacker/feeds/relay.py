"""The relay feed: a process that copies (`relay_process`), and the tap on a thread of this one."""

import contextlib
import json
import os
import socket
import subprocess
import threading
from dataclasses import dataclass
from typing import IO, Any

from siftfunnel.attacker.feeds.config import RelayConfig
from siftfunnel.attacker.feeds.feed import ThreadFeed
from siftfunnel.attacker.feeds.spool import Chunk, Closed, Finished, Opened, read_item
from siftfunnel.attacker.tap.connection import ConnectionTap
from siftfunnel.attacker.tap.events import Dropped, Event, FeedError, Phase, Settle
from siftfunnel.shared.children import module_path, python_module

DEFAULT_SPOOL_BYTES = 64 << 20
_STOP_TIMEOUT_S = 10.0
_BEHIND = "the relay's spool was full"


@dataclass(frozen=True)
class _Report:
    """What the relay's process last told of itself."""

    bytes_copied: int = 0
    missed_bytes: int = 0
    missed_connections: int = 0
    refused: str = ""
    p50_us: float | None = None
    p99_us: float | None = None


class RelayFeed(ThreadFeed[socket.socket]):
    """`relay:LISTEN:TARGET`: stands in the path, needs no privilege, changes nothing that passes."""

    def __init__(
        self,
        config: RelayConfig,
        settle: Settle | None = None,
        spool_bytes: int = DEFAULT_SPOOL_BYTES,
    ) -> None:
        super().__init__(config)
        self._settle = settle
        self._spool_bytes = spool_bytes
        self._taps: dict[int, ConnectionTap] = {}
        self._process: subprocess.Popen[str] | None = None
        self._watcher: threading.Thread | None = None
        self._report = _Report()
        self._latest_s = 0.0
        self._address: str | None = None

    def stop(self) -> None:
        """Close every connection and hand over what is left; see `Feed.stop`."""
        self.stopping.set()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        super().stop()
        if self._watcher is not None:
            self._watcher.join(_STOP_TIMEOUT_S)
        self._end_process()

    def _open(self) -> socket.socket:
        inlet, outlet = socket.socketpair()
        with outlet:
            self._process = process = _launch(self._tap, self._spool_bytes, outlet)
        assert process.stdout is not None
        answer = json.loads(process.stdout.readline() or '{"error": "the relay\'s process did not start"}')
        if "error" in answer:
            inlet.close()
            process.stdout.close()
            self._end_process()
            raise FeedError(answer["error"])
        self._address = answer["address"]
        self._watcher = threading.Thread(target=self._watch, args=(process.stdout,), daemon=True)
        self._watcher.start()
        return inlet

    def _figures(self) -> dict[str, Any]:
        report, told = self._report, self._tally.read()["dropped"]
        # The tap hears of a hole with what comes behind it; until then, only the report tells of it.
        for unit, missed in (("bytes", report.missed_bytes), ("connections", report.missed_connections)):
            if missed:
                told[f"{unit}: {_BEHIND}"] = missed
        return {
            "detail": report.refused,
            "address": self._address,
            "bytes_seen": report.bytes_copied,
            "dropped": told,
            "added_latency_us_p50": report.p50_us,
            "added_latency_us_p99": report.p99_us,
        }

    # -- the other process ----------------------------------------------------------------------------------

    def _watch(self, lines: IO[str]) -> None:
        with lines, contextlib.suppress(ValueError):  # the last line of a process that was killed
            for line in lines:
                self._report = _Report(**json.loads(line))

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    # -- what it hands over ---------------------------------------------------------------------------------

    def _listen(self, source: socket.socket) -> Phase:
        with source.makefile("rb") as stream:
            while not isinstance(item := read_item(stream), Finished):
                self._latest_s = item.time_s
                self._hear(item)
        self._miss_connections(item.missed_connections)
        if not self.stopping.is_set():
            raise FeedError("the relay's process ended: nothing passes until the tap is started again")
        return "stopped"

    def _close(self, source: socket.socket) -> list[Event]:
        source.close()
        ends = [tap.close(self._latest_s, "the relay ended") for tap in self._taps.values()]
        return [event for events in ends for event in events]

    def _hear(self, item: Opened | Chunk | Closed) -> None:
        if isinstance(item, Opened):
            self._miss_connections(item.missed_connections)
            tap = self._taps[item.number] = ConnectionTap(f"{item.client}#{item.number}", settle=self._settle)
            self._emit([tap.opened(item.time_s, item.client, item.server)])
        elif isinstance(item, Chunk):
            tap = self._taps[item.number]
            if item.missed_bytes:
                self._emit(tap.lose(item.direction, item.missed_bytes, item.time_s, _BEHIND))
            self._emit(tap.receive(item.direction, item.data, item.time_s))
        else:
            tap = self._taps.pop(item.number)
            for direction, missed_bytes in item.missed:
                self._emit(tap.lose(direction, missed_bytes, item.time_s, _BEHIND))
            self._emit(tap.close(item.time_s, item.how))

    def _miss_connections(self, count: int) -> None:
        if count:
            self._emit([Dropped(None, self._latest_s, count, "connections", _BEHIND)])


def _launch(tap: str, spool_bytes: int, outlet: socket.socket) -> "subprocess.Popen[str]":
    """Start `relay_process` with this process's module path."""
    arguments = [tap, str(spool_bytes), str(outlet.fileno())]
    return subprocess.Popen(
        python_module("siftfunnel.attacker.feeds.relay_process", *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[outlet.fileno()],
        env={**os.environ, **module_path()},
    )
