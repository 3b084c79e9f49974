"""A lattice codec's levels: quantised and sorted for the entropy coder, and put back where they came from.

Two implementations make the same of the same: NumPy's, and compiled code where there was a compiler when the
project was installed (``native.c``), which takes a fraction of the time.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.wire.compiled import native
from siftfunnel.shared.wire.lattice import PHASES, CodingOrder, Contexts, Grid, coding_order
from siftfunnel.shared.wire.stack import Runs

PLANS_KEPT = 64
GRIDS_KEPT = 4

_Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Layout:
    """What sorting and filling need to know of a codec.

    Attributes:
        channels: of the feature.
        height: of the feature.
        width: of the feature.
        levels: of the quantiser.
        sent: intp, the channels that are ever sent, in the order of their flags.
        steps: float32, their steps.
        contexts: what a level's table is chosen by.
        choices: uint8, (sent, phases, places, classes): the table of each level.
        tables: how many there are.
    """

    channels: int
    height: int
    width: int
    levels: int
    sent: NDArray[np.intp]
    steps: NDArray[np.float32]
    contexts: Contexts
    choices: _Bytes
    tables: int

    def keys(self) -> _Bytes:
        """For each phase, channel, place and sum its phase and table, told by one byte; laid flat."""
        by_phase = self.choices.swapaxes(0, 1)[..., self.contexts.of_sums(self.levels)]
        # in the first phase no sum is known: all are 0
        return (by_phase + (np.arange(PHASES, dtype=np.uint8) * self.tables)[:, None, None, None]).ravel()


class Sorted(NamedTuple):
    """A feature's symbols.

    Attributes:
        told: what the checksum is taken over: how coarse, flags, levels in coding order.
        symbols: int32, in the order in which they are popped: how coarse, flags, levels by phase and table.
        runs: stretches of the levels among them.
    """

    told: bytes
    symbols: NDArray[np.int32]
    runs: Runs


class Filling(Protocol):
    """A feature on its way back."""

    @property
    def runs(self) -> Runs | None:
        """What the next phase wants; None when all are filled."""

    def fill(self, popped: list[NDArray[np.int32]]) -> None:
        """Put the levels of those runs where they belong."""

    def finish(self, coarser: int) -> tuple[bytes, NDArray[np.float32]]:
        """What the checksum is taken over, as `Sorted.told`, and the features, (channels, height * width)."""


class Levels(Protocol):
    """Sorts features into symbols, and fills features from them."""

    def sort(self, features: NDArray[np.float32], coarser: int) -> Sorted:
        """Quantise finite features, (channels, height * width), with steps 2 ** coarser times as large."""

    def begin(self, flags: bytes) -> Filling:
        """Fill the channels whose flag is 1; a flag for each channel that is ever sent, 0 or 1."""


def make_levels(layout: Layout) -> Levels:
    """The compiled ones where they were built, else NumPy's."""
    return NumpyLevels(layout) if native is None else NativeLevels(layout, native)


class NativeLevels:
    """See `Levels`; ``native.c`` does it."""

    def __init__(self, layout: Layout, compiled: ModuleType) -> None:
        self._native = compiled
        self._shape = (layout.channels, layout.height * layout.width)
        self._symbols = 1 + len(layout.sent) * (1 + self._shape[1])
        self._lattice = compiled.prepare(
            layout.channels,
            layout.height,
            layout.width,
            layout.levels,
            layout.contexts.places,
            layout.tables,
            layout.sent.astype(np.int32),
            layout.steps,
            layout.keys(),
        )

    def sort(self, features: NDArray[np.float32], coarser: int) -> Sorted:
        """See `Levels`."""
        symbols = np.empty(self._symbols, np.int32)
        told, runs = self._native.sort(self._lattice, np.ascontiguousarray(features), symbols, coarser)
        return Sorted(told, symbols, runs)

    def begin(self, flags: bytes) -> Filling:
        """See `Levels`."""
        return _NativeFilling(self._native, self._lattice, self._shape, flags)


class _NativeFilling:
    def __init__(self, compiled: ModuleType, lattice: object, shape: tuple[int, int], flags: bytes) -> None:
        self._native = compiled
        self._shape = shape
        self._filling, self.runs = compiled.begin(lattice, flags)

    def fill(self, popped: list[NDArray[np.int32]]) -> None:
        self.runs = self._native.fill(self._filling, popped)

    def finish(self, coarser: int) -> tuple[bytes, NDArray[np.float32]]:
        features = np.empty(self._shape, np.float32)
        return self._native.finish(self._filling, features, coarser), features


class _Plan(NamedTuple):
    """What is the same for all features that have levels in the same channels.

    Attributes:
        active: these channels, of those that are ever sent.
        sent: the same, of all.
        steps: float32, (active, 1, 1), their steps.
        order: in which their levels are coded.
        positions: the part of it that each phase codes.
        bases: where in the layout's keys those of each level begin, in that order, by phase.
        first: the first phase, whose tables no level decides: its runs, and positions in their order.
        first_keys: the same phase's keys.
        grids: spare ones: making one takes longer than writing over it.
    """

    active: NDArray[np.intp]
    sent: NDArray[np.intp]
    steps: NDArray[np.float32]
    order: CodingOrder
    positions: list[NDArray[np.intp]]
    bases: list[NDArray[np.intp]]
    first: tuple[Runs, NDArray[np.intp]]
    first_keys: _Bytes
    grids: deque[Grid]


