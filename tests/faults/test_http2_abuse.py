"""HTTP/2 used against the server: it goes on serving an honest client, and holds no more than before."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hpack import Encoder

from siftfunnel.edge_client import SplitClient
from siftfunnel.shared.bundle import Bundle
from tests.edge_client.conftest import pixels, serving
from tests.tinybundle import make_tiny_bundle

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_HEADERS = 0x04
TIMES = 3000
MOST_GROWTH_BYTES = 64 << 20
ATTACKERS = 4


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def request(stream: int, encoder: Encoder, *more: tuple[str, str]) -> bytes:
    fields = [
        (":method", "POST"), (":scheme", "http"), (":path", "/siftfunnel.v1.SplitInference/Stream"),
        (":authority", "localhost"), ("content-type", "application/grpc"), ("te", "trailers"), *more,
    ]  # fmt: skip
    return frame(HEADERS, END_HEADERS, stream, encoder.encode(fields, huffman=False))


def rapid_resets() -> Iterator[bytes]:
    """CVE-2023-44487: calls that are given up as soon as they are opened."""
    encoder = Encoder()
    for number in range(TIMES):
        yield request(2 * number + 1, encoder) + frame(RST_STREAM, 0, 2 * number + 1, struct.pack(">I", 8))


def pings() -> Iterator[bytes]:
    yield from (frame(PING, 0, 0, number.to_bytes(8, "big")) for number in range(TIMES))


def settings() -> Iterator[bytes]:
    yield from (frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535 + number % 2)) for number in range(TIMES))


def empty_data() -> Iterator[bytes]:
    """CVE-2019-9518: frames that carry nothing, without end."""
    yield request(1, Encoder())
    yield from (frame(DATA, 0, 1) for _ in range(TIMES))


def continuations() -> Iterator[bytes]:
    """CVE-2024-27316: headers that never end."""
    yield frame(HEADERS, 0, 1, Encoder().encode([(":method", "POST")]))
    yield from (
        frame(CONTINUATION, 0, 1, Encoder().encode([(f"x-{n}", "y" * 4000)], huffman=False))
        for n in range(TIMES)
    )


def large_headers() -> Iterator[bytes]:
    encoder = Encoder()
    for number in range(200):
        yield request(2 * number + 1, encoder, (f"x-{number}", "y" * 15000))


def many_indexed_headers() -> Iterator[bytes]:
    """One large field in the table, referred to over and over: little on the wire, much in memory."""
    encoder = Encoder()
    first = encoder.encode([("x-large", "y" * 3500)])
    again = encoder.encode([("x-large", "y" * 3500)])
    for number in range(100):
        yield frame(HEADERS, END_HEADERS, 2 * number + 1, (b"" if number else first) + again * 4000)


def windows() -> Iterator[bytes]:
    yield request(1, Encoder())
    yield from (frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1)) for _ in range(TIMES))


def calls_without_end() -> Iterator[bytes]:
    encoder = Encoder()
    yield from (request(2 * number + 1, encoder) for number in range(TIMES))


ABUSES: tuple[Callable[[], Iterator[bytes]], ...] = (
    rapid_resets,
    pings,
    settings,
    empty_data,
    continuations,
    large_headers,
    many_indexed_headers,
    windows,
    calls_without_end,
)


def attack(port: int, abuse: Callable[[], Iterator[bytes]]) -> None:
    """Send it all, read nothing; a server that hangs up is right."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
        for piece in abuse():
            connection.sendall(piece)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="module")
def port(bundle: Bundle) -> Iterator[int]:
    with serving(bundle) as address:
        yield int(address.rpartition(":")[2])


@pytest.mark.parametrize("abuse", ABUSES, ids=lambda each: each.__name__)
def test_an_abuser_neither_stops_an_honest_client_nor_fills_the_memory(
    abuse: Callable[[], Iterator[bytes]], bundle: Bundle, port: int
) -> None:
    with SplitClient(bundle, f"127.0.0.1:{port}") as client:
        assert client.classify(pixels(0)).class_name
        before = resident_bytes()
        attackers = [threading.Thread(target=attack, args=(port, abuse)) for _ in range(ATTACKERS)]
        for thread in attackers:
            thread.start()
        for seed in range(5):
            assert client.classify(pixels(seed)).class_name
        for thread in attackers:
            thread.join()
        assert client.classify(pixels(0)).class_name
    assert resident_bytes() - before < MOST_GROWTH_BYTES
