"""Segments out of captured packets, whatever link they came over."""

import struct

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacker.tap.packets import (
    ETHERNET,
    IPV4,
    IPV6,
    LINUX_SLL,
    LINUX_SLL2,
    LOOP,
    NULL,
    RAW,
    Address,
    Ignored,
    Segment,
    knows_link_type,
    segment_of,
)
from tests.attacker.tap.wire import ACK, CLIENT, CLIENT6, SERVER, SERVER6, tcp

V4 = bytes(tcp(CLIENT, SERVER, 10, 20, ACK, b"hello"))
V6 = bytes(tcp(CLIENT6, SERVER6, 10, 20, ACK, b"hello"))
MAC = bytes(12)


def vlan(number: int, ethertype: int) -> bytes:
    return struct.pack(">HH", number, ethertype)


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
    "raw IPv4": (RAW, V4),
    "raw IPv6": (RAW, V6),
    "IPv4": (IPV4, V4),
    "IPv6": (IPV6, V6),
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
    assert segment_of(RAW, bytes(udp)) is Ignored.NOT_TCP
    assert segment_of(ETHERNET, MAC + b"\x08\x06" + bytes(28)) is Ignored.NOT_TCP


def test_fragments_are_told_apart() -> None:
    assert segment_of(RAW, V4[:6] + b"\x20\x00" + V4[8:]) is Ignored.FRAGMENT


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


@given(st.data())
def test_any_damage_to_a_packet_is_a_segment_or_a_reason(data: st.DataObject) -> None:
    link_type, packet = CASES[data.draw(st.sampled_from(sorted(CASES)))]
    damaged = bytearray(packet)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(
        segment_of(link_type, bytes(damaged[: data.draw(st.integers(0, 200))])), Segment | Ignored
    )
