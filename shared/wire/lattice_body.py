"""Levels coded in the phases of a lattice, each symbol under a table that its channel and context choose.

A feature that was trained for its rate is mostly zeros, and where it is not, neighbours know of one another:
a table per channel costs a fifth more than tables chosen by context. Tables are few, so that symbols of
one table go through the entropy coder together.

A body never exceeds its ceiling. What would is sent coarser: with steps twice as large, then four
times and so on, until it fits; the last resort is nothing but zeros, which always fits. How coarse is
the first symbol.

The checksum is no appendix: an entropy coder that begins with nothing loses some three bytes, one that begins
with the checksum loses none. It is therefore taken over the levels, and what is left in the coder when
all levels are read must be it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from shared.manifest import FeatureSpec
from shared.wire.entropy import WORD_BYTES, Writer, make_tables
from shared.wire.errors import CodecError
from shared.wire.lattice import PHASES, classes_of_sums, context_sums, phase_positions
from shared.wire.quantiser import Quantiser
from shared.wire.seal import CHECKSUM_DIFFERS, SEAL_BYTES

SILENT = 255
LEAST_LEVELS = 4
"""How coarse is coded under as many levels as everything else: fewer could not say it."""
MAX_TABLES = 84
"""Three phases' tables are told apart by one byte."""


@dataclass(frozen=True, eq=False)
class LatticeTables:
    """What a lattice codec's manifest entry says.

    Attributes:
        choices: uint8, (channels, phases, classes): the table of each symbol; 255 throughout a channel
            that is never sent and always 0.
        counts: uint16, (tables, levels), checked by `shared.wire.tables`.
        most_bytes: the ceiling of a payload.
        mean_bytes: the mean payload on the features that the tables were counted on.

    Raises:
        ValueError: shapes that do not fit, a table that there is none of, a ceiling that zeros do not fit.
    """

    choices: NDArray[np.uint8]
    counts: NDArray[np.uint16]
    most_bytes: int
    mean_bytes: float

    def __post_init__(self) -> None:
        if not 1 <= len(self.counts) <= MAX_TABLES:
            raise ValueError(f"a lattice codec has 1 to {MAX_TABLES} tables, not {len(self.counts)}")
        silent = (self.choices == SILENT).all(axis=(1, 2))
        if silent.all():
            raise ValueError("choices leave every channel silent")
        sent = self.choices[~silent]
        if sent.max() >= len(self.counts):
            raise ValueError(f"choices name table {sent.max()}; there are {len(self.counts)}")


Checksum = Callable[[bytes], int]
"""32 bits over bundle, codec and some bytes: `shared.wire.seal.Seal.checksum`."""


