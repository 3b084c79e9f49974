"""Bytes that the kernel counted: of one TCP connection and of a link's interface, and of a run by layer.

TCP_INFO tells what a connection carried without a capture beside it, and works without privileges.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from siftfunnel.bench.cells.paths import EdgeOnly, Upload
from siftfunnel.bench.cells.record import Frame, Task
from siftfunnel.bench.cells.result import BothWays, LayerBytes, joined
from siftfunnel.bench.links.namespaces import INTERFACE
from siftfunnel.bench.links.profiles import PACKETS
from siftfunnel.shared.ports import Endpoint

_IP_AND_TCP_BYTES = 40
_TIMESTAMPS_BYTES = 12
_OPTION_TIMESTAMPS = 1
_TCP_INFO_BYTES = 216
_INTERNET = (socket.AF_INET, socket.AF_INET6)


Totals = tuple[int, LayerBytes, LayerBytes]
"""A connection's number within this machine, and what it carried up and down since it was opened."""


def tcp_totals(connection: socket.socket) -> Totals | None:
    """Messages are the bytes of the stream, each once; segments count once, with their IP and TCP headers.

    Selective acknowledgements are not in those headers. None where this system's TCP_INFO has not all of it
    (Linux has since 4.19).
    """
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return None
    try:
        raw = connection.getsockopt(socket.IPPROTO_TCP, option, _TCP_INFO_BYTES)
    except OSError:
        return None
    if len(raw) < _TCP_INFO_BYTES:
        return None
    options, total_retransmitted = raw[5], *struct.unpack_from("=I", raw, 100)
    received, segments_out, segments_in = struct.unpack_from("=QII", raw, 128)
    sent, repeated = struct.unpack_from("=QQ", raw, 200)
    header_bytes = _IP_AND_TCP_BYTES + (_TIMESTAMPS_BYTES if options & _OPTION_TIMESTAMPS else 0)
    up, down = (
        LayerBytes(None, stream, stream + segments * header_bytes, None)
        for stream, segments in (
            (sent - repeated, segments_out - total_retransmitted),
            (received, segments_in),
        )
    )
    return os.fstat(connection.fileno()).st_ino, up, down


def count_connection(server: str) -> Totals | None:
    """Totals of this process's connection to HOST:PORT; None where there is not exactly one."""
    wanted = Endpoint.parse(server)
    found = []
    for connection in _own_connections():
        with connection:
            host, port, *_ = connection.getpeername()
            if Endpoint(host.removeprefix("::ffff:"), port) == wanted:
                found.append(tcp_totals(connection))
    return found[0] if len(found) == 1 else None


def _own_connections() -> Iterator[socket.socket]:
    """Duplicates of this process's connected TCP sockets, for the caller to close."""
    folder = Path("/proc/self/fd")
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        with contextlib.suppress(OSError):
            if not os.readlink(entry).startswith("socket:"):
                continue
            made = socket.socket(fileno=os.dup(int(entry.name)))
            if made.family in _INTERNET and made.type == socket.SOCK_STREAM and _is_connected(made):
                yield made
            else:
                made.close()


def _is_connected(connection: socket.socket) -> bool:
    try:
        connection.getpeername()
    except OSError:
        return False
    return True


def interface_sent_bytes(interface: str, process: str | int = "self") -> int | None:
    """Bytes handed to an interface of the network namespace in which a process lives; None without it.

    Lost packets are in it: a link loses them after the interface has sent them.
    """
    try:
        lines = Path(f"/proc/{process}/net/dev").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, colon, figures = line.partition(":")
        if colon and name.strip() == interface:
            return int(figures.split()[8])
    return None


@dataclass(frozen=True)
class Counts:
    """Totals at one moment: the kernel's, and the client's of replies."""

    connection: int | None
    up: LayerBytes
    down: LayerBytes

    @classmethod
    def now(cls, task: Task, way: EdgeOnly | Upload) -> "Counts":
        """Read them."""
        unknown = LayerBytes(None, None, None, None)
        found = None if task.server is None else count_connection(task.server)
        connection, up, down = found or (None, unknown, unknown)
        if task.emulation == "relay":
            # a relay ends the connection: the segments on this side are not those of the link
            up, down = replace(up, tcp=None), replace(down, tcp=None)
        if task.emulation in PACKETS and task.cloud_process is not None:
            up = replace(up, link=interface_sent_bytes(INTERFACE))
            down = replace(down, link=interface_sent_bytes(INTERFACE, task.cloud_process))
        replies = way.reply_bytes if isinstance(way, Upload) else 0
        return cls(connection, replace(up, payload=0), replace(down, payload=replies))


def totals_between(before: Counts, after: Counts, frames: Sequence[Frame], task: Task) -> BothWays:
    """Bytes by layer; None for a layer that was not measured."""
    if task.server is None:
        nothing = LayerBytes(0.0, 0.0, 0.0, 0.0)
        return BothWays(nothing, nothing)
    pairs = ((after.up, before.up), (after.down, before.down))
    up, down = (joined(pair, lambda values: values[0] - values[1]) for pair in pairs)
    if before.connection != after.connection:
        up, down = (replace(each, message=None, tcp=None) for each in (up, down))
    return BothWays(replace(up, payload=float(sum(frame.payload_bytes for frame in frames))), down)
