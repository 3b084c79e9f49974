"""The relay feed: a process that copies (`relay_process`), and the tap on a thread of this one."""

import json
import logging
import os
import socket
import subprocess
import threading
from dataclasses import dataclass
from typing import IO

from siftfunnel.attacker.feeds.config import RelayConfig
from siftfunnel.attacker.feeds.emitter import Emitter
from siftfunnel.attacker.feeds.spool import Chunk, Finished, Opened, SpoolItem
from siftfunnel.attacker.feeds.spool_wire import read_item
from siftfunnel.attacker.tap.connection import ConnectionTap
from siftfunnel.attacker.tap.events import Dropped, FeedError, FeedState, Phase, Settle, Sink
from siftfunnel.attacker.tap.limits import TapLimits
from siftfunnel.shared.children import module_path, python_module

log = logging.getLogger(__name__)

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


class RelayFeed:
    """`relay:LISTEN:TARGET`: stands in the path, needs no privilege, changes nothing that passes."""

    def __init__(
        self,
        config: RelayConfig,
        settle: Settle | None = None,
        spool_bytes: int = DEFAULT_SPOOL_BYTES,
        limits: TapLimits | None = None,
    ) -> None:
        self._config = config
        self._settle = settle
        self._spool_bytes = spool_bytes
        self._limits = limits
        self._emitter = Emitter(str(config))
        self._taps: dict[int, ConnectionTap] = {}
        self._process: subprocess.Popen[str] | None = None
        self._threads: list[threading.Thread] = []
        self._stopping = False
        self._report = _Report()
        self._phase: Phase = "idle"
        self._detail = ""
        self._latest_s = 0.0
        self._address: str | None = None

    def start(self, sink: Sink) -> None:
        """Listen; see `Feed.start`."""
        self._emitter.sink = sink
        self._phase = "starting"
        inlet, outlet = socket.socketpair()
        with outlet:
            self._process = process = _launch(self._config, self._spool_bytes, outlet)
        assert process.stdout is not None
        answer = json.loads(process.stdout.readline() or '{"error": "the relay\'s process did not start"}')
        if "error" in answer:
            inlet.close()
            self._end_process()
            self._phase, self._detail = "failed", answer["error"]
            raise FeedError(self._detail)
        self._address = answer["address"]
        self._phase = "running"
        self._threads = [
            threading.Thread(target=self._watch, args=(process.stdout,), name="relay-watch", daemon=True),
            threading.Thread(target=self._parse, args=(inlet,), name="relay-parse", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Close every connection and hand over what is left; see `Feed.stop`."""
        self._stopping = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        for thread in self._threads:
            thread.join(_STOP_TIMEOUT_S)
        self._threads = []
        self._end_process()
        if self._phase == "running":
            self._phase = "stopped"

    @property
    def process_id(self) -> int | None:
        """The process that copies, while there is one."""
        return None if self._process is None else self._process.pid

    def state(self) -> FeedState:
        """How the relay is doing now."""
        report = self._report
        counts = vars(self._emitter.tally.read())
        # The tap hears of a hole with what comes behind it; until then, only the report tells of it.
        for unit, missed in (("bytes", report.missed_bytes), ("connections", report.missed_connections)):
            if missed:
                counts["dropped"][f"{unit}: {_BEHIND}"] = missed
        return FeedState(
            tap=str(self._config),
            kind="relay",
            phase=self._phase,
            detail=self._detail or report.refused,
            address=self._address,
            bytes_seen=report.bytes_copied,
            added_latency_us_p50=report.p50_us,
            added_latency_us_p99=report.p99_us,
            **counts,
        )

    # -- the other process ----------------------------------------------------------------------------------

    def _watch(self, lines: IO[str]) -> None:
        for line in lines:
            try:
                self._report = _Report(**json.loads(line))
            except ValueError:
                break  # the last line of a process that was killed
        if not self._stopping:
            self._phase = "failed"
            self._detail = "the relay's process ended: nothing passes until the tap is started again"

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    # -- what it hands over ---------------------------------------------------------------------------------

    def _parse(self, inlet: socket.socket) -> None:
        with inlet, inlet.makefile("rb") as stream:
            while not isinstance(item := read_item(stream), Finished):
                self._latest_s = item.time_s
                self._hear(item)
        self._miss_connections(item.missed_connections)
        for tap in self._taps.values():
            self._emitter.emit(tap.close(self._latest_s, "the relay ended"))

    def _hear(self, item: SpoolItem) -> None:
        if isinstance(item, Opened):
            self._miss_connections(item.missed_connections)
            tap = self._taps[item.number] = ConnectionTap(
                f"{item.client}#{item.number}", settle=self._settle, limits=self._limits
            )
            self._emitter.emit([tap.opened(item.time_s, item.client, item.server)])
        elif isinstance(item, Chunk):
            tap = self._taps[item.number]
            if item.missed_bytes:
                self._emitter.emit(tap.lose(item.direction, item.missed_bytes, item.time_s, _BEHIND))
            self._emitter.emit(tap.receive(item.direction, item.data, item.time_s))
        elif not isinstance(item, Finished):
            tap = self._taps.pop(item.number)
            for direction, missed_bytes in item.missed:
                self._emitter.emit(tap.lose(direction, missed_bytes, item.time_s, _BEHIND))
            self._emitter.emit(tap.close(item.time_s, item.how))

    def _miss_connections(self, count: int) -> None:
        if count:
            self._emitter.emit([Dropped(None, self._latest_s, count, "connections", _BEHIND)])


def _launch(config: RelayConfig, spool_bytes: int, outlet: socket.socket) -> "subprocess.Popen[str]":
    """Start `relay_process` with this process's module path."""
    arguments = [str(config), str(spool_bytes), str(outlet.fileno())]
    return subprocess.Popen(
        python_module("siftfunnel.attacker.feeds.relay_process", *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[outlet.fileno()],
        env={**os.environ, **module_path()},
    )
