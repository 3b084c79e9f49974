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

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.manifest import FeatureSpec
from shared.wire.entropy import WORD_BYTES, make_tables
from shared.wire.errors import CodecError
from shared.wire.lattice import (
    MOST_LEVELS,
    PHASES,
    CodingOrder,
    Contexts,
    Grid,
    coding_order,
)
from shared.wire.quantiser import Quantiser
from shared.wire.seal import CHECKSUM_DIFFERS, SEAL_BYTES
from shared.wire.stack import Reader, Writer

SILENT = 255
LEAST_LEVELS = 4
"""How coarse is coded under as many levels as everything else: fewer could not say it."""
PLANS_KEPT = 64
GRIDS_KEPT = 4
MAX_TABLES = 84
"""Three phases' tables are told apart by one byte."""

Checksum = Callable[[bytes], int]
"""32 bits over bundle, codec and some bytes: `shared.wire.seal.Seal.checksum`."""

_FITS_ALWAYS: Checksum = lambda _: (1 << 32) - 1  # noqa: E731 - the longest checksum there is
_Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class LatticeTables:
    """What a lattice codec's manifest entry says.

    Attributes:
        flags: uint8, (channels,): the table of the symbol that says whether a channel is sent, 0 or 1; 255
            for a channel that never is.
        contexts: what a level's table is chosen by.
        choices: uint8, (channels, phases, places, classes): the table of each level of a channel that is.
        counts: uint16, (tables, levels), checked by `shared.wire.tables`.
        most_bytes: the ceiling of a payload.
        mean_bytes: the mean payload on the features that the tables were counted on.

    Raises:
        ValueError: a table that there is none of, no channel that is sent.
    """

    flags: _Bytes
    contexts: Contexts
    choices: _Bytes
    counts: NDArray[np.uint16]
    most_bytes: int
    mean_bytes: float

    def __post_init__(self) -> None:
        if not 1 <= len(self.counts) <= MAX_TABLES:
            raise ValueError(f"a lattice codec has 1 to {MAX_TABLES} tables, not {len(self.counts)}")
        sent = self.flags != SILENT
        if not sent.any():
            raise ValueError("flags leave every channel silent")
        for name, tables in (("flags", self.flags[sent]), ("choices", self.choices[sent])):
            if tables.max() >= len(self.counts):
                raise ValueError(f"{name} name table {tables.max()}; there are {len(self.counts)}")


class _Plan(NamedTuple):
    """What is the same for all features that have levels in the same channels.

    Attributes:
        active: these channels, of those that are ever sent.
        sent: the same, of all.
        steps: float32, (active, 1, 1), their steps.
        order: in which their levels are coded.
        positions: the part of it that each phase codes.
        bases: where in `LatticeBody._key_of_sum` the keys of each level begin, in that order, by phase.
        first: the first phase, whose tables no level decides: levels of each table, their positions.
        first_keys: the same phase's keys.
        grids: spare ones: making one takes longer than writing over it.
    """

    active: NDArray[np.intp]
    sent: NDArray[np.intp]
    steps: NDArray[np.float32]
    order: CodingOrder
    positions: list[NDArray[np.intp]]
    bases: list[NDArray[np.intp]]
    first: tuple[list[int], NDArray[np.intp]]
    first_keys: _Bytes
    grids: deque[Grid]


