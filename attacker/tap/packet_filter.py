"""A classic BPF program that lets the kernel pass on TCP packets of one port only.

For sockets that get packets from the network header on (SOCK_DGRAM). Fragments, and IPv6 packets with
extension headers, pass unchecked: the tap looks at them itself.
"""

import struct
from dataclasses import dataclass

_LOAD_BYTE, _LOAD_HALF, _LOAD_HALF_AT_X, _X_FROM_IP_HEADER_LENGTH = 0x30, 0x28, 0x48, 0xB1
_SHIFT_RIGHT, _JUMP_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x74, 0x15, 0x45, 0x06
_TCP = 6
_FRAGMENT_BITS = 0x3FFF
_IPV6_EXTENSIONS = (0, 43, 60)
_WHOLE_PACKET = 0x7FFFFFFF


@dataclass(frozen=True)
class _Step:
    """One instruction; jumps name a label, None means the next instruction."""

    code: int
    value: int
    if_true: str | None = None
    if_false: str | None = None
    label: str | None = None


def tcp_port_filter(port: int) -> bytes:
    """The program as an array of `struct sock_filter`.

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
