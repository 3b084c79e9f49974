"""Captured packets to TCP segments: every link layer a Linux capture comes with, fragments, common tunnels.

Link types are those of capture files (https://www.tcpdump.org/linktypes.html).
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import dpkt

NULL, ETHERNET, RAW, LOOP, LINUX_SLL, IPV4, IPV6, LINUX_SLL2 = 0, 1, 101, 108, 113, 228, 229, 276
_RAW_BSD = 12
_MAX_DATAGRAM_BYTES = (1 << 16) - 1

_VXLAN_PORTS, _GENEVE_PORT, _TUNNEL_HEADER_BYTES = (4789, 8472), 6081, 8
_MAX_LAYERS = 16
_IPSEC = 50
_UNOPENED_PROTOCOLS = {_IPSEC: "IPsec", 51: "IPsec", 97: "EtherIP", 115: "L2TP", 137: "MPLS in IP"}
_UNOPENED_PORTS = {1701: "L2TP", 2152: "GTP", 4500: "IPsec over UDP", 51820: "WireGuard"}


@dataclass(frozen=True, slots=True)
class Ignored:
    """Why a packet holds no segment for the tap; `lost` means that there may have been one in it."""

    why: str
    lost: bool = True


NOT_TCP = Ignored("not TCP", lost=False)
_UNREAD = Ignored("unread", lost=False)
FRAGMENT = Ignored("parts of larger ones", lost=False)
LOST_FRAGMENT = Ignored("IP fragments of which other parts are missing")
DAMAGED = Ignored("damaged")
CUT_SHORT = Ignored("cut off by the capture's snap length before the end of their headers")
TOO_DEEP = Ignored("tunnels within tunnels")


@dataclass(frozen=True, slots=True)
class Address:
    """One end of a TCP connection, host in binary form."""

    host: bytes
    port: int

    def __str__(self) -> str:
        host = ipaddress.ip_address(self.host)
        return f"[{host}]:{self.port}" if host.version == 6 else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP segment; `payload_bytes` is its length on the wire, even where a capture cut it short."""

    source: Address
    destination: Address
    sequence: int
    acknowledgement: int
    flags: int
    payload: bytes
    payload_bytes: int

    @property
    def syn(self) -> bool:
        """Whether it opens its direction."""
        return bool(self.flags & dpkt.tcp.TH_SYN)

    @property
    def ack(self) -> bool:
        """Whether its acknowledgement number means something."""
        return bool(self.flags & dpkt.tcp.TH_ACK)

    @property
    def fin(self) -> bool:
        """Whether it ends its direction."""
        return bool(self.flags & dpkt.tcp.TH_FIN)

    @property
    def rst(self) -> bool:
        """Whether it ends the connection."""
        return bool(self.flags & dpkt.tcp.TH_RST)


def _raw(packet: bytes) -> object:
    version = packet[0] >> 4 if packet else 0
    return dpkt.ip.IP(packet) if version == 4 else dpkt.ip6.IP6(packet) if version == 6 else None


_LINKS: dict[int, Callable[[bytes], object]] = {
    NULL: lambda packet: dpkt.loopback.Loopback(packet).data,
    LOOP: lambda packet: _raw(packet[4:]),
    ETHERNET: lambda packet: dpkt.ethernet.Ethernet(packet).data,
    # Cooked captures have Ethernet's types, VLAN tags included, without its addresses.
    LINUX_SLL: lambda packet: dpkt.ethernet.Ethernet(bytes(12) + packet[14:]).data,
    LINUX_SLL2: lambda packet: dpkt.ethernet.Ethernet(bytes(12) + packet[:2] + packet[20:]).data,
    RAW: _raw,
    _RAW_BSD: _raw,
    IPV4: _raw,
    IPV6: _raw,
}


def knows_link_type(link_type: int) -> bool:
    """Whether packets of this link type can be read.

    >>> knows_link_type(ETHERNET), knows_link_type(105)
    (True, False)
    """
    return link_type in _LINKS


