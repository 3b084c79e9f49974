"""What a link really does, measured through it: round trip, rate, one-way delay, loss.

Both ends are on one machine, so one clock (CLOCK_MONOTONIC) times a packet's way in one direction. The
connection on which the ends talk is the one that is measured; datagrams go beside it.
"""

import argparse
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from siftfunnel.bench.children import tell
from siftfunnel.shared.ports import Endpoint

PINGS = 20
DATAGRAM_BYTES = 100
BULK_S = 3.0
"""How long each direction is flooded."""
CHUNK_BYTES = 16_384
SETTLING_SHARE = 0.5
"""Share of a flood's time that is left out: slow start."""

_STAMP = struct.Struct("<Id")
_LENGTH = struct.Struct("<I")
_STRAGGLERS_S = 2.0
_HEADER_BYTES = 28


@dataclass(frozen=True)
class Bursts:
    """How single small packets are sent.

    Attributes:
        count: In each direction.
        interval_s: Between two of them.
    """

    count: int = 400
    interval_s: float = 0.005

    @classmethod
    def for_rate(cls, rate_kbit_s: float | None) -> "Bursts":
        """As many as usual, or fewer and slower, so that they take a fifth of a slow link and do not queue.

        Example:
            >>> Bursts.for_rate(20), Bursts.for_rate(None)
            (Bursts(count=40, interval_s=0.256), Bursts(count=400, interval_s=0.005))
        """
        if rate_kbit_s is None:
            return cls()
        interval_s = max(cls.interval_s, (DATAGRAM_BYTES + _HEADER_BYTES) * 8 / (200 * rate_kbit_s))
        return cls(min(cls.count, max(40, round(4 / interval_s))), round(interval_s, 6))


@dataclass(frozen=True)
class Way:
    """One direction as measured; what datagrams tell is None where a link carries none.

    Attributes:
        rate_kbit_s: Payload rate of one TCP connection after slow start, in 1,000 bit/s.
        delay_ms_p50: Median one-way delay of single small packets.
        delay_ms_p99: Their 99th percentile.
        loss: Share of single small packets that did not arrive.
    """

    rate_kbit_s: float
    delay_ms_p50: float | None = None
    delay_ms_p99: float | None = None
    loss: float | None = None

    def __str__(self) -> str:
        """In words; a share that was not measured is left out."""
        parts = [f"{self.rate_kbit_s:,.0f} kbit/s"]
        if self.delay_ms_p50 is not None:
            parts.append(f"{self.delay_ms_p50:g} ms (99 %: {self.delay_ms_p99:g})")
        if self.loss is not None:
            parts.append(f"{self.loss:.2%} lost")
        return ", ".join(parts)


@dataclass(frozen=True)
class Calibration:
    """A link as measured.

    Attributes:
        round_trip_ms_p50: Median round trip of one byte on an open TCP connection.
        up: From device to cloud.
        down: From cloud to device.
    """

    round_trip_ms_p50: float
    up: Way
    down: Way

    def __str__(self) -> str:
        """In words."""
        return f"{self.round_trip_ms_p50:g} ms round trip; up {self.up}; down {self.down}"


def settled_rate_kbit_s(marks: list[tuple[float, int]]) -> float:
    """Rate from the moment when settling is over, from (seconds, total bytes) in order.

    Example:
        >>> round(settled_rate_kbit_s([(0.0, 0), (5.0, 1_000), (10.0, 6_000)]), 1)
        8.0
    """
    (start_s, _), (end_s, end_bytes) = marks[0], marks[-1]
    settled_s, settled_bytes = next(
        mark for mark in marks if mark[0] >= start_s + SETTLING_SHARE * (end_s - start_s)
    )
    if end_s <= settled_s:
        return 0.0
    return (end_bytes - settled_bytes) * 8 / 1000 / (end_s - settled_s)


