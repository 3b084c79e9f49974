"""A ring of memory that the kernel writes captured packets into (AF_PACKET, TPACKET_V3; see packet(7)).

The ring is what keeps bursts while the tap is busy. When it is full the kernel drops packets and counts them:
`take_drops` tells how many.
"""

import contextlib
import ctypes
import errno
import mmap
import os
import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from siftfunnel.attacker.tap.events import FeedError

_SOL_PACKET = 263
_PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION, _PACKET_IGNORE_OUTGOING = 5, 6, 10, 23
_TPACKET_V3 = 2
_SO_ATTACH_FILTER = 26
_ETH_P_ALL = 0x0003
_PACKET_OUTGOING = 4
_ARPHRD_LOOPBACK = 772
_STATUS_USER = 1

_BLOCK_BYTES = 1 << 20
_RETIRE_MS = 20
_FRAME_BYTES = 1 << 11
_ADDRESS_OFFSET = 48

_BLOCK_STATUS = struct.Struct("=I")
_BLOCK_HEADER = struct.Struct("=III")
_PACKET_HEADER = struct.Struct("=IIIIIIHH")
_LINK_ADDRESS = struct.Struct("=HHiHBB")

_LOAD_BYTE, _LOAD_HALF, _LOAD_HALF_AT_X, _X_FROM_IP_HEADER_LENGTH = 0x30, 0x28, 0x48, 0xB1
_SHIFT_RIGHT, _JUMP_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x74, 0x15, 0x45, 0x06
_TCP = 6
_FRAGMENT_BITS = 0x3FFF
_IPV6_EXTENSIONS = (0, 43, 60)
_WHOLE_PACKET = 0x7FFFFFFF

ANY_INTERFACE = "any"


class PacketRing:
    """Captures TCP packets of one port on one interface, or on `any`.

    Raises:
        FeedError: no permission, no such interface, or no memory.
    """

    def __init__(self, interface: str, port: int, ring_bytes: int = 64 << 20) -> None:
        if interface != ANY_INTERFACE:
            _check_interface(interface)
        self._socket = _open_socket(interface)
        try:
            self._filter(port)
            self._blocks, self._ring = self._map(ring_bytes)
            self._bind(interface)
        except BaseException:
            self._socket.close()
            raise
        self._next_block = 0

    def close(self) -> None:
        """Stop capturing and give the memory back."""
        self._ring.close()
        self._socket.close()

    def wait(self, timeout_s: float) -> None:
        """Wait until there is something to read, or for a while.

        Raises:
            FeedError: the interface went away.
        """
        poller = select.poll()
        poller.register(self._socket, select.POLLIN | select.POLLERR)
        for _, mask in poller.poll(timeout_s * 1000):
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if mask & select.POLLERR else 0
            if code:
                raise FeedError(f"the interface went away ({os.strerror(code)}); start again once it is up")

    def read(self) -> Iterator[tuple[float, bytes]]:
        """The packets that are there now, each with its time, from the network header on.

        A packet sent to oneself over loopback comes once.
        """
        while True:
            at = self._next_block * _BLOCK_BYTES
            if not _BLOCK_STATUS.unpack_from(self._ring, at + 8)[0] & _STATUS_USER:
                return
            yield from self._read_block(at)
            _BLOCK_STATUS.pack_into(self._ring, at + 8, 0)
            self._next_block = (self._next_block + 1) % self._blocks

    def take_drops(self) -> int:
        """Packets that the kernel had no room for since the last time this was asked."""
        counters = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 12)
        return int(struct.unpack("=III", counters)[1])

    def _read_block(self, block: int) -> Iterator[tuple[float, bytes]]:
        _, count, first = _BLOCK_HEADER.unpack_from(self._ring, block + 8)
        at = block + first
        for _ in range(count):
            next_offset, sec, nsec, kept_bytes, _, _, mac, _ = _PACKET_HEADER.unpack_from(self._ring, at)
            _, _, _, hardware, kind, _ = _LINK_ADDRESS.unpack_from(self._ring, at + _ADDRESS_OFFSET)
            if not (kind == _PACKET_OUTGOING and hardware == _ARPHRD_LOOPBACK):
                yield sec + nsec / 1e9, self._ring[at + mac : at + mac + kept_bytes]
            at += next_offset

    def _filter(self, port: int) -> None:
        program = ctypes.create_string_buffer(tcp_port_filter(port))
        count = (len(program) - 1) // 8
        argument = struct.pack("@HP", count, ctypes.addressof(program))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, argument)

    def _map(self, ring_bytes: int) -> tuple[int, mmap.mmap]:
        self._socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
        blocks = max(4, ring_bytes // _BLOCK_BYTES)
        while True:
            frames = blocks * _BLOCK_BYTES // _FRAME_BYTES
            request = struct.pack("=7I", _BLOCK_BYTES, blocks, _FRAME_BYTES, frames, _RETIRE_MS, 0, 0)
            try:
                self._socket.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
                return blocks, mmap.mmap(self._socket.fileno(), blocks * _BLOCK_BYTES)
            except OSError as error:
                if error.errno != errno.ENOMEM or blocks <= 4:
                    reason = f"no capture ring: {error.strerror}; relay:LISTEN:TARGET needs none"
                    raise FeedError(reason) from None
                blocks //= 2

    def _bind(self, interface: str) -> None:
        if interface == "lo":
            # Loopback shows each packet on its way out and on its way in; older kernels lack the option, and
            # `read` leaves the copies out then.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        if interface != ANY_INTERFACE:
            self._socket.bind((interface, _ETH_P_ALL))


def _open_socket(interface: str) -> socket.socket:
    try:
        # Protocol 0 receives nothing before `bind`; there is no binding to all interfaces at once.
        protocol = socket.htons(_ETH_P_ALL) if interface == ANY_INTERFACE else 0
        return socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, protocol)
    except PermissionError:
        raise FeedError(
            f"no permission to sniff on {interface}: it takes the capability NET_RAW. In compose give the "
            "service `cap_add: [NET_RAW]` and, where it does not run as root, make the capability ambient "
            "(setpriv --inh-caps +net_raw --ambient-caps +net_raw); on a host run it as root. Or use "
            "relay:LISTEN:TARGET, which needs no privilege"
        ) from None


