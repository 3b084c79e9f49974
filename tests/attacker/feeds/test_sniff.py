"""Sniffing on loopback, for real where it is permitted."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest

from siftfunnel.attacker.feeds.captured import SniffFeed
from siftfunnel.attacker.feeds.config import SniffConfig
from siftfunnel.attacker.tap.events import ConnectionClosed, ConnectionOpened, Event, FeedError, Opaque
from tests.attacker.feeds.sockets import echo, eventually, listening, receive_exactly
from tests.attacker.service import (
    METADATA,
    answer,
    frames_heard,
    frames_of,
    messages,
    replies_heard,
    serving,
    stream,
)
from tests.split_inference import SplitInferenceStub

ROOT = Path(__file__).resolve().parents[3]


def may_sniff() -> bool:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0).close()
    except (AttributeError, PermissionError):
        return False
    return True


needs_permission = pytest.mark.skipif(not may_sniff(), reason="sniffing takes Linux and CAP_NET_RAW")
FRAMES = frames_of(10, 5000, 100_000, 20)


@needs_permission
@pytest.mark.parametrize("interface", ["lo", "any"])
async def test_a_grpc_stream_is_overheard_without_being_touched(interface: str) -> None:
    events: list[Event] = []
    async with serving() as port:
        feed = SniffFeed(SniffConfig(interface, port))
        feed.start(events.append)
        assert feed.state().detail == f"listening; no packet of port {port} yet"
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert await stream(SplitInferenceStub(channel), FRAMES) == [answer(frame) for frame in FRAMES]
    assert eventually(lambda: feed.state().connections_open == 0)
    feed.stop()
    assert frames_heard(events) == FRAMES
    assert replies_heard(events) == [answer(frame) for frame in FRAMES]
    assert {event.digest for event in messages(events)} == {METADATA[0][1]}
    state = feed.state()
    assert (state.phase, state.messages, state.dropped, state.midway_connections) == ("stopped", 8, {}, 0)


@needs_permission
async def test_an_open_connection_is_joined_midway() -> None:
    events: list[Event] = []
    async with serving() as port:
        feed = SniffFeed(SniffConfig("lo", port))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = SplitInferenceStub(channel).Stream(metadata=METADATA)
            for number, frame in enumerate(frames_of(*[3000] * 20)):
                if number == 5:
                    feed.start(events.append)
                await call.write(frame)
                assert await call.read() == answer(frame)
            await call.done_writing()
    assert eventually(lambda: feed.state().connections_open == 0)
    feed.stop()
    opened = events[0]
    assert isinstance(opened, ConnectionOpened)
    assert opened.joined_midway
    heard = [frame.sequence for frame in frames_heard(events)]
    assert heard == list(range(20 - len(heard), 20))
    assert len(heard) >= 14
    assert {(event.method, event.digest) for event in messages(events)} == {(None, None)}
    assert feed.state().midway_connections == 1


@needs_permission
def test_loopback_bytes_are_counted_once() -> None:
    events: list[Event] = []
    with listening(echo) as port:
        feed = SniffFeed(SniffConfig("lo", port))
        feed.start(events.append)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(bytes(100_000))
            receive_exactly(client, 100_000)
        assert eventually(lambda: feed.state().connections_open == 0 and feed.state().connections_seen == 1)
        feed.stop()
    assert feed.state().bytes_seen == 200_000
    assert sum(event.byte_count for event in events if isinstance(event, Opaque)) == 200_000
    closed = events[-1]
    assert isinstance(closed, ConnectionClosed)
    assert closed.traffic.total_bytes == 200_000


@needs_permission
def test_other_ports_are_not_heard() -> None:
    with listening(echo) as port, listening(echo) as other_port:
        feed = SniffFeed(SniffConfig("lo", port))
        feed.start(lambda event: None)
        for target in (other_port, port):
            with socket.create_connection(("127.0.0.1", target)) as client:
                client.sendall(b"hello")
                receive_exactly(client, 5)
        assert eventually(lambda: feed.state().connections_seen == 1)
        feed.stop()
    assert feed.state().bytes_seen == 10


@needs_permission
def test_packets_that_the_ring_cannot_hold_are_counted() -> None:
    released = threading.Event()
    with listening(echo) as port:
        feed = SniffFeed(SniffConfig("lo", port), ring_bytes=4 << 20)
        feed.start(lambda event: released.wait(60))
        with socket.create_connection(("127.0.0.1", port)) as client:
            for _ in range(100):
                client.sendall(bytes(200_000))
                receive_exactly(client, 200_000)
        released.set()
        assert eventually(lambda: feed.state().dropped.get("packets: the capture ring was full", 0) > 0)
        feed.stop()
    assert feed.state().phase == "stopped"


@needs_permission
def test_an_interface_that_is_not_there_is_named_with_those_that_are() -> None:
    feed = SniffFeed(SniffConfig("eth99", 50051))
    with pytest.raises(FeedError, match=r"no network interface 'eth99' to sniff on; there are .*lo.*, any"):
        feed.start(lambda event: None)
    assert feed.state().phase == "failed"


WITHOUT_PRIVILEGE = """
import os
from siftfunnel.attacker.feeds.captured import SniffFeed
from siftfunnel.attacker.feeds.config import SniffConfig
from siftfunnel.attacker.tap.events import FeedError
feed = SniffFeed(SniffConfig("lo", 50051))
if os.getuid() == 0:
    os.setuid(65534)
try:
    feed.start(print)
except FeedError as error:
    print(error)
"""


def test_without_permission_the_error_says_what_to_do() -> None:
    if may_sniff() and os.getuid() != 0:
        pytest.skip("this user may sniff and cannot give the permission up")
    printed = subprocess.run(
        [sys.executable, "-c", WITHOUT_PRIVILEGE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert "no permission to sniff on lo: it takes the capability NET_RAW" in printed
    assert "cap_add: [NET_RAW]" in printed
    assert "relay:LISTEN:TARGET, which needs no privilege" in printed
