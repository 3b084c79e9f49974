"""Levels coded in the phases of a lattice, each symbol under a table that its channel and context choose.

A feature that was trained for its rate is mostly zeros, and where it is not, neighbours know of one
another: a table per channel costs a fifth more than tables chosen by context. A channel that is all zeros
is told by one symbol. Tables are few, so that symbols of one table go through the entropy coder together.

A payload never exceeds its ceiling. What would is sent coarser: with steps twice as large, then four times
and so on, until it fits; the last resort is nothing but zeros, which always fits. How coarse is the first
symbol.

The checksum is no appendix: an entropy coder that begins with nothing loses some three bytes, one that begins
with the checksum loses none. It is therefore taken over the levels, and what is left in the coder when
all levels are read must be it.
"""

from binascii import crc32
from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.manifest import FeatureSpec
from siftfunnel.shared.wire.context_tables import ContextTables
from siftfunnel.shared.wire.entropy import WORD_BYTES, make_tables
from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.levels import Levels
from siftfunnel.shared.wire.seal import CHECKSUM_DIFFERS, SEAL_BYTES, Seal
from siftfunnel.shared.wire.signed import DIGIT_VALUES
from siftfunnel.shared.wire.stack import Runs

Checksum = Callable[[bytes], int]
"""32 bits over some bytes."""

_FITS_ALWAYS: Checksum = lambda _: (1 << 32) - 1  # noqa: E731 - the longest checksum there is


class ContextBody:
    """See `siftfunnel.shared.wire.bodies.Body`; the checksum is inside.

    ``more`` are rows of further tables that ``levels`` asks for, behind those of how coarse and of digits.
    """

    def __init__(
        self,
        feature: FeatureSpec,
        levels: Levels,
        most_level: int,
        tables: ContextTables,
        more: Iterable[NDArray[np.uint16]] = (),
    ) -> None:
        self._shape = (feature.channels, feature.height * feature.width)
        self._levels = levels
        self._head_runs = [(len(tables.counts), 0, 1), *_runs(tables.flags[tables.sent], start=1)]
        # the largest level, halved that often, rounds to 0
        self._coarsest = (2 * most_level).bit_length()
        self._coder = make_tables([*_with_modes_and_digits(tables.counts, self._coarsest), *more])
        # the checksum and the one above it
        self.least_bytes = SEAL_BYTES + 1
        self.most_bytes = tables.most_bytes
        needed = len(self._write(np.zeros(self._shape, np.float32), self._coarsest, _FITS_ALWAYS))
        if needed > tables.most_bytes:
            raise ValueError(f"most_bytes is {tables.most_bytes}, but a feature of zeros takes {needed}")

    def write(self, features: NDArray[np.float32], seal: Seal) -> bytes:
        """See `Body`; coarser where the ceiling asks."""
        return self._within_ceiling(features, seal.checksum)

    def read(self, payload: bytes, seal: Seal) -> NDArray[np.float32]:
        """See `Body`."""
        return self._read(payload, seal.checksum)

    def mean_bytes(self, features: NDArray[np.float32]) -> float:
        """The mean payload of some features, (N, channels, height * width), whatever bundle sends them."""
        return float(np.mean([len(self._within_ceiling(feature, crc32)) for feature in features]))

    def _read(self, body: bytes, checksum: Checksum) -> NDArray[np.float32]:
        if body.endswith(b"\0"):
            raise CodecError("body is not one that this coder writes (it ends in a byte of zero)")
        reader = self._coder.read(body + b"\0" * (-len(body) % WORD_BYTES))
        ((coarser,), *flagged) = reader.pop(self._head_runs)
        if coarser > self._coarsest:
            raise CodecError(f"body says {coarser} times coarser; {self._coarsest} is the most")
        flags = np.concatenate(flagged)
        if flags.max() > 1:
            raise CodecError("body says neither that a channel is sent nor that it is not")
        told, features = self._levels.fill(flags.astype(np.uint8).tobytes(), int(coarser), reader.pop)
        if reader.finish(seeded=True) != checksum(told):
            raise CodecError(CHECKSUM_DIFFERS)
        return features

    def _within_ceiling(self, features: NDArray[np.float32], checksum: Checksum) -> bytes:
        for coarser in range(self._coarsest + 1):
            body = self._write(features, coarser, checksum)
            if len(body) <= self.most_bytes:
                return body
        raise AssertionError("zeros fit: the constructor saw to it")

    def _write(self, features: NDArray[np.float32], coarser: int, checksum: Checksum) -> bytes:
        told, symbols, runs = self._levels.sort(features, coarser)
        body = self._coder.write(symbols, self._head_runs + runs, checksum(told))
        # the last word's high bytes are zero as often as not
        return body.rstrip(b"\0")


def _runs(flags: NDArray[np.uint8], start: int) -> Runs:
    """Stretches of equal values: value, start, end; counted from ``start``."""
    edges = [0, *(np.flatnonzero(np.diff(flags)) + 1).tolist(), len(flags)]
    return [(int(flags[low]), start + low, start + high) for low, high in pairwise(edges)]


def _with_modes_and_digits(counts: NDArray[np.uint16], coarsest: int) -> NDArray[np.uint16]:
    """The tables, one for how coarse (not at all, nearly always) and one for digits, all alike."""
    total = int(counts[0].sum(dtype=np.int64))
    modes, digits = np.zeros((2, counts.shape[1]), np.uint16)
    modes[: coarsest + 1] = 1
    modes[0] = total - coarsest
    if len(digits) < DIGIT_VALUES:
        return np.vstack((counts, modes))
    digits[:DIGIT_VALUES] = total // DIGIT_VALUES
    return np.vstack((counts, modes, digits))
