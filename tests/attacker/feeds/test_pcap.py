"""Capture files, played."""

import struct
from collections.abc import Callable
from pathlib import Path

import dpkt
import pytest

from siftfunnel.attacker.feeds.captured import PcapFeed
from siftfunnel.attacker.feeds.config import PcapConfig
from siftfunnel.attacker.tap.events import ConnectionClosed, ConnectionOpened, Event, FeedError
from siftfunnel.attacker.tap.packets import ETHERNET, LINUX_SLL, LINUX_SLL2, RAW
from tests.attacker.conftest import FRAMES
from tests.attacker.feeds.pcapng import enhanced, interface, section
from tests.attacker.feeds.sockets import eventually
from tests.attacker.service import Transcript, frames_heard
from tests.attacker.tap.wire import connection, packets

LINKS = {
    ETHERNET: bytes(12) + b"\x08\x00",
    LINUX_SLL: bytes(14) + b"\x08\x00",
    LINUX_SLL2: b"\x08\x00" + bytes(18),
    RAW: b"",
}


def write_pcap(path: Path, transcript: Transcript, link_type: int = ETHERNET, nano: bool = False) -> None:
    with path.open("wb") as stream:
        writer = dpkt.pcap.Writer(stream, snaplen=1 << 18, linktype=link_type, nano=nano)
        for number, packet in enumerate(connection(transcript)):
            writer.writepkt(LINKS[link_type] + packet, 1000.0 + number / 100)


def write_pcapng(path: Path, transcript: Transcript) -> None:
    with path.open("wb") as stream:
        writer = dpkt.pcapng.Writer(stream)
        for number, packet in enumerate(connection(transcript)):
            writer.writepkt(LINKS[ETHERNET] + packet, 1000.0 + number / 100)


def played(path: Path, port: int | None = None) -> tuple[PcapFeed, list[Event]]:
    feed = PcapFeed(PcapConfig(path, port))
    events: list[Event] = []
    feed.start(events.append)
    assert eventually(lambda: feed.state().phase in ("finished", "failed"))
    feed.stop()
    return feed, events


@pytest.mark.parametrize("link_type", LINKS)
def test_a_capture_plays_with_its_own_times(transcript: Transcript, tmp_path: Path, link_type: int) -> None:
    path = tmp_path / "a.pcap"
    write_pcap(path, transcript, link_type)
    feed, events = played(path)
    assert frames_heard(events) == [*FRAMES, *FRAMES, FRAMES[0]]
    assert feed.state().phase == "finished"
    assert feed.state().detail == f"played {len(connection(transcript))} packets"
    assert feed.state().dropped == {}
    assert events[0].time_s == pytest.approx(1000.0)


@pytest.mark.parametrize("write", [write_pcapng, lambda path, made: write_pcap(path, made, nano=True)])
def test_other_formats_play_too(
    transcript: Transcript, tmp_path: Path, write: Callable[[Path, Transcript], None]
) -> None:
    path = tmp_path / "a.capture"
    write(path, transcript)
    _, events = played(path)
    assert len(frames_heard(events)) == 17
    assert events[-1].time_s == pytest.approx(1000.0 + (len(connection(transcript)) - 1) / 100, abs=0.02)


def test_packets_that_are_no_tcp_are_counted(transcript: Transcript, tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    write_pcap(path, transcript)
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    with path.open("ab") as stream:
        stream.write(struct.pack("=IIII", 2000, 0, len(arp), len(arp)) + arp)
    feed, _ = played(path)
    assert feed.state().detail.endswith("packets, 1 of them not TCP")
    assert feed.state().dropped == {}


def test_every_interface_of_a_capture_is_heard(transcript: Transcript, tmp_path: Path) -> None:
    content = section() + b"".join(interface("<", link_type) for link_type in (*LINKS, 105))
    for number, link in enumerate(LINKS.values()):
        for packet in connection(transcript, client=("10.0.0.2", 40000 + number)):
            content += enhanced("<", number, 1_000_000, link + packet)
    path = tmp_path / "a.pcapng"
    path.write_bytes(content + enhanced("<", len(LINKS), 0, b"802.11"))
    feed, events = played(path)
    assert len(frames_heard(events)) == len(LINKS) * 17
    assert feed.state().dropped == {"packets: of link type 105, which this tap does not read": 1}


def test_what_a_snap_length_and_lost_fragments_cost_is_named(transcript: Transcript, tmp_path: Path) -> None:
    packets = connection(transcript)
    content = section() + interface("<", RAW)
    for packet in packets:
        content += enhanced("<", 0, 1_000_000, packet[:500], len(packet))
    fragment = packets[20][:6] + b"\x20\x00" + packets[20][8:]
    content += enhanced("<", 0, 1_000_000, fragment) + enhanced("<", 0, 1_000_000, packets[20][:30], 900)
    path = tmp_path / "a.pcapng"
    path.write_bytes(content)
    feed, events = played(path)
    missed = sum(max(0, len(packet) - 500) for packet in packets)
    dropped = feed.state().dropped
    assert dropped["bytes: segments cut off by the capture's snap length"] == missed
    assert dropped["packets: IP fragments of which other parts are missing"] == 1
    assert dropped["packets: cut off by the capture's snap length before the end of their headers"] == 1
    assert len(frames_heard(events)) > 0


def test_a_server_port_can_be_given_and_what_was_assumed_is_said(
    secure_transcript: Transcript, transcript: Transcript, tmp_path: Path
) -> None:
    path = tmp_path / "a.pcapng"
    late = packets(secure_transcript)[-6:]
    content = section() + interface("<", RAW) + b"".join(enhanced("<", 0, 0, packet) for packet in late)
    path.write_bytes(content)
    feed, events = played(path)
    assert isinstance(events[0], ConnectionOpened)
    assert events[0].server == "10.0.0.2:40000"
    assert feed.state().directions_told_by == {"the port numbers": 1}
    assert f"pcap:{path}:PORT" in feed.state().detail
    feed, events = played(path, port=50051)
    assert isinstance(events[0], ConnectionOpened)
    assert events[0].server == "10.0.0.3:50051"
    assert feed.state().directions_told_by == {}


def test_a_capture_cut_off_in_the_middle_plays_up_to_there(transcript: Transcript, tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    write_pcap(path, transcript)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    feed, events = played(path)
    assert 5 < len(frames_heard(events)) < 17
    assert isinstance(events[0], ConnectionOpened)
    assert isinstance(events[-1], ConnectionClosed)
    path.write_bytes(whole[: 24 + 7])
    feed, events = played(path)
    assert feed.state().phase == "failed"
    assert "is damaged behind packet 0" in feed.state().detail


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b'{"time_s": 1}\n', b"\x0a\x0d\x0d\x0a" + bytes(60)])
def test_a_file_that_is_no_capture_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(content)
    feed = PcapFeed(PcapConfig(path))
    with pytest.raises(FeedError, match=r"a\.pcap cannot be played: .*; it takes a pcap or pcapng file"):
        feed.start(lambda event: None)
    assert feed.state().phase == "failed"


def test_a_link_type_nobody_knows_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    with path.open("wb") as stream:
        dpkt.pcap.Writer(stream, linktype=105)
    with pytest.raises(FeedError, match="link type 105"):
        PcapFeed(PcapConfig(path)).start(lambda event: None)


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match=r"cannot read the capture .*none\.pcap: No such file"):
        PcapFeed(PcapConfig(tmp_path / "none.pcap")).start(lambda event: None)
