"""Capture files of both formats, read packet by packet."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.attacker.feeds.capture_file import CaptureError, Packet, read_capture
from siftfunnel.attacker.tap.packets import ETHERNET, LINUX_SLL, RAW
from tests.attacker.feeds.pcapng import block, enhanced, interface, section


def pcap(order: str, magic: int, record: str, *packets: tuple[int, int, bytes]) -> bytes:
    made = struct.pack(f"{order}IHHIIII", magic, 2, 4, 0, 0, 65535, ETHERNET)
    for seconds, fraction, data in packets:
        made += struct.pack(f"{order}IIII", seconds, fraction, len(data), len(data) + 9) + bytes(
            struct.calcsize(record)
        )
        made += data
    return made


def read(content: bytes) -> list[Packet]:
    return list(read_capture(io.BytesIO(content)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("magic", "extra", "ticks"), [(0xA1B2C3D4, "", 10**6), (0xA1B23C4D, "", 10**9), (0xA1B2CD34, "8s", 10**6)]
)
def test_the_older_format_in_all_its_kinds(order: str, magic: int, extra: str, ticks: int) -> None:
    content = pcap(order, magic, extra, (5, ticks // 4, b"one"), (6, 0, b""))
    assert read(content) == [Packet(5.25, ETHERNET, b"one", 12), Packet(6.0, ETHERNET, b"", 9)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_each_interface_has_its_own_link_type_and_clock(order: str) -> None:
    content = (
        section(order)
        + interface(order, ETHERNET)
        + interface(order, RAW, (2, b"eth1"), (9, b"\x09"), (14, struct.pack(f"{order}q", 100)))
        + interface(order, LINUX_SLL, (9, b"\x81"))
        + block(order, 99, b"of no interest")
        + enhanced(order, 1, 1_500_000_000, b"one")
        + enhanced(order, 0, (7 << 32) + 1, b"two", 70)
        + enhanced(order, 2, 3, b"three")
        + block(order, 3, struct.pack(f"{order}I", 4) + b"four")
        + block(order, 2, struct.pack(f"{order}HHIIII", 2, 0, 0, 8, 4, 5) + b"five")
    )
    assert read(content) == [
        Packet(101.5, RAW, b"one", 3),
        Packet(((7 << 32) + 1) / 1e6, ETHERNET, b"two", 70),
        Packet(1.5, LINUX_SLL, b"three", 5),
        Packet(1.5, ETHERNET, b"four", 4),
        Packet(4.0, LINUX_SLL, b"five", 5),
    ]


def test_a_new_section_has_interfaces_and_a_byte_order_of_its_own() -> None:
    content = section("<") + interface("<", ETHERNET) + enhanced("<", 0, 0, b"a")
    content += section(">") + interface(">", RAW) + enhanced(">", 0, 0, b"b")
    assert [packet.link_type for packet in read(content)] == [ETHERNET, RAW]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "does not begin like a capture"),
        (b"\x0a\x0d\x0d\x0a" + bytes(60), "unknown byte order"),
        (section() + interface("<", 1) + enhanced("<", 3, 0, b"x"), "interface 3, which was not described"),
        (section() + struct.pack("<II", 6, 0xFFFFFFF0), "a block of 4294967280 bytes"),
        (section() + struct.pack("<II", 6, 8), "a block of 8 bytes"),
        (section() + block("<", 1, b""), "too short"),
        (section() + interface("<", 1)[:-2], "ends within a block"),
        (pcap("<", 0xA1B2C3D4, "", (0, 0, b"abc"))[:-1], "ends within a packet"),
        (pcap("<", 0xA1B2C3D4, "") + struct.pack("<IIII", 0, 0, 1 << 31, 0), "a packet of 2147483648 bytes"),
    ],
)
def test_what_is_no_capture_or_damaged_says_how(content: bytes, complaint: str) -> None:
    with pytest.raises(CaptureError, match=complaint):
        read(content)


@given(
    st.sampled_from(
        [b"", section("<"), section(">"), pcap("<", 0xA1B2C3D4, ""), section() + interface("<", 1)]
    ),
    st.binary(max_size=400),
)
def test_any_bytes_are_packets_or_an_error(beginning: bytes, rest: bytes) -> None:
    try:
        read(beginning + rest)
    except CaptureError:
        return


@given(st.data())
def test_any_damage_is_survived(data: st.DataObject) -> None:
    good = (
        section()
        + interface("<", 1, (9, b"\x09"))
        + enhanced("<", 0, 5, b"abc")
        + enhanced("<", 0, 6, b"def")
    )
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(damaged))
    except CaptureError:
        return