class LatticeBody:
    """A whole payload, checksum included; otherwise as `shared.wire.bodies.Body`."""

    def __init__(self, feature: FeatureSpec, quantiser: Quantiser, tables: LatticeTables) -> None:
        if quantiser.zero_levels.any() or quantiser.levels < LEAST_LEVELS:
            raise ValueError(f"a lattice codec's levels begin at zero and are {LEAST_LEVELS} or more")
        self._feature = feature
        self.quantiser = quantiser
        self._sent = np.flatnonzero((tables.choices != SILENT).any(axis=(1, 2)))
        self._choices = tables.choices[self._sent]
        self._steps = quantiser.steps[self._sent, None, None]
        self._count = len(tables.counts)
        # the largest level, halved that often, rounds to 0
        self._coarsest = (2 * (quantiser.levels - 1)).bit_length()
        self._mode_table = self._count
        self._coder = make_tables(_with_modes(tables.counts, self._coarsest))
        self._positions = phase_positions(len(self._sent), feature.height, feature.width)
        # the checksum and the one above it
        self.least_bytes = SEAL_BYTES + 1
        self.most_bytes = tables.most_bytes
        self.expected_bytes = tables.mean_bytes
        self.precision = (
            f"{quantiser.levels} levels, one step per channel, {self._count} tables by context, ANS; "
            f"{len(self._sent)} of {feature.channels} channels are sent"
        )
        zeros = np.zeros(feature.shape, np.float32)
        needed = len(self._write(zeros, self._coarsest, lambda _: (1 << 32) - 1))
        if needed > tables.most_bytes:
            raise ValueError(f"most_bytes is {tables.most_bytes}, but a feature of zeros takes {needed}")

    @cached_property
    def _table_of_sum(self) -> tuple[NDArray[np.uint8], ...]:
        """For phases 1 and 2: the key of each channel and sum, laid flat; a key is phase, then table."""
        classes = classes_of_sums(self.quantiser.levels)
        return tuple(
            (self._choices[:, phase, :][:, classes] + np.uint8(phase * self._count)).ravel()
            for phase in range(PHASES)
        )

    @cached_property
    def _channel_offsets(self) -> NDArray[np.int32]:
        sums = 4 * (self.quantiser.levels - 1) + 1
        return (np.arange(len(self._sent), dtype=np.int32) * sums)[:, None, None]

    @cached_property
    def _first_keys(self) -> NDArray[np.uint8]:
        per_channel = len(self._positions[0]) // len(self._sent)
        return np.repeat(self._choices[:, 0, 0], per_channel)

    @cached_property
    def _first_order(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return self._ordered(self._first_keys, 0)

    def _keys(self, padded: NDArray[np.int32], phase: int) -> NDArray[np.uint8]:
        if phase == 0:
            return self._first_keys
        table_of_sum, offsets = self._table_of_sum[phase], self._channel_offsets
        found = [table_of_sum.take(sums + offsets).ravel() for sums in context_sums(padded, phase)]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _ordered(self, keys: NDArray[np.uint8], phase: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Positions sorted by table, and how many each table has."""
        order = np.argsort(keys, kind="stable")
        counts = np.bincount(keys, minlength=(phase + 1) * self._count)[phase * self._count :]
        return self._positions[phase].take(order), counts

    def write(self, features: NDArray[np.float32], checksum: Checksum) -> bytes:
        """Encode finite float32 values, shape (channels, height * width), coarser where the ceiling asks."""
        planes = features.reshape(self._feature.shape)
        for coarser in range(self._coarsest + 1):
            body = self._write(planes, coarser, checksum)
            if len(body) <= self.most_bytes:
                return body
        raise AssertionError("zeros fit: the constructor saw to it")

    def _write(self, planes: NDArray[np.float32], coarser: int, checksum: Checksum) -> bytes:
        padded = np.zeros((len(self._sent), self._feature.height + 2, self._feature.width + 2), np.int32)
        padded[:, 1:-1, 1:-1] = self._quantise(planes, coarser)
        flat = padded.ravel()
        keys = np.concatenate([self._keys(padded, phase) for phase in range(PHASES)])
        symbols = flat.take(self._all_positions.take(np.argsort(keys, kind="stable")))
        counts = np.bincount(keys, minlength=PHASES * self._count)
        writer = self._coder.write(checksum(_bytes_of(padded, coarser)))
        self._push_all(writer, symbols, counts)
        writer.push(np.array([coarser], np.int32), self._mode_table)
        # the last word's high bytes are zero as often as not
        return writer.finish().rstrip(b"\0")

    @cached_property
    def _all_positions(self) -> NDArray[np.intp]:
        return np.concatenate(self._positions)

    def _push_all(self, writer: Writer, symbols: NDArray[np.int32], counts: NDArray[np.intp]) -> None:
        end = len(symbols)
        for key in np.flatnonzero(counts)[::-1].tolist():
            start = end - int(counts[key])
            writer.push(symbols[start:end], key % self._count)
            end = start

    def _quantise(self, planes: NDArray[np.float32], coarser: int) -> NDArray[np.float32]:
        """Levels of the channels that are sent, as whole floats."""
        most = np.float32(self.quantiser.levels - 1)
        scaled = planes[self._sent] if len(self._sent) < len(planes) else planes
        # clipped before the division, which could overflow
        levels = np.clip(scaled, np.float32(0), most * self._steps)
        levels /= self._steps if coarser == 0 else np.ldexp(self._steps, coarser)
        return np.rint(levels, out=levels)

    def read(self, body: bytes, checksum: Checksum) -> NDArray[np.float32]:
        """Decode, same shape; the caller has checked the length.

        Raises:
            CodecError: not a payload that `write` makes with this checksum.
        """
        if body.endswith(b"\0"):
            raise CodecError("body is not one that this coder writes (it ends in a byte of zero)")
        reader = self._coder.read(body + b"\0" * (-len(body) % WORD_BYTES))
        coarser = int(reader.pop(self._mode_table, 1)[0])
        if coarser > self._coarsest:
            raise CodecError(f"body says {coarser} times coarser; {self._coarsest} is the most")
        feature = self._feature
        padded = np.zeros((len(self._sent), feature.height + 2, feature.width + 2), np.int32)
        flat = padded.ravel()
        for phase in range(PHASES):
            order = self._first_order if phase == 0 else self._ordered(self._keys(padded, phase), phase)
            positions, counts = order
            start = 0
            for table in np.flatnonzero(counts).tolist():
                end = start + int(counts[table])
                flat[positions[start:end]] = reader.pop(table, end - start)
                start = end
        if reader.finish(seeded=True) != checksum(_bytes_of(padded, coarser)):
            raise CodecError(CHECKSUM_DIFFERS)
        return self._dequantise(padded[:, 1:-1, 1:-1], coarser)

    def _dequantise(self, levels: NDArray[np.int32], coarser: int) -> NDArray[np.float32]:
        steps = self._steps if coarser == 0 else np.ldexp(self._steps, coarser)
        features = np.zeros(self._feature.shape, np.float32)
        features[self._sent] = levels.astype(np.float32) * steps
        return features.reshape(self._feature.channels, -1)


def _bytes_of(padded: NDArray[np.int32], coarser: int) -> bytes:
    """What the checksum is taken over: how coarse, then the levels with their border, a byte each."""
    return bytes([coarser]) + padded.astype(np.uint8).tobytes()


def _with_modes(counts: NDArray[np.uint16], coarsest: int) -> NDArray[np.uint16]:
    """The tables and one more for how coarse: not at all, nearly always."""
    total = int(counts[0].sum(dtype=np.int64))
    levels = counts.shape[1]
    modes = np.zeros(levels, np.uint16)
    modes[: coarsest + 1] = 1
    modes[0] = total - coarsest
    return np.vstack((counts, modes))
