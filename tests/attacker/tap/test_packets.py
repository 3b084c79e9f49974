"""Segments out of captured packets, whatever link they came over."""

import functools
import itertools
import struct
from collections.abc import Callable

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.attacker.tap.packets import (
    CUT_SHORT,
    DAMAGED,
    ETHERNET,
    FRAGMENT,
    IPV4,
    IPV6,
    LINUX_SLL,
    LINUX_SLL2,
    LOOP,
    NOT_TCP,
    NULL,
    RAW,
    Address,
    Fragments,
    Ignored,
    PacketReader,
    Segment,
    knows_link_type,
)
from tests.attacker.tap.wire import ACK, CLIENT, CLIENT6, SERVER, SERVER6, tcp


def segment_of(link_type: int, packet: bytes, wire_bytes: int = 0) -> Segment | Ignored:
    return PacketReader().read(link_type, packet, 0.0, wire_bytes)


V4 = bytes(tcp(CLIENT, SERVER, 10, 20, ACK, b"hello"))
V6 = bytes(tcp(CLIENT6, SERVER6, 10, 20, ACK, b"hello"))
MAC = bytes(12)


def vlan(number: int, ethertype: int) -> bytes:
    return struct.pack(">HH", number, ethertype)


def ipv4(protocol: int, data: bytes, source: bytes = bytes(4), destination: bytes = bytes(4)) -> bytes:
    return bytes(dpkt.ip.IP(src=source, dst=destination, p=protocol, len=20 + len(data), data=data))


def udp(port: int, data: bytes) -> bytes:
    return ipv4(17, bytes(dpkt.udp.UDP(sport=9, dport=port, ulen=8 + len(data), data=data)))