def _check_interface(interface: str) -> None:
    known = [name for _, name in socket.if_nameindex()]
    if interface not in known:
        listing = ", ".join([*known, ANY_INTERFACE])
        raise FeedError(f"there is no network interface {interface!r} to sniff on; there are {listing}")


@dataclass(frozen=True)
class _Step:
    """One instruction; jumps name a label, None means the next instruction."""

    code: int
    value: int
    if_true: str | None = None
    if_false: str | None = None
    label: str | None = None


def tcp_port_filter(port: int) -> bytes:
    """A classic BPF program (an array of `struct sock_filter`) that passes on TCP packets of one port only.

    For sockets that get packets from the network header on (SOCK_DGRAM). Fragments, and IPv6 packets with
    extension headers, pass unchecked: the tap looks at them itself.

    >>> len(tcp_port_filter(50051)) % 8
    0
    """
    return _assemble(
        [
            _Step(_LOAD_BYTE, 0),
            _Step(_SHIFT_RIGHT, 4),
            _Step(_JUMP_EQUAL, 6, "ipv6"),
            _Step(_JUMP_EQUAL, 4, None, "drop"),
            _Step(_LOAD_BYTE, 9),
            _Step(_JUMP_EQUAL, _TCP, None, "drop"),
            _Step(_LOAD_HALF, 6),
            _Step(_JUMP_ANY_BIT, _FRAGMENT_BITS, "keep"),
            _Step(_X_FROM_IP_HEADER_LENGTH, 0),
            _Step(_LOAD_HALF_AT_X, 0),
            _Step(_JUMP_EQUAL, port, "keep"),
            _Step(_LOAD_HALF_AT_X, 2),
            _Step(_JUMP_EQUAL, port, "keep", "drop"),
            _Step(_LOAD_BYTE, 6, label="ipv6"),
            *(_Step(_JUMP_EQUAL, number, "keep") for number in _IPV6_EXTENSIONS),
            _Step(_JUMP_EQUAL, _TCP, None, "drop"),
            _Step(_LOAD_HALF, 40),
            _Step(_JUMP_EQUAL, port, "keep"),
            _Step(_LOAD_HALF, 42),
            _Step(_JUMP_EQUAL, port, "keep", "drop"),
            _Step(_RETURN, 0, label="drop"),
            _Step(_RETURN, _WHOLE_PACKET, label="keep"),
        ]
    )


def _assemble(steps: list[_Step]) -> bytes:
    places = {step.label: at for at, step in enumerate(steps) if step.label}

    def distance(at: int, label: str | None) -> int:
        return places[label] - at - 1 if label else 0

    return b"".join(
        struct.pack("=HBBI", s.code, distance(at, s.if_true), distance(at, s.if_false), s.value)
        for at, s in enumerate(steps)
    )
