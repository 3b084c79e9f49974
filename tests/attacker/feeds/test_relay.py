"""The relay in the path of real connections."""

import asyncio
import hashlib
import os
import socket
import struct
import threading
from pathlib import Path

import grpc
import pytest

from siftfunnel.attacker.feeds.relay import RelayFeed
from siftfunnel.attacker.tap.events import ConnectionClosed, ConnectionOpened, Dropped, Event, Opaque
from tests.attacker.feeds.sockets import (
    connect,
    echo,
    eventually,
    listening,
    receive_exactly,
    receive_to_end,
    relay_config,
    relaying,
)
from tests.attacker.service import (
    METADATA,
    answer,
    certificate,
    frames_heard,
    frames_of,
    messages,
    replies_heard,
    server_credentials,
    serving,
    stream,
)
from tests.split_inference import SplitInferenceStub

ROOT = Path(__file__).resolve().parents[3]


async def play_through(feed: RelayFeed, frames: list, window: int = 4, streams: int = 1) -> list:
    """Replies that clients get through a running relay, each over a connection of its own."""

    async def one(number: int) -> list:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(feed.state().address, options) as channel:
            return await stream(SplitInferenceStub(channel), frames, window)

    return await asyncio.gather(*(one(number) for number in range(streams)))


async def test_a_grpc_stream_passes_and_every_message_is_overheard() -> None:
    events: list[Event] = []
    frames = frames_of(10, 5000, 100_000, 20)
    async with serving() as port:
        with relaying(RelayFeed(relay_config(port)), events.append) as feed:
            assert await play_through(feed, frames) == [[answer(frame) for frame in frames]]
    assert frames_heard(events) == frames
    assert replies_heard(events) == [answer(frame) for frame in frames]
    assert isinstance(events[0], ConnectionOpened)
    assert isinstance(events[-1], ConnectionClosed)
    assert feed.state().dropped == {}


async def test_under_load_no_frame_is_lost() -> None:
    events: list[Event] = []
    frames = frames_of(*[20_000] * 150)
    async with serving() as port:
        with relaying(RelayFeed(relay_config(port)), events.append) as feed:
            replies = await play_through(feed, frames, window=16, streams=3)
            assert [len(each) for each in replies] == [150, 150, 150]
    assert len(frames_heard(events)) == 450
    assert len(replies_heard(events)) == 450
    state = feed.state()
    assert (state.dropped, state.connections_seen, state.connections_open) == ({}, 3, 0)
    assert state.messages == 900
    assert state.bytes_seen > 450 * 20_000
    assert state.added_latency_us_p50 is not None
    assert state.added_latency_us_p99 >= state.added_latency_us_p50


async def test_an_encrypted_stream_passes_unread() -> None:
    events: list[Event] = []
    frames = frames_of(1000, 1000)
    async with serving(server_credentials()) as port:
        with relaying(RelayFeed(relay_config(port)), events.append) as feed:
            credentials = grpc.ssl_channel_credentials(certificate()[0])
            address = f"localhost:{feed.state().address.rpartition(':')[2]}"
            async with grpc.aio.secure_channel(address, credentials) as channel:
                replies = await stream(SplitInferenceStub(channel), frames)
    assert replies == [answer(frame) for frame in frames]
    assert messages(events) == []
    assert sum(event.byte_count for event in events if isinstance(event, Opaque)) == feed.state().bytes_seen
    assert feed.state().encrypted_connections == 1
    assert feed.state().opaque_bytes == feed.state().bytes_seen


def test_a_blocked_observer_holds_nothing_up() -> None:
    released = threading.Event()
    events: list[Event] = []

    def blocked(event: Event) -> None:
        released.wait()
        events.append(event)

    sent = os.urandom(1 << 20)
    with listening(echo) as port:
        feed = RelayFeed(relay_config(port), spool_bytes=100_000)
        feed.start(blocked)
        try:
            with connect(feed) as client:
                got = b""
                for at in range(0, len(sent), 1 << 15):
                    client.sendall(sent[at : at + (1 << 15)])
                    got += receive_exactly(client, 1 << 15)
                assert hashlib.sha256(got).digest() == hashlib.sha256(sent).digest()
                assert not events
                # the connection is open still, and nothing comes behind the hole
                assert eventually(lambda: feed.state().dropped.get("bytes: the relay's spool was full"))
        finally:
            released.set()
            feed.stop()
    dropped = sum(event.count for event in events if isinstance(event, Dropped))
    opaque = sum(event.byte_count for event in events if isinstance(event, Opaque))
    assert dropped + opaque == 2 * len(sent)
    assert feed.state().dropped["bytes: the relay's spool was full"] == dropped > 0
    assert isinstance(events[-1], ConnectionClosed)
    assert events[-1].traffic.total_bytes == 2 * len(sent)


