"""The feeds that hear packets: a capture file played as fast as it can be read, an interface sniffed."""

import time
from collections import Counter
from typing import Any, BinaryIO, TypeVar

from siftfunnel.attacker.feeds.capture_file import CaptureError, Packet, PcapFile, PcapngFile, read_capture
from siftfunnel.attacker.feeds.config import PcapConfig, SniffConfig
from siftfunnel.attacker.feeds.feed import ThreadFeed
from siftfunnel.attacker.feeds.packet_ring import PacketRing
from siftfunnel.attacker.tap.events import Dropped, Event, FeedError, Phase, Settle
from siftfunnel.attacker.tap.flow_table import BY_PORT, FlowTable
from siftfunnel.attacker.tap.packets import LOST_FRAGMENT, RAW, Ignored, PacketReader, knows_link_type

_TICK_PACKETS = 256
_REASONS = 8
_WAIT_S = 0.1

Capture = TypeVar("Capture")


class PacketFeed(ThreadFeed[Capture]):
    """Packets to segments to the connections of a table; what holds no segment is counted by its reason."""

    def __init__(
        self,
        config: PcapConfig | SniffConfig,
        settle: Settle | None,
        only_port: int | None = None,
    ) -> None:
        super().__init__(config)
        self._only_port = only_port
        self._reader = PacketReader()
        self._table = FlowTable(config.port, settle)
        self._packets = 0
        self._ignored: Counter[str] = Counter()

    def _figures(self) -> dict[str, Any]:
        return {"bytes_seen": self._table.payload_bytes}

    def _hear(self, link_type: int, packet: bytes, time_s: float, wire_bytes: int = 0) -> None:
        self._packets += 1
        segment = self._reader.read(link_type, packet, time_s, wire_bytes)
        if isinstance(segment, Ignored):
            self._ignored[segment.why] += 1
            if segment.lost:
                self._emit([Dropped(None, time_s, 1, "packets", segment.why)])
        elif self._only_port in (None, segment.source.port, segment.destination.port):
            self._emit(self._table.receive(segment, time_s))

    def _lost_fragments(self, time_s: float) -> list[Event]:
        lost = self._reader.take_lost()
        return [Dropped(None, time_s, lost, "packets", LOST_FRAGMENT.why)] if lost else []

    def _tick(self, time_s: float) -> None:
        self._emit([*self._lost_fragments(time_s), *self._table.tick(time_s)])

    def _end(self, time_s: float, how: str) -> list[Event]:
        self._reader.close()
        return [*self._lost_fragments(time_s), *self._table.close(time_s, how)]


class PcapFeed(PacketFeed[tuple[BinaryIO, PcapFile | PcapngFile]]):
    """`pcap:FILE`: all TCP connections of a capture file, with the times at which they were captured."""

    def __init__(self, config: PcapConfig, settle: Settle | None = None) -> None:
        super().__init__(config, settle)
        self._path = config.path
        self._latest_s = 0.0
        self._played = False

    def _doing(self) -> str:
        return f"playing {self._path}, behind packet {self._packets},"

    def _open(self) -> tuple[BinaryIO, PcapFile | PcapngFile]:
        try:
            stream = open(self._path, "rb")  # noqa: SIM115 - `_close` closes it
        except OSError as error:
            raise FeedError(f"cannot read the capture {self._path}: {error.strerror}") from None
        try:
            capture = read_capture(stream)
            if isinstance(capture, PcapFile) and not knows_link_type(capture.link_type):
                raise CaptureError(f"it holds packets of link type {capture.link_type}, unknown to this tap")
        except (CaptureError, OSError) as error:
            stream.close()
            advice = "it takes a pcap or pcapng file, as tcpdump -w writes it"
            raise FeedError(f"{self._path} cannot be played: {error}; {advice}") from None
        return stream, capture

    def _listen(self, source: tuple[BinaryIO, PcapFile | PcapngFile]) -> Phase:
        try:
            for packet in source[1]:
                if self.stopping.is_set():
                    return "stopped"
                self._play(packet)
        except (CaptureError, OSError) as error:
            raise FeedError(f"{self._path} is damaged behind packet {self._packets}: {error}") from None
        return "finished"

    def _play(self, packet: Packet) -> None:
        self._latest_s = packet.time_s
        self._hear(packet.link_type, packet.data, packet.time_s, packet.wire_bytes)
        if self._packets % _TICK_PACKETS == 0:
            self._tick(packet.time_s)

    def _close(self, source: tuple[BinaryIO, PcapFile | PcapngFile]) -> list[Event]:
        source[0].close()
        self._played = True
        return self._end(self._latest_s, "the capture ends")

    def _figures(self) -> dict[str, Any]:
        return {**super()._figures(), "detail": self._summary() if self._played else ""}

    def _summary(self) -> str:
        parts = [f"played {self._packets} packets"]
        parts += [f"{count} of them {why}" for why, count in self._ignored.most_common(_REASONS)]
        told_by = self._tally.read()["directions_told_by"]
        parts += [f"client and server of {n} connections told by {what}" for what, n in told_by.items()]
        if BY_PORT in told_by:
            parts.append(f"maybe the wrong way round: pcap:{self._path}:PORT names the server's port")
        return ", ".join(parts)


class SniffFeed(PacketFeed[PacketRing]):
    """`sniff:IFACE:PORT`: hears every packet of a port; needs CAP_NET_RAW, cannot touch anything.

    Capturing, parsing and the sink share one thread: the kernel's ring is the spool, and counts what
    overflows. Fragments pass the kernel's filter unchecked, so that the port is looked at again here.
    """

    def __init__(
        self,
        config: SniffConfig,
        settle: Settle | None = None,
        ring_bytes: int = 64 << 20,
    ) -> None:
        super().__init__(config, settle, only_port=config.port)
        self._config, self._ring_bytes = config, ring_bytes

    def _open(self) -> PacketRing:
        return PacketRing(self._config.interface, self._config.port, self._ring_bytes)

    def _listen(self, source: PacketRing) -> Phase:
        while not self.stopping.is_set():
            self._round(source)
        self._round(source)
        return "stopped"

    def _round(self, ring: PacketRing) -> None:
        ring.wait(_WAIT_S)
        for time_s, packet in ring.read():
            self._hear(RAW, packet, time_s)
        now_s = time.time()
        if drops := ring.take_drops():
            self._emit([Dropped(None, now_s, drops, "packets", "the capture ring was full")])
        self._tick(now_s)

    def _close(self, source: PacketRing) -> list[Event]:
        source.close()
        return self._end(time.time(), "the tap stopped")

    def _figures(self) -> dict[str, Any]:
        waiting = self._phase == "running" and not self._packets
        detail = f"listening; no packet of port {self._config.port} yet" if waiting else ""
        return {**super()._figures(), "detail": detail}
