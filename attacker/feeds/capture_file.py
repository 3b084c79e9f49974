"""Capture files packet by packet, each with its own interface's link type: pcap and pcapng.

Formats: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html and ...-pcapng-03.html.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

MAX_BLOCK_BYTES = 16 << 20

# By the first four bytes: byte order, ticks per second, bytes of a packet's header.
_PCAP = {
    bytes.fromhex("a1b2c3d4"): (">", 1_000_000, 16),
    bytes.fromhex("d4c3b2a1"): ("<", 1_000_000, 16),
    bytes.fromhex("a1b23c4d"): (">", 1_000_000_000, 16),
    bytes.fromhex("4d3cb2a1"): ("<", 1_000_000_000, 16),
    bytes.fromhex("a1b2cd34"): (">", 1_000_000, 24),
    bytes.fromhex("34cdb2a1"): ("<", 1_000_000, 24),
}
_PCAP_HEADER_BYTES = 24
_SECTION = 0x0A0D0D0A
_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 1, 2, 3, 6
_ENDIANNESS = {bytes.fromhex("1a2b3c4d"): ">", bytes.fromhex("4d3c2b1a"): "<"}
_TICKS, _OFFSET = 9, 14


class CaptureError(ValueError):
    """The bytes are no capture, or it is damaged; the text says how."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One captured packet; `wire_bytes` is its length when it passed, of which a part may be missing."""

    time_s: float
    link_type: int
    data: bytes
    wire_bytes: int


def read_capture(stream: BinaryIO) -> "PcapFile | PcapngFile":
    """The packets of a capture, its header read.

    Raises:
        CaptureError: the file is no capture; iterating raises it where one is damaged.
    """
    magic = stream.read(4)
    if magic in _PCAP:
        return PcapFile(stream, magic)
    if magic == _SECTION.to_bytes(4, "big"):
        return PcapngFile(stream)
    raise CaptureError("it does not begin like a capture")


class PcapFile:
    """The older format: one link type for all."""

    def __init__(self, stream: BinaryIO, magic: bytes) -> None:
        """Read the header behind the four bytes that were read already."""
        self._stream = stream
        order, self._ticks, self._record_bytes = _PCAP[magic]
        self._record = struct.Struct(f"{order}IIII")
        header = _exactly(stream, _PCAP_HEADER_BYTES - 4, "its header")
        # The upper bits tell of checksums that follow each packet.
        self.link_type = int(struct.unpack(f"{order}I", header[-4:])[0]) & 0x0FFFFFFF

    def __iter__(self) -> Iterator[Packet]:
        while header := self._stream.read(self._record_bytes):
            if len(header) < self._record_bytes:
                raise CaptureError("it ends within a packet")
            seconds, fraction, kept_bytes, wire_bytes = self._record.unpack(header[:16])
            if kept_bytes > MAX_BLOCK_BYTES:
                raise CaptureError(f"a packet of {kept_bytes} bytes")
            data = _exactly(self._stream, kept_bytes, "a packet")
            yield Packet(seconds + fraction / self._ticks, self.link_type, data, wire_bytes)


@dataclass
class _Interface:
    link_type: int
    ticks: float = 1e6
    offset_s: int = 0


@dataclass
class _Section:
    order: str
    interfaces: list[_Interface] = field(default_factory=list)

    def interface(self, number: int) -> _Interface:
        if number >= len(self.interfaces):
            raise CaptureError(f"a packet of interface {number}, which was not described")
        return self.interfaces[number]

    def unpack(self, layout: str, block: bytes, at: int = 0) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self.order + layout, block, at)
        except struct.error:
            raise CaptureError("a block that is too short") from None


class PcapngFile:
    """The newer format: sections of blocks, any number of interfaces."""

    def __init__(self, stream: BinaryIO) -> None:
        """Read the first section's header behind the four bytes that were read already."""
        self._stream = stream
        self._section = self._read_section()
        self._latest_s = 0.0

    def __iter__(self) -> Iterator[Packet]:
        while header := self._stream.read(4):
            if header == _SECTION.to_bytes(4, "big"):
                self._section = self._read_section()
                continue
            if len(header) < 4:
                raise CaptureError("it ends within a block")
            block = self._read_block(self._section, b"")
            packet = self._take(self._section.unpack("I", header)[0], block)
            if packet is not None:
                self._latest_s = packet.time_s
                yield packet

    def _read_section(self) -> _Section:
        start = _exactly(self._stream, 8, "the header of a section")
        if start[4:] not in _ENDIANNESS:
            raise CaptureError("a section of unknown byte order")
        section = _Section(_ENDIANNESS[start[4:]])
        body = self._read_block(section, start)
        (major,) = section.unpack("H", body, 4)
        if major != 1:
            raise CaptureError(f"pcapng version {major}")
        return section

    def _read_block(self, section: _Section, start: bytes) -> bytes:
        """The body of a block behind its type; `start` is what was read of it: length and more."""
        start = start or _exactly(self._stream, 4, "a block")
        (length,) = section.unpack("I", start)
        rest_bytes = length - 4 - len(start)
        if rest_bytes < 4 or length % 4 or length > MAX_BLOCK_BYTES:
            raise CaptureError(f"a block of {length} bytes")
        return (start[4:] + _exactly(self._stream, rest_bytes, "a block"))[:-4]

    def _take(self, kind: int, block: bytes) -> Packet | None:
        section = self._section
        if kind == _INTERFACE:
            section.interfaces.append(self._interface(section, block))
            return None
        if kind == _SIMPLE_PACKET:
            (wire_bytes,) = section.unpack("I", block)
            return Packet(self._latest_s, section.interface(0).link_type, block[4:][:wire_bytes], wire_bytes)
        if kind not in (_PACKET, _OLD_PACKET):
            return None
        layout = "IIIII" if kind == _PACKET else "HHIIII"
        number, *_, high, low, kept_bytes, wire_bytes = section.unpack(layout, block)
        interface = section.interface(number)
        if kept_bytes > len(block) - 20:
            raise CaptureError("a packet that is longer than its block")
        time_s = interface.offset_s + ((high << 32) | low) / interface.ticks
        return Packet(time_s, interface.link_type, block[20 : 20 + kept_bytes], wire_bytes)

    def _interface(self, section: _Section, block: bytes) -> _Interface:
        interface = _Interface(section.unpack("H", block)[0])
        at = 8
        while at + 4 <= len(block):
            code, length = section.unpack("HH", block, at)
            value = block[at + 4 : at + 4 + length]
            if code == _TICKS and value:
                # 10^-n seconds, or 2^-n with the upper bit set.
                interface.ticks = (2.0 if value[0] & 0x80 else 10.0) ** (value[0] & 0x7F)
            elif code == _OFFSET and len(value) == 8:
                (interface.offset_s,) = section.unpack("q", value)
            if code == 0:
                break
            at += 4 + length + -length % 4
        return interface


def _exactly(stream: BinaryIO, byte_count: int, of: str) -> bytes:
    data = stream.read(byte_count)
    if len(data) < byte_count:
        raise CaptureError(f"it ends within {of}")
    return data