class PacketReader:
    """Finds the TCP segment in each packet of a capture; keeps fragments until they are whole."""

    def __init__(self) -> None:
        self._fragments = Fragments()

    def read(self, link_type: int, packet: bytes, time_s: float, wire_bytes: int = 0) -> Segment | Ignored:
        """The segment in a packet, or why there is none.

        Args:
            link_type: of capture files.
            packet: as it was captured.
            time_s: when.
            wire_bytes: its length when it passed, where that is known.
        """
        if not knows_link_type(link_type):
            return Ignored(f"of link type {link_type}, which this tap does not read")
        try:
            found = self._of_layer(_LINKS[link_type](packet), time_s)
        except Exception:  # a foreign parser on hostile bytes: whatever it raises, the packet is bad
            found = DAMAGED
        if found in (DAMAGED, _UNREAD) and wire_bytes > len(packet):
            return CUT_SHORT
        return NOT_TCP if found is _UNREAD else found

    def take_lost(self) -> int:
        """Fragments given up since the last time this was asked."""
        return self._fragments.take_lost()

    def close(self) -> None:
        """Nothing more will come."""
        self._fragments.close()

    def _of_layer(self, layer: object, time_s: float) -> Segment | Ignored:
        for _ in range(_MAX_LAYERS):
            if isinstance(layer, dpkt.ip.IP):
                inner = self._in_ipv4(layer, time_s)
            elif isinstance(layer, dpkt.ip6.IP6):
                inner = self._in_ipv6(layer, time_s)
            elif isinstance(layer, dpkt.udp.UDP):
                inner = _in_udp(layer)
            else:
                inner = getattr(layer, "data", _UNREAD)
            if isinstance(inner, Segment | Ignored):
                return inner
            layer = inner
        return TOO_DEEP

    def _in_ipv4(self, ip: "dpkt.ip.IP", time_s: float) -> object:
        # A length of 0 means that the sender's hardware was to cut the packet (TSO beyond 64 KiB).
        header_bytes = 20 + len(ip.opts)
        carried_bytes = ip.len - header_bytes if ip.len else None
        if not (ip.mf or ip.offset):
            return _carried(ip, ip.p, ip.data, carried_bytes)
        key = (ip.src, ip.dst, ip.p, ip.id)
        return self._of_fragment(ip, key, ip.offset * 8, bool(ip.mf), ip.p, carried_bytes, time_s)

    def _in_ipv6(self, ip: "dpkt.ip6.IP6", time_s: float) -> object:
        extensions_bytes = sum(header.length for header in ip.all_extension_headers)
        carried_bytes = ip.plen - extensions_bytes if ip.plen else None
        # Behind an ESP header nothing can be told.
        protocol = getattr(ip, "p", _IPSEC)
        header = ip.extension_hdrs.get(dpkt.ip.IP_PROTO_FRAGMENT)
        if header is None or not (header.m_flag or header.frag_off):
            return _carried(ip, protocol, ip.data, carried_bytes)
        key = (ip.src, ip.dst, header.id)
        offset, more = header.frag_off * 8, bool(header.m_flag)
        return self._of_fragment(ip, key, offset, more, protocol, carried_bytes, time_s)

    def _of_fragment(
        self,
        ip: "dpkt.ip.IP | dpkt.ip6.IP6",
        key: tuple[object, ...],
        offset: int,
        more: bool,
        protocol: int,
        carried_bytes: int | None,
        time_s: float,
    ) -> object:
        part = bytes(ip.data)
        if carried_bytes is not None and len(part) < carried_bytes:
            return LOST_FRAGMENT
        whole = self._fragments.add(key, offset, more, part, time_s)
        return FRAGMENT if whole is None else _carried(ip, protocol, whole, len(whole))


def _carried(
    ip: "dpkt.ip.IP | dpkt.ip6.IP6", protocol: int, data: object, carried_bytes: int | None
) -> object:
    """What an IP datagram carries: a segment, a reason, or a layer to look into."""
    if protocol == dpkt.ip.IP_PROTO_TCP:
        tcp = dpkt.tcp.TCP(data) if isinstance(data, bytes) else data
        return _segment(ip, tcp, carried_bytes) if isinstance(tcp, dpkt.tcp.TCP) else DAMAGED
    if protocol in _UNOPENED_PROTOCOLS:
        return Ignored(f"in a tunnel that this tap does not open ({_UNOPENED_PROTOCOLS[protocol]})")
    if protocol not in _OPENED_PROTOCOLS:
        return NOT_TCP
    return _OPENED_PROTOCOLS[protocol](data) if isinstance(data, bytes) else data


