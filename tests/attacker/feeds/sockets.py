"""Plain TCP peers and patience for tests of feeds."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from siftfunnel.attacker.feeds.config import RelayConfig
from siftfunnel.attacker.feeds.relay import RelayFeed
from siftfunnel.shared.ports import Endpoint

LOCALHOST = "127.0.0.1"


def eventually(true: Callable[[], object], timeout_s: float = 20.0) -> bool:
    """Whether a condition came true within a generous time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.01)
    return bool(true())


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that hands each connection to `serve` on a thread of its own."""
    listener = socket.create_server((LOCALHOST, 0))
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=guarded, args=(connection,), daemon=True)
            threads.append(thread)
            thread.start()

    def guarded(connection: socket.socket) -> None:
        with connection:
            serve(connection)

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(5)
        for thread in threads:
            thread.join(5)


def echo(connection: socket.socket) -> None:
    """Send everything back; end when the other side ends."""
    try:
        while data := connection.recv(1 << 16):
            connection.sendall(data)
    except OSError:
        return


def receive_exactly(connection: socket.socket, byte_count: int) -> bytes:
    parts = []
    while byte_count and (data := connection.recv(min(byte_count, 1 << 16))):
        parts.append(data)
        byte_count -= len(data)
    return b"".join(parts)


def receive_to_end(connection: socket.socket) -> bytes:
    return receive_exactly(connection, 1 << 40)


def relay_config(target_port: int, listen_port: int = 0) -> RelayConfig:
    return RelayConfig(Endpoint(LOCALHOST, listen_port), Endpoint(LOCALHOST, target_port))


def connect(feed: RelayFeed) -> socket.socket:
    """A client's connection to a relay."""
    address = feed.state().address
    assert address is not None
    connection = socket.create_connection((LOCALHOST, int(address.rpartition(":")[2])), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


@contextmanager
def relaying(feed: RelayFeed, sink: Callable[[object], None]) -> Iterator[RelayFeed]:
    feed.start(sink)
    try:
        yield feed
    finally:
        feed.stop()
