"""Bytes that the kernel counted: of one TCP connection and of a link's interface, and of a run by layer.

TCP_INFO tells what a connection carried without a capture beside it, and works without privileges.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from siftfunnel.bench.cells.paths import EdgeOnly, Upload
from siftfunnel.bench.cells.record import Frame, Task
from siftfunnel.bench.cells.result import BothWays, LayerBytes

_IP_AND_TCP_BYTES = 40
_TIMESTAMPS_BYTES = 12
_OPTION_TIMESTAMPS = 1
_TCP_INFO_BYTES = 216
_INTERNET = (socket.AF_INET, socket.AF_INET6)


@dataclass(frozen=True)
class TcpCount:
    """Totals of one connection since it was opened.

    Attributes:
        inode: Names the connection within this machine.
        bytes_sent: Of the stream, each once.
        bytes_received: Likewise.
        segments_sent: Without repeated ones.
        segments_received: All that arrived.
        header_bytes: IP and TCP of one segment, selective acknowledgements not included.
    """

    inode: int
    bytes_sent: int
    bytes_received: int
    segments_sent: int
    segments_received: int
    header_bytes: int

    @classmethod
    def of(cls, connection: socket.socket) -> Self | None:
        """Read them; None where this system's TCP_INFO has not all of them (Linux has since 4.19)."""
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
        return cls(
            os.fstat(connection.fileno()).st_ino,
            sent - repeated,
            received,
            segments_out - total_retransmitted,
            segments_in,
            header_bytes,
        )


def count_connection(server: str) -> TcpCount | None:
    """Totals of this process's connection to HOST:PORT; None where there is not exactly one."""
    host, _, port = server.rpartition(":")
    found = []
    for connection in _own_connections():
        with connection:
            peer = connection.getpeername()
            if (str(peer[0]).removeprefix("::ffff:"), peer[1]) == (host, int(port)):
                found.append(TcpCount.of(connection))
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
    """The kernel's and the client's counters at one moment."""

    tcp: TcpCount | None
    link_up: int | None
    link_down: int | None
    replies: int

    @classmethod
    def now(cls, task: Task, way: EdgeOnly | Upload) -> "Counts":
        """Read them."""
        link_up = link_down = None
        if task.interface is not None and task.cloud_process is not None:
            link_up = interface_sent_bytes(task.interface)
            link_down = interface_sent_bytes(task.interface, task.cloud_process)
        tcp = None if task.server is None else count_connection(task.server)
        return cls(tcp, link_up, link_down, way.reply_bytes if isinstance(way, Upload) else 0)


def totals_between(before: Counts, after: Counts, frames: Sequence[Frame], task: Task) -> BothWays:
    """Bytes by layer; None for a layer that was not measured."""
    if task.server is None:
        nothing = LayerBytes(0.0, 0.0, 0.0, 0.0)
        return BothWays(nothing, nothing)
    sent = received = sent_tcp = received_tcp = None
    old, new = before.tcp, after.tcp
    if old is not None and new is not None and old.inode == new.inode:
        sent, received = new.bytes_sent - old.bytes_sent, new.bytes_received - old.bytes_received
        if task.counts_segments:
            sent_tcp = sent + (new.segments_sent - old.segments_sent) * new.header_bytes
            received_tcp = received + (new.segments_received - old.segments_received) * new.header_bytes
    payload, replies = sum(frame.payload_bytes for frame in frames), after.replies - before.replies
    return BothWays(
        LayerBytes(payload, sent, sent_tcp, _difference(before.link_up, after.link_up)),
        LayerBytes(replies, received, received_tcp, _difference(before.link_down, after.link_down)),
    )


def _difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before