def _in_udp(udp: "dpkt.udp.UDP") -> object:
    data = bytes(udp.data)
    if udp.dport in _VXLAN_PORTS:
        return dpkt.ethernet.Ethernet(data[_TUNNEL_HEADER_BYTES:])
    if udp.dport == _GENEVE_PORT:
        read = _GENEVE_KINDS.get(data[2:4])
        return NOT_TCP if read is None else read(data[_TUNNEL_HEADER_BYTES + 4 * (data[0] & 0x3F) :])
    if udp.dport in _UNOPENED_PORTS:
        return Ignored(f"in a tunnel that this tap does not open ({_UNOPENED_PORTS[udp.dport]})")
    return NOT_TCP


_OPENED_PROTOCOLS: dict[int, Callable[[bytes], object]] = {
    4: dpkt.ip.IP,
    17: dpkt.udp.UDP,
    41: dpkt.ip6.IP6,
    47: dpkt.gre.GRE,
}
_GENEVE_KINDS: dict[bytes, Callable[[bytes], object]] = {
    b"\x08\x00": dpkt.ip.IP,
    b"\x86\xdd": dpkt.ip6.IP6,
    b"\x65\x58": dpkt.ethernet.Ethernet,
}


def _segment(network: "dpkt.ip.IP | dpkt.ip6.IP6", tcp: "dpkt.tcp.TCP", carried_bytes: int | None) -> Segment:
    header_bytes = 4 * int(tcp.off)
    payload = bytes(tcp.data)
    on_wire_bytes = len(payload) if carried_bytes is None else carried_bytes - header_bytes
    return Segment(
        Address(bytes(network.src), tcp.sport),
        Address(bytes(network.dst), tcp.dport),
        tcp.seq,
        tcp.ack,
        tcp.flags,
        payload,
        max(on_wire_bytes, len(payload)),
    )


@dataclass
class _Datagram:
    """The parts of one datagram by their offsets; `whole_bytes` is known once the last part came."""

    since_s: float
    parts: dict[int, bytes] = field(default_factory=dict)
    held_bytes: int = 0
    whole_bytes: int | None = None

    def add(self, offset: int, more: bool, part: bytes) -> None:
        """Take a part that was not there yet."""
        if offset not in self.parts:
            self.parts[offset] = part
            self.held_bytes += len(part)
        if not more:
            self.whole_bytes = offset + len(part)

    def joined(self) -> bytes | None:
        """The datagram, once every part of it is there."""
        if self.whole_bytes is None or self.held_bytes < self.whole_bytes:
            return None
        joined = bytearray()
        for offset, part in sorted(self.parts.items()):
            if offset > len(joined):
                return None
            # Where fragments overlap, what came first in the datagram stands.
            joined += part[len(joined) - offset :]
        return bytes(joined[: self.whole_bytes])


class Fragments:
    """Keeps IP fragments until their datagram is whole; the oldest datagrams are let go first.

    Times are those of the packets.

    Args:
        datagrams: how many may be unfinished at once.
        wait_s: how long one may be unfinished; receivers wait about as long.
    """

    def __init__(self, datagrams: int = 64, wait_s: float = 30.0) -> None:
        self._most = datagrams
        self._wait_s = wait_s
        self._datagrams: OrderedDict[Hashable, _Datagram] = OrderedDict()
        self._lost = 0

    def add(self, key: Hashable, offset: int, more: bool, part: bytes, time_s: float) -> bytes | None:
        """Take one fragment; the payload of the whole datagram once it is complete."""
        datagram = self._datagrams.setdefault(key, _Datagram(time_s))
        datagram.add(offset, more, part)
        whole = datagram.joined()
        if whole is not None:
            del self._datagrams[key]
        elif offset + len(part) > _MAX_DATAGRAM_BYTES or datagram.held_bytes > _MAX_DATAGRAM_BYTES:
            # No sender makes these: they overlap, or are no fragments at all.
            self._lost += len(self._datagrams.pop(key).parts)
        self._let_go(time_s)
        return whole

    def take_lost(self) -> int:
        """Fragments given up since the last time this was asked."""
        lost, self._lost = self._lost, 0
        return lost

    def close(self) -> None:
        """Nothing more will come: give up what is unfinished."""
        self._lost += sum(len(datagram.parts) for datagram in self._datagrams.values())
        self._datagrams.clear()

    def _let_go(self, now_s: float) -> None:
        while self._datagrams:
            oldest = next(iter(self._datagrams.values()))
            if len(self._datagrams) <= self._most and now_s - oldest.since_s <= self._wait_s:
                return
            self._lost += len(self._datagrams.popitem(last=False)[1].parts)
