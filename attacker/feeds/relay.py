"""The relay feed: a `Copier` on one thread, the tap on another, a bounded `Spool` between them."""

import logging
import statistics
import threading

from attacker.feeds.config import RelayConfig
from attacker.feeds.copier import Copier
from attacker.feeds.emitter import Emitter
from attacker.feeds.spool import Chunk, Finished, Opened, Spool, SpoolItem
from attacker.tap.connection import ConnectionTap
from attacker.tap.events import FeedError, FeedState, Phase, Settle, Sink
from attacker.tap.limits import TapLimits

log = logging.getLogger(__name__)

DEFAULT_SPOOL_BYTES = 64 << 20
_STOP_TIMEOUT_S = 5.0
_BEHIND = "the relay's spool was full"


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
        self._limits = limits
        self._spool = Spool(spool_bytes)
        self._copier = Copier(config.listen, config.target, self._spool.put)
        self._emitter = Emitter(str(config))
        self._taps: dict[int, ConnectionTap] = {}
        self._threads: list[threading.Thread] = []
        self._phase: Phase = "idle"
        self._detail = ""
        self._address: str | None = None

    def start(self, sink: Sink) -> None:
        """Listen; see `Feed.start`."""
        self._emitter.sink = sink
        self._phase = "starting"
        try:
            self._address = str(self._copier.bind())
        except FeedError as error:
            self._phase, self._detail = "failed", str(error)
            raise
        self._threads = [
            threading.Thread(target=self._copy, name="relay-copy", daemon=True),
            threading.Thread(target=self._parse, name="relay-parse", daemon=True),
        ]
        self._phase = "running"
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Close every connection and hand over what is left; see `Feed.stop`."""
        self._copier.stop()
        for thread in self._threads:
            thread.join(_STOP_TIMEOUT_S)
        self._threads = []
        if self._phase == "running":
            self._phase = "stopped"

    @property
    def backlog_bytes(self) -> int:
        """Bytes that passed and wait for the tap."""
        return self._spool.waiting_bytes

    def state(self) -> FeedState:
        """How the relay is doing now."""
        counts = self._emitter.tally.read()
        p50_us, p99_us = _percentiles(list(self._copier.latencies_us))
        return FeedState(
            tap=str(self._config),
            kind="relay",
            phase=self._phase,
            detail=self._detail or self._copier.refused,
            address=self._address,
            connections_open=counts.connections_open,
            connections_seen=counts.connections_seen,
            bytes_seen=self._copier.bytes_copied,
            opaque_bytes=counts.opaque_bytes,
            messages=counts.messages,
            encrypted_connections=counts.encrypted_connections,
            midway_connections=counts.midway_connections,
            dropped=counts.dropped,
            added_latency_us_p50=p50_us,
            added_latency_us_p99=p99_us,
        )

    def _copy(self) -> None:
        try:
            self._copier.run()
        except Exception as error:  # the thread's last words: the state must tell
            log.exception("the relay %s failed", self._config)
            self._phase, self._detail = "failed", f"the relay failed: {error}"
        finally:
            self._spool.put(Finished())

    def _parse(self) -> None:
        while not isinstance(item := self._spool.take(timeout_s=1.0), Finished):
            if item is not None:
                self._hear(item)

    def _hear(self, item: SpoolItem) -> None:
        if isinstance(item, Opened):
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


def _percentiles(samples: list[float]) -> tuple[float | None, float | None]:
    """Median and 99th percentile; None without samples.

    >>> _percentiles([1.0, 2.0, 3.0])
    (2.0, 3.0)
    """
    if not samples:
        return None, None
    ordered = sorted(samples)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
