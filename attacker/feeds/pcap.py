"""The pcap feed: a recorded capture, pcap or pcapng, played as fast as it can be read."""

import logging
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

import dpkt

from attacker.feeds.config import PcapConfig
from attacker.feeds.emitter import Emitter
from attacker.feeds.worker import Worker
from attacker.tap.events import Dropped, FeedError, FeedState, Phase, Settle, Sink
from attacker.tap.flow_table import FlowTable
from attacker.tap.limits import TapLimits
from attacker.tap.packets import Ignored, knows_link_type, segment_of

log = logging.getLogger(__name__)

_TICK_PACKETS = 256


class PcapFeed:
    """`pcap:FILE`: all TCP connections of a capture file, with the times at which they were captured."""

    def __init__(
        self, config: PcapConfig, settle: Settle | None = None, limits: TapLimits | None = None
    ) -> None:
        self._config = config
        self._table = FlowTable(config.port, settle, limits)
        self._emitter = Emitter(str(config))
        self._worker = Worker()
        self._phase: Phase = "idle"
        self._detail = ""
        self._packets = 0
        self._ignored: Counter[Ignored] = Counter()

    def start(self, sink: Sink) -> None:
        """Open the file; see `Feed.start`."""
        self._emitter.sink = sink
        try:
            stream = open(self._config.path, "rb")  # noqa: SIM115 - the thread closes it
        except OSError as error:
            raise self._fail(f"cannot read the capture {self._config.path}: {error.strerror}") from None
        try:
            reader = dpkt.pcap.UniversalReader(stream)
            link_type = int(reader.datalink())
            if not knows_link_type(link_type):
                raise FeedError(f"it holds packets of link type {link_type}, which this tap cannot read")
        except Exception as error:  # a foreign parser on any file: whatever it raises, this is no capture
            stream.close()
            advice = "it takes a pcap or pcapng file, as tcpdump -w writes it"
            raise self._fail(f"{self._config.path} cannot be played: {error}; {advice}") from None
        self._phase = "running"
        self._worker.start(self._run, stream, reader, link_type, name="pcap")

    def stop(self) -> None:
        """Stop playing; see `Feed.stop`."""
        self._worker.stop()

    def state(self) -> FeedState:
        """How far the replay is."""
        counts = vars(self._emitter.tally.read())
        return FeedState(
            tap=str(self._config),
            kind="pcap",
            phase=self._phase,
            detail=self._detail,
            bytes_seen=self._table.payload_bytes,
            **counts,
        )

    def _fail(self, reason: str) -> FeedError:
        self._phase, self._detail = "failed", reason
        return FeedError(reason)

    def _run(self, stream: BinaryIO, packets: Iterator[tuple[float, bytes]], link_type: int) -> None:
        latest_s = 0.0
        try:
            with stream:
                for time_s, packet in packets:
                    if self._worker.stopping.is_set():
                        break
                    latest_s = float(time_s)
                    self._hear(link_type, packet, latest_s)
            self._phase = "stopped" if self._worker.stopping.is_set() else "finished"
            self._detail = self._summary()
        except Exception as error:  # a foreign parser on any file: say how far it could be played
            self._fail(f"{self._config.path} is damaged behind packet {self._packets}: {error}")
        finally:
            self._emitter.emit(self._table.close(latest_s, "the capture ends"))

    def _hear(self, link_type: int, packet: bytes, time_s: float) -> None:
        self._packets += 1
        segment = segment_of(link_type, packet)
        if isinstance(segment, Ignored):
            self._ignored[segment] += 1
            if segment is not Ignored.NOT_TCP:
                self._emitter.emit([Dropped(None, time_s, 1, "packets", segment.value)])
            return
        self._emitter.emit(self._table.receive(segment, time_s))
        if self._packets % _TICK_PACKETS == 0:
            self._emitter.emit(self._table.tick(time_s))

    def _summary(self) -> str:
        parts = [f"played {self._packets} packets"]
        parts += [f"{count} of them {reason.value}" for reason, count in self._ignored.items()]
        return ", ".join(parts)
