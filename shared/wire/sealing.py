"""How a body becomes a payload: sealed at its end, by itself, or part by part.

payload of a body          body || checksum
of "lattice" and "signed"  the body, which has the checksum inside
of "packed"                for each tensor: length (4 bytes, little endian) || payload, sealed with its place
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.wire.bodies import AnyBody, Body, PackedBody
from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.lattice_body import LatticeBody
from siftfunnel.shared.wire.seal import SEAL_BYTES, Seal

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Sealing:
    """Rows of features, (channels, height * width), to payloads and back.

    Attributes:
        least_bytes: no payload is shorter.
        most_bytes: none is longer.
        expected_bytes: the mean length on features like those the body was calibrated on.
        write: encodes finite float32 values.
        read: decodes; CodecError where it is no payload of `write`. The caller has checked the length.
    """

    least_bytes: int
    most_bytes: int
    expected_bytes: float
    write: Callable[[NDArray[np.float32]], bytes]
    read: Callable[[bytes], NDArray[np.float32]]


def sealing(body: AnyBody, seal: Seal) -> Sealing:
    """How payloads of a body are written and read."""
    if isinstance(body, PackedBody):
        return _packed(body, seal)
    if isinstance(body, LatticeBody):
        inside = seal.checksum
        return Sealing(
            body.least_bytes,
            body.most_bytes,
            body.expected_bytes,
            lambda rows: body.write(rows, inside),
            lambda data: body.read(data, inside),
        )
    return _sealed_at_its_end(body, seal)


def _sealed_at_its_end(body: Body, seal: Seal) -> Sealing:
    return Sealing(
        body.least_bytes + SEAL_BYTES,
        body.most_bytes + SEAL_BYTES,
        body.expected_bytes + SEAL_BYTES,
        lambda rows: seal.close(body.write(rows)),
        lambda data: body.read(seal.open(data)),
    )


def _packed(body: PackedBody, seal: Seal) -> Sealing:
    parts = [sealing(part, seal.at(place)) for place, (_, part) in enumerate(body.parts)]
    lengths = _LENGTH.size * len(parts)
    return Sealing(
        lengths + sum(part.least_bytes for part in parts),
        lengths + sum(part.most_bytes for part in parts),
        lengths + sum(part.expected_bytes for part in parts),
        partial(_write_parts, body, parts),
        partial(_read_parts, parts),
    )


def _write_parts(body: PackedBody, parts: list[Sealing], rows: NDArray[np.float32]) -> bytes:
    values, start, written = rows.ravel(), 0, []
    for (feature, _), part in zip(body.parts, parts, strict=True):
        payload = part.write(values[start : start + feature.size].reshape(feature.channels, -1))
        written += [_LENGTH.pack(len(payload)), payload]
        start += feature.size
    return b"".join(written)


def _read_parts(parts: list[Sealing], data: bytes) -> NDArray[np.float32]:
    start, values = 0, []
    for place, part in enumerate(parts):
        if len(data) - start < _LENGTH.size:
            raise CodecError(f"part {place}: its length is missing: truncated")
        (length,) = _LENGTH.unpack_from(data, start)
        start += _LENGTH.size
        if not part.least_bytes <= length <= min(part.most_bytes, len(data) - start):
            raise CodecError(
                f"part {place}: says {length} bytes, expected {part.least_bytes} to {part.most_bytes} "
                f"and {len(data) - start} are left"
            )
        try:
            values.append(part.read(data[start : start + length]).ravel())
        except CodecError as error:
            raise CodecError(f"part {place}: {error}") from None
        start += length
    if start != len(data):
        raise CodecError(f"{len(data) - start} bytes are left after the last part")
    return np.concatenate(values)[:, None]