CASES = {
    "Ethernet, IPv4": (ETHERNET, MAC + b"\x08\x00" + V4),
    "Ethernet, IPv4, padded to 60 bytes": (ETHERNET, MAC + b"\x08\x00" + V4 + bytes(20)),
    "Ethernet, IPv6": (ETHERNET, MAC + b"\x86\xdd" + V6),
    "Ethernet, one VLAN tag": (ETHERNET, MAC + b"\x81\x00" + vlan(7, 0x0800) + V4),
    "Ethernet, two VLAN tags": (ETHERNET, MAC + b"\x88\xa8" + vlan(7, 0x8100) + vlan(8, 0x86DD) + V6),
    "BSD loopback, IPv4": (NULL, struct.pack("=I", 2) + V4),
    "BSD loopback, IPv6": (NULL, struct.pack("=I", 30) + V6),
    "OpenBSD loopback": (LOOP, struct.pack(">I", 2) + V4),
    "Linux cooked, IPv4": (LINUX_SLL, bytes(14) + b"\x08\x00" + V4),
    "Linux cooked, IPv6": (LINUX_SLL, bytes(14) + b"\x86\xdd" + V6),
    "Linux cooked 2, IPv4": (LINUX_SLL2, b"\x08\x00" + bytes(18) + V4),
    "Linux cooked 2, IPv6": (LINUX_SLL2, b"\x86\xdd" + bytes(18) + V6),
    "Linux cooked, VLAN tag": (LINUX_SLL, bytes(14) + b"\x81\x00" + vlan(7, 0x0800) + V4),
    "Linux cooked 2, VLAN tag": (LINUX_SLL2, b"\x81\x00" + bytes(18) + vlan(7, 0x86DD) + V6),
    "raw IPv4": (RAW, V4),
    "raw IPv6": (RAW, V6),
    "IPv4": (IPV4, V4),
    "IPv6": (IPV6, V6),
    "MPLS": (ETHERNET, MAC + b"\x88\x47" + b"\x00\x01\x01\x40" + V4),
    "PPPoE": (ETHERNET, MAC + b"\x88\x64" + struct.pack(">BBHHH", 0x11, 0, 7, len(V4) + 2, 0x21) + V4),
    "802.3 with SNAP": (ETHERNET, MAC + struct.pack(">H", len(V4) + 8) + b"\xaa\xaa\x03\0\0\0\x08\0" + V4),
    "IP in IP": (RAW, ipv4(4, V4)),
    "IPv6 in IPv4": (RAW, ipv4(41, V6)),
    "GRE": (RAW, ipv4(47, b"\0\0\x08\0" + V4)),
    "GRE with a key, IPv6": (RAW, ipv4(47, b"\x20\0\x86\xdd" + bytes(4) + V6)),
    "GRE, Ethernet": (RAW, ipv4(47, b"\0\0\x65\x58" + MAC + b"\x08\x00" + V4)),
    "VXLAN": (RAW, udp(4789, b"\x08\0\0\0\0\0\x07\0" + MAC + b"\x08\x00" + V4)),
    "Geneve with an option": (RAW, udp(6081, b"\x01\0\x65\x58" + bytes(8) + MAC + b"\x86\xdd" + V6)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_segment_is_found_behind(case: str) -> None:
    segment = segment_of(*CASES[case])
    assert isinstance(segment, Segment)
    assert (segment.sequence, segment.acknowledgement, segment.payload) == (10, 20, b"hello")
    assert (segment.payload_bytes, segment.ack, segment.syn, segment.fin, segment.rst) == (
        5,
        True,
        False,
        False,
        False,
    )
    assert str(segment.source) in ("10.0.0.2:40000", "[fd00::2]:40000")


def test_a_link_type_nobody_has_is_not_known() -> None:
    assert not knows_link_type(105)


def test_hardware_may_leave_the_length_to_be_filled_in_later() -> None:
    unfilled = V4[:2] + bytes(2) + V4[4:]
    segment = segment_of(RAW, unfilled)
    assert isinstance(segment, Segment)
    assert (segment.payload, segment.payload_bytes) == (b"hello", 5)


def test_a_packet_as_large_as_ip_allows_is_read() -> None:
    segment = segment_of(RAW, bytes(tcp(CLIENT, SERVER, 10, 20, ACK, bytes(65_000))))
    assert isinstance(segment, Segment)
    assert segment.payload_bytes == 65_000


def test_a_capture_that_cuts_packets_still_tells_their_length() -> None:
    segment = segment_of(RAW, V4[:-3])
    assert isinstance(segment, Segment)
    assert (segment.payload, segment.payload_bytes) == (b"he", 5)


def test_tcp_options_are_not_payload() -> None:
    with_options = dpkt.tcp.TCP(sport=1, dport=2, seq=3, flags=ACK, off=8, opts=bytes(12), data=b"x")
    packet = dpkt.ip.IP(src=bytes(4), dst=bytes(4), p=6, len=20 + 32 + 1, data=with_options)
    assert segment_of(RAW, bytes(packet)) == Segment(
        Address(bytes(4), 1), Address(bytes(4), 2), 3, 0, ACK, b"x", 1
    )


def test_other_protocols_are_no_segments() -> None:
    udp = dpkt.ip.IP(src=bytes(4), dst=bytes(4), p=17, data=dpkt.udp.UDP(sport=1, dport=2, data=b"x"))
    assert segment_of(RAW, bytes(udp)) is NOT_TCP
    assert segment_of(ETHERNET, MAC + b"\x08\x06" + bytes(28)) is NOT_TCP


def fragments_of(packet: bytes, part_bytes: int = 8) -> list[bytes]:
    """An IPv4 packet in parts."""
    header, data = packet[:20], packet[20:]
    made = []
    for at in range(0, len(data), part_bytes):
        part = data[at : at + part_bytes]
        more = 0x2000 if at + part_bytes < len(data) else 0
        length, place = struct.pack(">H", 20 + len(part)), struct.pack(">H", more | at // 8)
        made.append(header[:2] + length + header[4:6] + place + header[8:] + part)
    return made


def fragments_of_v6(packet: bytes, part_bytes: int = 8) -> list[bytes]:
    """An IPv6 packet in parts."""
    header, data = packet[:40], packet[40:]
    made = []
    for at in range(0, len(data), part_bytes):
        part = data[at : at + part_bytes]
        more = at + part_bytes < len(data)
        fragment = struct.pack(">BBHI", header[6], 0, at | more, 77)
        length = struct.pack(">H", 8 + len(part))
        made.append(header[:4] + length + bytes([44]) + header[7:] + fragment + part)
    return made


@pytest.mark.parametrize(("packet", "cut"), [(V4, fragments_of), (V6, fragments_of_v6)])
def test_fragments_are_put_together_in_any_order(packet: bytes, cut: Callable[[bytes], list[bytes]]) -> None:
    whole = segment_of(RAW, packet)
    for order in itertools.permutations(cut(packet)):
        reader = PacketReader()
        found = [reader.read(RAW, part, 0.0) for part in (order[0], *order)]
        assert found == [FRAGMENT] * (len(order)) + [whole]
        reader.close()
        assert reader.take_lost() == 0


def test_a_tunnel_in_fragments_is_opened() -> None:
    reader = PacketReader()
    found = [reader.read(RAW, part, 0.0) for part in fragments_of(CASES["VXLAN"][1], 48)]
    assert found[-1] == segment_of(RAW, V4)


def test_fragments_whose_other_parts_are_missing_are_counted() -> None:
    reader = PacketReader()
    first, second, *_ = fragments_of(V4, 8)
    reader.read(RAW, first, 0.0)
    reader.read(RAW, second, 0.0)
    assert reader.take_lost() == 0
    reader.read(RAW, fragments_of(V4[:4] + b"\x00\x09" + V4[6:])[0], 60.0)
    assert reader.take_lost() == 2
    reader.close()
    assert reader.take_lost() == 1


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (ipv4(50, bytes(40)), "IPsec"),
        (V6[:6] + bytes([50]) + V6[7:], "IPsec"),
        (ipv4(115, bytes(40)), "L2TP"),
        (udp(2152, bytes(40)), "GTP"),
        (udp(51820, bytes(40)), "WireGuard"),
        (functools.reduce(lambda inner, _: ipv4(4, inner), range(20), V4), "tunnels within tunnels"),
    ],
)
def test_what_may_hide_a_segment_is_named(packet: bytes, why: str) -> None:
    found = segment_of(RAW, packet)
    assert isinstance(found, Ignored)
    assert found.lost
    assert why in found.why


@pytest.mark.parametrize("kept_bytes", range(60))
def test_a_packet_cut_within_its_headers_is_told_from_a_damaged_one(kept_bytes: int) -> None:
    packet = MAC + b"\x08\x00" + V4
    cut = segment_of(ETHERNET, packet[:kept_bytes], wire_bytes=len(packet))
    if kept_bytes < len(packet) - 5:
        assert cut is CUT_SHORT
        assert segment_of(ETHERNET, packet[:kept_bytes]) in (DAMAGED, NOT_TCP)
    else:
        assert isinstance(cut, Segment)
        assert cut.payload_bytes == 5


def test_options_that_were_cut_off_are_not_taken_for_payload() -> None:
    with_options = dpkt.tcp.TCP(sport=1, dport=2, seq=3, flags=ACK, off=8, opts=bytes(12), data=b"hello")
    packet = ipv4(6, bytes(with_options))
    segment = segment_of(RAW, packet[:45], wire_bytes=len(packet))
    assert isinstance(segment, Segment)
    assert (segment.payload, segment.payload_bytes) == (b"", 5)


def test_a_link_type_that_is_not_read_is_named() -> None:
    assert segment_of(105, bytes(80)) == Ignored("of link type 105, which this tap does not read")


def test_an_ipv6_extension_header_is_stepped_over() -> None:
    destination_options = bytes([6, 0, 1, 4, 0, 0, 0, 0])
    packet = V6[:4] + struct.pack(">H", 8 + 25) + bytes([60]) + V6[7:40] + destination_options + V6[40:]
    segment = segment_of(RAW, packet)
    assert isinstance(segment, Segment)
    assert (segment.payload, segment.payload_bytes) == (b"hello", 5)


@given(
    st.sampled_from([NULL, ETHERNET, RAW, LOOP, LINUX_SLL, LINUX_SLL2, IPV4, IPV6]), st.binary(max_size=200)
)
def test_any_bytes_are_a_segment_or_a_reason(link_type: int, packet: bytes) -> None:
    assert isinstance(segment_of(link_type, packet), Segment | Ignored)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 0x1FFF), st.booleans(), st.binary(max_size=64), st.floats(0, 99)
        ),
        max_size=30,
    )
)
def test_any_fragments_are_survived(parts: list[tuple[int, int, bool, bytes, float]]) -> None:
    fragments = Fragments(datagrams=2)
    taken = 0
    for key, offset, more, part, time_s in parts:
        whole = fragments.add(key, offset * 8, more, part, time_s)
        taken += whole is not None
        assert whole is None or len(whole) <= 65535
    fragments.close()
    assert fragments.take_lost() <= len(parts) - taken


@given(st.data())
def test_any_damage_to_a_packet_is_a_segment_or_a_reason(data: st.DataObject) -> None:
    link_type, packet = CASES[data.draw(st.sampled_from(sorted(CASES)))]
    damaged = bytearray(packet)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(
        segment_of(link_type, bytes(damaged[: data.draw(st.integers(0, 200))])), Segment | Ignored
    )