async def test_behind_a_hole_the_frames_of_the_same_stream_are_heard_again() -> None:
    released = threading.Event()
    events: list[Event] = []
    heard: list[int] = []

    def sink(event: Event) -> None:
        events.append(event)
        heard.extend(frame.sequence for frame in frames_heard([event]))
        if len(heard) == 3:
            released.wait(60)

    # Large frames make the hole; small ones behind it fit the spool however busy the machine is.
    frames = iter(frames_of(*[20_000] * 60, *[500] * 2000))
    async with serving() as port:
        with relaying(RelayFeed(relay_config(port), spool_bytes=100_000), sink) as feed:
            async with grpc.aio.insecure_channel(feed.state().address) as channel:
                call = SplitInferenceStub(channel).Stream(metadata=METADATA)

                async def exchange(count: int) -> int:
                    """Play some frames; the sequence of the last one."""
                    for _ in range(count):
                        frame = next(frames)
                        await call.write(frame)
                        assert await call.read() == answer(frame)
                    return frame.sequence

                last_of_the_hole = await exchange(60)
                released.set()
                while heard[-1] <= last_of_the_hole:
                    await exchange(1)
                heard_again = heard[-1]
                last = await exchange(30)
                await call.done_writing()
    assert feed.state().dropped["bytes: the relay's spool was full"] > 0
    assert len(heard) < last + 1
    assert heard[heard.index(heard_again) :] == list(range(heard_again, last + 1))
    assert {event.kind for event in messages(events)} == {"frame", "reply"}


def test_an_observer_that_raises_is_counted() -> None:
    def broken(event: Event) -> None:
        raise RuntimeError("observer")

    with listening(echo) as port, relaying(RelayFeed(relay_config(port)), broken) as feed:
        with connect(feed) as client:
            client.sendall(b"hello")
            assert receive_exactly(client, 5) == b"hello"
        assert eventually(lambda: feed.state().connections_open == 0)
    assert feed.state().dropped["events: an observer failed"] >= 3


def test_the_end_of_one_direction_leaves_the_other_open() -> None:
    def answer_after_the_end(connection: socket.socket) -> None:
        received = receive_to_end(connection)
        connection.sendall(received[::-1])

    with listening(answer_after_the_end) as port, relaying(RelayFeed(relay_config(port)), _ignore) as feed:
        with connect(feed) as client:
            client.sendall(b"abc" * 100_000)
            client.shutdown(socket.SHUT_WR)
            assert receive_to_end(client) == b"cba" * 100_000
        assert eventually(lambda: feed.state().connections_open == 0)


def test_a_slow_receiver_slows_its_sender_and_no_one_else() -> None:
    go_on = threading.Event()

    def sleepy(connection: socket.socket) -> None:
        first = connection.recv(1)
        if first == b"s":
            go_on.wait(60)
            connection.sendall(len(receive_to_end(connection)).to_bytes(8, "big"))
        else:
            connection.sendall(first)

    with (
        listening(sleepy) as port,
        relaying(RelayFeed(relay_config(port)), _ignore) as feed,
        connect(feed) as slow,
        connect(feed) as quick,
    ):
        slow.sendall(b"s")
        sent = send_until_full(slow)
        quick.sendall(b"q")
        assert receive_exactly(quick, 1) == b"q"
        go_on.set()
        slow.shutdown(socket.SHUT_WR)
        assert int.from_bytes(receive_exactly(slow, 8), "big") == sent


def send_until_full(connection: socket.socket) -> int:
    """Bytes that were taken until the connection took no more for a while."""
    connection.settimeout(0.3)
    sent = 0
    try:
        while sent < 1 << 28:
            sent += connection.send(bytes(1 << 16))
    except TimeoutError:
        connection.settimeout(30)
        return sent
    pytest.fail("the relay took 256 MiB that nobody read")


def test_a_reset_is_passed_on() -> None:
    seen: list[str] = []

    def note(connection: socket.socket) -> None:
        try:
            receive_to_end(connection)
            seen.append("end")
        except ConnectionResetError:
            seen.append("reset")

    events: list[Event] = []
    with listening(note) as port, relaying(RelayFeed(relay_config(port)), events.append) as feed:
        client = connect(feed)
        client.sendall(b"hello")
        assert eventually(lambda: feed.state().bytes_seen == 5)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert eventually(lambda: seen)
        assert eventually(lambda: feed.state().connections_open == 0)
    assert seen == ["reset"]
    assert isinstance(events[-1], ConnectionClosed)
    assert events[-1].how.startswith("reset")


def test_stopping_closes_connections_and_may_be_repeated() -> None:
    events: list[Event] = []
    with listening(echo) as port:
        feed = RelayFeed(relay_config(port))
        feed.start(events.append)
        with connect(feed) as client:
            client.sendall(b"x")
            assert receive_exactly(client, 1) == b"x"
            feed.stop()
            feed.stop()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
    assert isinstance(events[-1], ConnectionClosed)
    assert events[-1].how == "the tap stopped"
    assert feed.state().phase == "stopped"


def _ignore(event: object) -> None:
    """An observer that does not care."""