class _End:
    """One end of the talk: bytes, lengths and JSON over one TCP connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection

    def read(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            parts += self.read_some(count - len(parts))
        return bytes(parts)

    def read_some(self, at_most: int) -> bytes:
        part = self.socket.recv(at_most)
        if not part:
            raise ConnectionError("the probe's other end closed the connection")
        return part

    def send(self, value: object) -> None:
        text = json.dumps(value).encode()
        self.socket.sendall(_LENGTH.pack(len(text)) + text)

    def receive(self) -> Any:
        return json.loads(self.read(*_LENGTH.unpack(self.read(_LENGTH.size))))

    def echo(self) -> None:
        for _ in range(PINGS):
            self.socket.sendall(self.read(1))

    def flood(self, seconds: float) -> None:
        """Send for so long, each chunk with its length in front, then a length of 0."""
        # what was not sent yet stays small: the end of a flood must not lie seconds of queue away
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 2 * CHUNK_BYTES)
        until_s, chunk = time.monotonic() + seconds, _LENGTH.pack(CHUNK_BYTES) + bytes(CHUNK_BYTES)
        while time.monotonic() < until_s:
            self.socket.sendall(chunk)
        self.socket.sendall(_LENGTH.pack(0))

    def sink(self) -> float:
        """Receive a flood; its settled rate."""
        total, marks = 0, [(time.monotonic(), 0)]
        while left := _LENGTH.unpack(self.read(_LENGTH.size))[0]:
            # piece by piece: on a slow link one chunk takes seconds
            while left:
                piece = self.read_some(left)
                left -= len(piece)
                total += len(piece)
                marks.append((time.monotonic(), total))
        return settled_rate_kbit_s(marks)


def _burst(port: socket.socket, target: tuple[str, int], bursts: Bursts) -> None:
    for number in range(bursts.count):
        stamp = _STAMP.pack(number, time.monotonic())
        port.sendto(stamp + bytes(DATAGRAM_BYTES - len(stamp)), target)
        time.sleep(bursts.interval_s)


def _collect(port: socket.socket, bursts: Bursts) -> list[float]:
    """Delays in ms of what arrives of a burst."""
    delays: list[float] = []
    # half as long again: a sleep on a busy machine is longer than asked for
    until_s = time.monotonic() + 1.5 * bursts.count * bursts.interval_s + _STRAGGLERS_S
    while len(delays) < bursts.count and (left_s := until_s - time.monotonic()) > 0:
        port.settimeout(left_s)
        try:
            _, sent_s = _STAMP.unpack_from(port.recv(2048))
        except TimeoutError:
            break
        delays.append((time.monotonic() - float(sent_s)) * 1000)
    return delays


def _answer(end: _End, host: str) -> None:
    """The cloud's side of the talk; each task is a word and its figures."""
    tasks: dict[object, Callable[..., None]] = {
        "ping": end.echo,
        "up": lambda: end.send(end.sink()),
        "down": end.flood,
        "datagrams": lambda *bursts: _answer_datagrams(end, host, Bursts(*bursts)),
    }
    try:
        while True:
            name, *figures = end.receive()
            tasks[name](*figures)
    except ConnectionError:
        end.socket.close()


def _answer_datagrams(end: _End, host: str, bursts: Bursts) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        port.bind((host, 0))
        end.send(port.getsockname()[1])
        end.send(_collect(port, bursts))
        device, number = end.receive()
        _burst(port, (device, number), bursts)


def serve(host: str, told: Callable[[int], None] = lambda port: tell(port=port)) -> None:
    """The cloud's end: tell the port, answer until stopped."""
    listener = socket.create_server((host, 0))
    told(listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(_End(connection), host), daemon=True).start()


def tell_measured(server: str, bursts: dict[str, Any] | None, bulk_s: float) -> None:
    """The device's end in a process of its own: measure and tell."""
    tell(**asdict(measure(Endpoint.parse(server), None if bursts is None else Bursts(**bursts), bulk_s)))


def measure(server: Endpoint, bursts: Bursts | None, bulk_s: float = BULK_S) -> Calibration:
    """The device's end: measure one after the other, so that nothing queues behind something else.

    Args:
        server: The cloud's end.
        bursts: Single small packets; None where the link carries TCP only.
        bulk_s: How long each direction is flooded.
    """
    with socket.create_connection((server.host, server.port)) as connection:
        end = _End(connection)
        end.send(["ping"])
        round_trips_ms = []
        for _ in range(PINGS):
            started_s = time.monotonic()
            connection.sendall(b"!")
            end.read(1)
            round_trips_ms.append((time.monotonic() - started_s) * 1000)
        delays_up, delays_down = (
            (None, None) if bursts is None else _measure_datagrams(end, server.host, bursts)
        )
        end.send(["down", bulk_s])
        rate_down = end.sink()
        end.send(["up"])
        end.flood(bulk_s)
        rate_up = float(end.receive())
    count = bursts.count if bursts else 0
    return Calibration(
        round(float(np.median(round_trips_ms)), 3),
        _way(rate_up, delays_up, count),
        _way(rate_down, delays_down, count),
    )


def _measure_datagrams(end: _End, host: str, bursts: Bursts) -> tuple[list[float], list[float]]:
    end.send(["datagrams", bursts.count, bursts.interval_s])
    remote = end.receive()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        port.bind((end.socket.getsockname()[0], 0))
        _burst(port, (host, remote), bursts)
        up = end.receive()
        end.send(list(port.getsockname()))
        return up, _collect(port, bursts)


def _way(rate_kbit_s: float, delays_ms: list[float] | None, count: int) -> Way:
    if delays_ms is None:
        return Way(round(rate_kbit_s, 1))
    loss = round(1 - len(delays_ms) / count, 5)
    if not delays_ms:
        return Way(round(rate_kbit_s, 1), loss=loss)
    middle, late = np.percentile(delays_ms, (50, 99))
    return Way(round(rate_kbit_s, 1), round(float(middle), 3), round(float(late), 3), loss)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="the cloud's end: prints its port, answers until stopped")
    parser.add_subparsers(dest="verb", required=True).add_parser("serve").add_argument("host")
    serve(parser.parse_args().host, told=lambda port: print(port, flush=True))
