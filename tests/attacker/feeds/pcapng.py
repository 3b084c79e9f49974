"""Blocks of pcapng files; `order` is "<" or ">"."""

import struct


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, link_type: int, *options: tuple[int, bytes]) -> bytes:
    told = b"".join(
        struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)
        for code, value in options
    )
    return block(order, 1, struct.pack(f"{order}HHI", link_type, 0, 0) + told)


def enhanced(order: str, number: int, ticks: int, data: bytes, wire_bytes: int | None = None) -> bytes:
    sizes = (len(data), len(data) if wire_bytes is None else wire_bytes)
    return block(
        order, 6, struct.pack(f"{order}IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, *sizes) + data
    )
