"""Captured packets to TCP segments; every link layer a Linux capture comes with.

Link types are those of capture files (https://www.tcpdump.org/linktypes.html).
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import dpkt

NULL, ETHERNET, RAW, LOOP, LINUX_SLL, IPV4, IPV6, LINUX_SLL2 = 0, 1, 101, 108, 113, 228, 229, 276
_RAW_BSD = 12


class Ignored(Enum):
    """Why a packet holds no segment for the tap."""

    NOT_TCP = "not TCP"
    FRAGMENT = "an IP fragment, which this tap does not put together"
    DAMAGED = "a packet that cannot be read"


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
    LINUX_SLL: lambda packet: dpkt.sll.SLL(packet).data,
    LINUX_SLL2: lambda packet: dpkt.sll2.SLL2(packet).data,
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


def segment_of(link_type: int, packet: bytes) -> Segment | Ignored:
    """The TCP segment in a packet, or why there is none.

    Raises:
        KeyError: the link type is none that `knows_link_type`.
    """
    read = _LINKS[link_type]
    try:
        network = read(packet)
        if isinstance(network, dpkt.ip.IP):
            return _of_ipv4(network)
        return _of_ipv6(network) if isinstance(network, dpkt.ip6.IP6) else Ignored.NOT_TCP
    except Exception:  # a foreign parser on hostile bytes: whatever it raises, the packet is bad
        return Ignored.DAMAGED


def _of_ipv4(network: "dpkt.ip.IP") -> Segment | Ignored:
    if network.p != dpkt.ip.IP_PROTO_TCP:
        return Ignored.NOT_TCP
    if network.mf or network.offset:
        return Ignored.FRAGMENT
    # A length of 0 means that the sender's hardware was to cut the packet (TSO beyond 64 KiB).
    carried_bytes = network.len - 20 - len(network.opts) if network.len else None
    return _segment(network, carried_bytes)


def _of_ipv6(network: "dpkt.ip6.IP6") -> Segment | Ignored:
    if network.p != dpkt.ip.IP_PROTO_TCP:
        return Ignored.NOT_TCP
    if dpkt.ip.IP_PROTO_FRAGMENT in network.extension_hdrs:
        return Ignored.FRAGMENT
    extensions_bytes = sum(header.length for header in network.all_extension_headers)
    return _segment(network, network.plen - extensions_bytes if network.plen else None)


def _segment(network: "dpkt.ip.IP | dpkt.ip6.IP6", carried_bytes: int | None) -> Segment | Ignored:
    tcp = network.data
    if not isinstance(tcp, dpkt.tcp.TCP):
        return Ignored.DAMAGED
    header_bytes = 20 + len(tcp.opts)
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
