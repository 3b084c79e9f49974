"""The sniff feed: packets of one interface and port, without being in the path."""

import logging
import time

from siftfunnel.attacker.feeds.config import SniffConfig
from siftfunnel.attacker.feeds.emitter import Emitter
from siftfunnel.attacker.feeds.packet_ring import PacketRing
from siftfunnel.attacker.feeds.worker import Worker
from siftfunnel.attacker.tap.events import Dropped, FeedError, FeedState, Phase, Settle, Sink
from siftfunnel.attacker.tap.flow_table import FlowTable
from siftfunnel.attacker.tap.limits import TapLimits
from siftfunnel.attacker.tap.packets import LOST_FRAGMENT, RAW, Ignored, PacketReader

log = logging.getLogger(__name__)

_WAIT_S = 0.1


class SniffFeed:
    """`sniff:IFACE:PORT`: hears every packet of a port; needs CAP_NET_RAW, cannot touch anything.

    Capturing, parsing and the sink share one thread: the kernel's ring is the spool, and counts what
    overflows.
    """

    def __init__(
        self,
        config: SniffConfig,
        settle: Settle | None = None,
        ring_bytes: int = 64 << 20,
        limits: TapLimits | None = None,
    ) -> None:
        self._config = config
        self._ring_bytes = ring_bytes
        self._reader = PacketReader()
        self._table = FlowTable(config.port, settle, limits)
        self._emitter = Emitter(str(config))
        self._ring: PacketRing | None = None
        self._worker = Worker()
        self._phase: Phase = "idle"
        self._detail = ""
        self._packets = 0

    def start(self, sink: Sink) -> None:
        """Open the capture; see `Feed.start`."""
        self._emitter.sink = sink
        self._phase = "starting"
        try:
            self._ring = PacketRing(self._config.interface, self._config.port, self._ring_bytes)
        except FeedError as error:
            self._phase, self._detail = "failed", str(error)
            raise
        self._phase = "running"
        self._worker.start(self._run, self._ring, name="sniff")

    def stop(self) -> None:
        """Close the capture; see `Feed.stop`."""
        self._worker.stop()

    def state(self) -> FeedState:
        """How the capture is doing now."""
        counts = vars(self._emitter.tally.read())
        waiting = f"listening; no packet of port {self._config.port} yet" if not self._packets else ""
        return FeedState(
            tap=str(self._config),
            kind="sniff",
            phase=self._phase,
            detail=self._detail or (waiting if self._phase == "running" else ""),
            bytes_seen=self._table.payload_bytes,
            **counts,
        )

    def _run(self, ring: PacketRing) -> None:
        try:
            while not self._worker.stopping.is_set():
                self._round(ring)
            self._round(ring)
            self._phase = "stopped"
        except FeedError as error:
            self._phase, self._detail = "failed", str(error)
        except Exception as error:  # the thread's last words: the state must tell
            log.exception("%s failed", self._config)
            self._phase, self._detail = "failed", f"sniffing failed: {error}"
        finally:
            ring.close()
            self._emitter.emit(self._table.close(time.time(), "the tap stopped"))

    def _round(self, ring: PacketRing) -> None:
        ring.wait(_WAIT_S)
        for captured in ring.read():
            self._packets += 1
            segment = self._reader.read(RAW, captured.packet, captured.time_s)
            if isinstance(segment, Ignored):
                if segment.lost:
                    self._emitter.emit([Dropped(None, captured.time_s, 1, "packets", segment.why)])
            elif self._config.port in (segment.source.port, segment.destination.port):
                self._emitter.emit(self._table.receive(segment, captured.time_s))
        now_s = time.time()
        if drops := ring.take_drops():
            self._emitter.emit([Dropped(None, now_s, drops, "packets", "the capture ring was full")])
        if lost := self._reader.take_lost():
            self._emitter.emit([Dropped(None, now_s, lost, "packets", LOST_FRAGMENT.why)])
        self._emitter.emit(self._table.tick(now_s))
