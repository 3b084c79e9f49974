"""The pcap feed: a recorded capture, pcap or pcapng, played as fast as it can be read."""

import logging
from collections import Counter
from typing import BinaryIO

from siftfunnel.attacker.feeds.capture_file import CaptureError, Packet, PcapFile, PcapngFile, read_capture
from siftfunnel.attacker.feeds.config import PcapConfig
from siftfunnel.attacker.feeds.emitter import Emitter
from siftfunnel.attacker.feeds.worker import Worker
from siftfunnel.attacker.tap.direction import BY_PORT
from siftfunnel.attacker.tap.events import Dropped, FeedError, FeedState, Phase, Settle, Sink
from siftfunnel.attacker.tap.flow_table import FlowTable
from siftfunnel.attacker.tap.limits import TapLimits
from siftfunnel.attacker.tap.packets import LOST_FRAGMENT, Ignored, PacketReader, knows_link_type

log = logging.getLogger(__name__)

_TICK_PACKETS = 256
_REASONS = 8


class PcapFeed:
    """`pcap:FILE`: all TCP connections of a capture file, with the times at which they were captured."""

    def __init__(
        self, config: PcapConfig, settle: Settle | None = None, limits: TapLimits | None = None
    ) -> None:
        self._config = config
        self._reader = PacketReader()
        self._table = FlowTable(config.port, settle, limits)
        self._emitter = Emitter(str(config))
        self._worker = Worker()
        self._phase: Phase = "idle"
        self._detail = ""
        self._packets = 0
        self._ignored: Counter[str] = Counter()

    def start(self, sink: Sink) -> None:
        """Open the file; see `Feed.start`."""
        self._emitter.sink = sink
        try:
            stream = open(self._config.path, "rb")  # noqa: SIM115 - the thread closes it
        except OSError as error:
            raise self._fail(f"cannot read the capture {self._config.path}: {error.strerror}") from None
        try:
            capture = read_capture(stream)
            if isinstance(capture, PcapFile) and not knows_link_type(capture.link_type):
                raise CaptureError(f"it holds packets of link type {capture.link_type}, unknown to this tap")
        except (CaptureError, OSError) as error:
            stream.close()
            advice = "it takes a pcap or pcapng file, as tcpdump -w writes it"
            raise self._fail(f"{self._config.path} cannot be played: {error}; {advice}") from None
        self._phase = "running"
        self._worker.start(self._run, stream, capture, name="pcap")

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

    def _run(self, stream: BinaryIO, capture: PcapFile | PcapngFile) -> None:
        latest_s = 0.0
        try:
            with stream:
                for packet in capture:
                    if self._worker.stopping.is_set():
                        break
                    latest_s = packet.time_s
                    self._hear(packet)
        except (CaptureError, OSError) as error:
            self._fail(f"{self._config.path} is damaged behind packet {self._packets}: {error}")
        except Exception as error:  # the thread's last words: the state must tell
            log.exception("%s failed", self._config)
            self._fail(f"playing {self._config.path} failed behind packet {self._packets}: {error}")
        finally:
            self._reader.close()
            self._count_lost_fragments(latest_s)
            self._emitter.emit(self._table.close(latest_s, "the capture ends"))
            if self._phase != "failed":
                self._phase = "stopped" if self._worker.stopping.is_set() else "finished"
                self._detail = self._summary()

    def _hear(self, packet: Packet) -> None:
        self._packets += 1
        if self._packets % _TICK_PACKETS == 0:
            self._emitter.emit(self._table.tick(packet.time_s))
            self._count_lost_fragments(packet.time_s)
        segment = self._reader.read(packet.link_type, packet.data, packet.time_s, packet.wire_bytes)
        if isinstance(segment, Ignored):
            self._ignored[segment.why] += 1
            if segment.lost:
                self._emitter.emit([Dropped(None, packet.time_s, 1, "packets", segment.why)])
        else:
            self._emitter.emit(self._table.receive(segment, packet.time_s))

    def _count_lost_fragments(self, time_s: float) -> None:
        if lost := self._reader.take_lost():
            self._emitter.emit([Dropped(None, time_s, lost, "packets", LOST_FRAGMENT.why)])

    def _summary(self) -> str:
        parts = [f"played {self._packets} packets"]
        parts += [f"{count} of them {why}" for why, count in self._ignored.most_common(_REASONS)]
        told_by = self._emitter.tally.read().directions_told_by
        parts += [f"client and server of {n} connections told by {what}" for what, n in told_by.items()]
        if BY_PORT in told_by:
            parts.append(f"maybe the wrong way round: pcap:{self._config.path}:PORT names the server's port")
        return ", ".join(parts)