class NumpyLevels:
    """See `Levels`; some dozen calls of NumPy for each feature."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.keys = layout.keys()
        sums = 4 * (layout.levels - 1) + 1
        rows = (PHASES, len(layout.sent), layout.contexts.places)
        # where in `keys` those of each phase, channel and place begin
        self._rows = np.arange(np.prod(rows)).reshape(rows) * sums
        # as large as the levels themselves: numpy takes twice as long to stretch one
        self._steps = np.repeat(layout.steps[:, None], layout.height * layout.width, axis=1)
        self._highest = np.float32(layout.levels - 1) * self._steps
        self._lowest = np.zeros_like(self._steps)
        # features with levels in the same channels come again and again
        self.plan = lru_cache(maxsize=PLANS_KEPT)(self._make_plan)

    def sort(self, features: NDArray[np.float32], coarser: int) -> Sorted:
        """See `Levels`."""
        levels = self._quantise(features, coarser)
        flags: NDArray[np.bool_] = np.asarray(levels.any(axis=1))
        told = flags.tobytes()
        plan = self.plan(told)
        grid = self.grid(plan)
        grid.levels[:] = levels.take(plan.active, axis=0).reshape(grid.levels.shape)
        in_order = grid.flat.take(plan.order.positions)
        head = 1 + len(flags)
        symbols = np.empty(head + len(in_order), np.int32)
        symbols[0] = coarser
        symbols[1:head] = flags
        runs: Runs = []
        if len(in_order):
            keys = np.concatenate((plan.first_keys, self.keys_of(1, plan, grid), self.keys_of(2, plan, grid)))
            symbols[head:] = in_order.take(keys.argsort(kind="stable"))
            runs = self._runs(keys, head)
        plan.grids.append(grid)
        return Sorted(bytes([coarser]) + told + in_order.tobytes(), symbols, runs)

    def begin(self, flags: bytes) -> Filling:
        """See `Levels`."""
        return _NumpyFilling(self, flags)

    def grid(self, plan: _Plan) -> Grid:
        """One to write over; what is left in it is read only where it has been written over."""
        try:
            return plan.grids.pop()
        except IndexError:
            return Grid(len(plan.active), self.layout.height, self.layout.width)

    def keys_of(self, phase: int, plan: _Plan, grid: Grid) -> _Bytes:
        """The keys of a phase's levels, the second's or the third's."""
        return self.keys.take(plan.bases[phase] + grid.sums(phase).take(plan.positions[phase]))

    def by_table(self, keys: _Bytes, positions: NDArray[np.intp]) -> tuple[Runs, NDArray[np.intp]]:
        """The runs of a phase, and its positions in their order."""
        return self._runs(keys, 0), positions.take(keys.argsort(kind="stable"))

    def _runs(self, keys: _Bytes, start: int) -> Runs:
        runs, tables = [], self.layout.tables
        for key, count in enumerate(np.bincount(keys).tolist()):
            if count:
                runs.append((key % tables, start, start + count))
                start += count
        return runs

    def _make_plan(self, flags: bytes) -> _Plan:
        layout = self.layout
        active = np.flatnonzero(np.frombuffer(flags, np.uint8))
        order = coding_order(len(active), layout.height, layout.width, layout.contexts.places)
        rows = self._rows[:, active].reshape(PHASES, -1)
        bases = [rows[phase].take(order.groups[its]) for phase, its in enumerate(order.phases)]
        positions = [order.positions[its] for its in order.phases]
        keys = self.keys.take(bases[0])
        return _Plan(
            active=active,
            sent=layout.sent[active],
            steps=layout.steps[active, None, None],
            order=order,
            positions=positions,
            bases=bases,
            first=self.by_table(keys, positions[0]),
            first_keys=keys,
            grids=deque(maxlen=GRIDS_KEPT),
        )

    def _quantise(self, features: NDArray[np.float32], coarser: int) -> _Bytes:
        # clipped before the division, which could overflow
        levels = np.minimum(features.take(self.layout.sent, axis=0), self._highest)
        np.maximum(levels, self._lowest, out=levels)
        levels /= self._steps if coarser == 0 else np.ldexp(self._steps, coarser)
        rounded: _Bytes = np.rint(levels, out=levels).astype(np.uint8)
        return rounded


class _NumpyFilling:
    def __init__(self, levels: NumpyLevels, flags: bytes) -> None:
        self._levels = levels
        self._flags = flags
        self._plan = levels.plan(flags)
        self._grid = levels.grid(self._plan)
        self._phase = -1
        self._next()

    def fill(self, popped: list[NDArray[np.int32]]) -> None:
        # levels fit a byte, and numpy places bytes faster
        joined = popped[0] if len(popped) == 1 else np.concatenate(popped)
        self._grid.flat[self._cells] = joined.astype(np.uint8)
        self._next()

    def finish(self, coarser: int) -> tuple[bytes, NDArray[np.float32]]:
        plan, grid, layout = self._plan, self._grid, self._levels.layout
        told = bytes([coarser]) + self._flags + grid.flat.take(plan.order.positions).tobytes()
        size = layout.height * layout.width
        features = np.zeros((layout.channels, size), np.float32)
        steps = plan.steps if coarser == 0 else np.ldexp(plan.steps, coarser)
        features[plan.sent] = (grid.levels * steps).reshape(len(plan.sent), size)
        plan.grids.append(grid)
        return told, features

    def _next(self) -> None:
        """Go on to the next phase that has levels: a feature one position wide has none in the second."""
        self.runs: Runs | None = None
        self._cells: Sequence[int] | NDArray[np.intp] = ()
        while self.runs is None and (phase := self._phase + 1) < PHASES:
            self._phase = phase
            positions = self._plan.positions[phase]
            if not len(positions):
                continue
            if phase == 0:
                self.runs, self._cells = self._plan.first
            else:
                keys = self._levels.keys_of(phase, self._plan, self._grid)
                self.runs, self._cells = self._levels.by_table(keys, positions)