class LatticeBody:
    """A whole payload, checksum included; otherwise as `shared.wire.bodies.Body`."""

    def __init__(self, feature: FeatureSpec, quantiser: Quantiser, tables: LatticeTables) -> None:
        if quantiser.zero_levels.any() or not LEAST_LEVELS <= quantiser.levels <= MOST_LEVELS:
            raise ValueError(
                f"a lattice codec's levels begin at zero and are {LEAST_LEVELS} to {MOST_LEVELS} in number"
            )
        self._feature = feature
        self.quantiser = quantiser
        self._shape = (feature.channels, feature.height * feature.width)
        sent = np.flatnonzero(tables.flags != SILENT)
        # channels in the order of their flags, so that flags of one table lie together
        self._sent = sent[np.argsort(tables.flags[sent], kind="stable")]
        self._flag_runs = _runs(tables.flags[self._sent])
        self._contexts = tables.contexts
        self._choices = tables.choices[self._sent]
        # as large as the levels themselves: numpy takes twice as long to stretch one
        self._steps = np.repeat(quantiser.steps[self._sent, None], self._shape[1], axis=1)
        self._highest = np.float32(quantiser.levels - 1) * self._steps
        self._lowest = np.zeros_like(self._steps)
        self._count = self._mode_table = len(tables.counts)
        # features with levels in the same channels come again and again
        self._plan = lru_cache(maxsize=PLANS_KEPT)(self._make_plan)
        # the largest level, halved that often, rounds to 0
        self._coarsest = (2 * (quantiser.levels - 1)).bit_length()
        self._coder = make_tables(_with_modes(tables.counts, self._coarsest))
        # the checksum and the one above it
        self.least_bytes = SEAL_BYTES + 1
        self.most_bytes = tables.most_bytes
        self.expected_bytes = tables.mean_bytes
        self.precision = (
            f"{quantiser.levels} levels, one step per channel, {self._count} tables by context, ANS; "
            f"{len(self._sent)} of {feature.channels} channels are ever sent"
        )
        needed = len(self._write(np.zeros(self._shape, np.float32), self._coarsest, _FITS_ALWAYS))
        if needed > tables.most_bytes:
            raise ValueError(f"most_bytes is {tables.most_bytes}, but a feature of zeros takes {needed}")

    def write(self, features: NDArray[np.float32], checksum: Checksum) -> bytes:
        """Encode finite float32 values, shape (channels, height * width), coarser where the ceiling asks."""
        for coarser in range(self._coarsest + 1):
            body = self._write(features, coarser, checksum)
            if len(body) <= self.most_bytes:
                return body
        raise AssertionError("zeros fit: the constructor saw to it")

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
        told = _joined([reader.pop(table, end - start) for table, start, end in self._flag_runs]).tobytes()
        if max(told) > 1:
            raise CodecError("body says neither that a channel is sent nor that it is not")
        plan = self._plan(told)
        grid = self._grid(plan)
        if len(plan.active):
            self._read_levels(reader, plan, grid)
        told = bytes([coarser]) + told + grid.flat.take(plan.order.positions).tobytes()
        if reader.finish(seeded=True) != checksum(told):
            raise CodecError(CHECKSUM_DIFFERS)
        features = self._dequantise(plan, grid, coarser)
        plan.grids.append(grid)
        return features

    def _write(self, features: NDArray[np.float32], coarser: int, checksum: Checksum) -> bytes:
        levels = self._quantise(features, coarser)
        flags: NDArray[np.bool_] = np.asarray(levels.any(axis=1))
        told = flags.tobytes()
        plan = self._plan(told)
        grid = self._grid(plan)
        grid.levels[:] = levels.take(plan.active, axis=0).reshape(grid.levels.shape)
        symbols = grid.flat.take(plan.order.positions)
        writer = self._coder.write(checksum(bytes([coarser]) + told + symbols.tobytes()))
        if len(plan.active):
            self._push_levels(writer, plan, grid, symbols)
        plan.grids.append(grid)
        as_levels: NDArray[np.int32] = flags.astype(np.int32)
        # a stack gives back last what was pushed first
        for table, start, end in reversed(self._flag_runs):
            writer.push(as_levels[start:end], table)
        writer.push(np.array([coarser], np.int32), self._mode_table)
        # the last word's high bytes are zero as often as not
        return writer.finish().rstrip(b"\0")

    def _make_plan(self, flags: bytes) -> _Plan:
        active = np.flatnonzero(np.frombuffer(flags, np.uint8))
        height, width = self._feature.height, self._feature.width
        order = coding_order(len(active), height, width, self._contexts.places)
        rows = self._rows[:, active].reshape(PHASES, -1)
        bases = [rows[phase].take(order.groups[its]) for phase, its in enumerate(order.phases)]
        positions = [order.positions[its] for its in order.phases]
        keys = self._key_of_sum.take(bases[0])
        return _Plan(
            active=active,
            sent=self._sent[active],
            steps=self._steps[active, :1, None],
            order=order,
            positions=positions,
            bases=bases,
            first=self._by_table(0, keys, positions[0]),
            first_keys=keys,
            grids=deque(maxlen=GRIDS_KEPT),
        )

    def _grid(self, plan: _Plan) -> Grid:
        """One to write over; what is left in it is read only where it has been written over."""
        try:
            return plan.grids.pop()
        except IndexError:
            return Grid(len(plan.active), self._feature.height, self._feature.width)

    def _keys(self, phase: int, plan: _Plan, grid: Grid) -> _Bytes:
        """The keys of a phase's levels, the second's or the third's."""
        return self._key_of_sum.take(plan.bases[phase] + grid.sums(phase).take(plan.positions[phase]))

    def _push_levels(self, writer: Writer, plan: _Plan, grid: Grid, symbols: _Bytes) -> None:
        keys = np.concatenate((plan.first_keys, self._keys(1, plan, grid), self._keys(2, plan, grid)))
        in_order = symbols.take(keys.argsort(kind="stable")).astype(np.int32)
        end = len(symbols)
        counts = np.bincount(keys).tolist()
        for key in range(len(counts) - 1, -1, -1):
            if counts[key]:
                start = end - counts[key]
                writer.push(in_order[start:end], key % self._count)
                end = start

    def _read_levels(self, reader: Reader, plan: _Plan, grid: Grid) -> None:
        for phase, positions in enumerate(plan.positions):
            counts, cells = plan.first
            if phase:
                counts, cells = self._by_table(phase, self._keys(phase, plan, grid), positions)
            if len(cells):
                popped = [reader.pop(table, count) for table, count in enumerate(counts) if count]
                grid.flat[cells] = _joined(popped)

    def _by_table(
        self, phase: int, keys: _Bytes, positions: NDArray[np.intp]
    ) -> tuple[list[int], NDArray[np.intp]]:
        """How many of a phase's levels each table codes, and the positions in that order."""
        counts: list[int] = np.bincount(keys)[phase * self._count :].tolist()
        return counts, positions.take(keys.argsort(kind="stable"))

    @cached_property
    def _key_of_sum(self) -> _Bytes:
        """For each phase, channel, place and sum its phase and table, told by one byte; laid flat."""
        by_phase = self._choices.swapaxes(0, 1)[..., self._contexts.of_sums(self.quantiser.levels)]
        # in the first phase no sum is known: all are 0
        return (by_phase + (np.arange(PHASES, dtype=np.uint8) * self._count)[:, None, None, None]).ravel()

    @cached_property
    def _rows(self) -> NDArray[np.intp]:
        """Where in `_key_of_sum` the keys of each phase, channel and place begin."""
        sums = 4 * (self.quantiser.levels - 1) + 1
        shape = (PHASES, len(self._sent), self._contexts.places)
        return np.arange(np.prod(shape)).reshape(shape) * sums

    def _quantise(self, features: NDArray[np.float32], coarser: int) -> _Bytes:
        # clipped before the division, which could overflow
        levels = np.minimum(features.take(self._sent, axis=0), self._highest)
        np.maximum(levels, self._lowest, out=levels)
        levels /= self._steps if coarser == 0 else np.ldexp(self._steps, coarser)
        rounded: _Bytes = np.rint(levels, out=levels).astype(np.uint8)
        return rounded

    def _dequantise(self, plan: _Plan, grid: Grid, coarser: int) -> NDArray[np.float32]:
        features = np.zeros(self._shape, np.float32)
        steps = plan.steps if coarser == 0 else np.ldexp(plan.steps, coarser)
        features[plan.sent] = (grid.levels * steps).reshape(len(plan.sent), self._shape[1])
        return features


def _joined(parts: list[NDArray[np.int32]]) -> _Bytes:
    """Levels and flags fit a byte, and numpy places bytes faster."""
    return (parts[0] if len(parts) == 1 else np.concatenate(parts)).astype(np.uint8)


def _runs(flags: _Bytes) -> list[tuple[int, int, int]]:
    """Stretches of equal values: value, start, end."""
    edges = [0, *(np.flatnonzero(np.diff(flags)) + 1).tolist(), len(flags)]
    return [(int(flags[start]), start, end) for start, end in pairwise(edges)]


def _with_modes(counts: NDArray[np.uint16], coarsest: int) -> NDArray[np.uint16]:
    """The tables and one more for how coarse: not at all, nearly always."""
    total = int(counts[0].sum(dtype=np.int64))
    modes = np.zeros(counts.shape[1], np.uint16)
    modes[: coarsest + 1] = 1
    modes[0] = total - coarsest
    return np.vstack((counts, modes))
