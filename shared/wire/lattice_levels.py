"""A lattice codec's levels: quantised and sorted for the entropy coder, and put back where they came from."""

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.manifest import FeatureSpec
from siftfunnel.shared.wire.compiled import CompiledLevels, native
from siftfunnel.shared.wire.context_tables import ContextTables
from siftfunnel.shared.wire.lattice import MOST_LEVELS, PHASES, Contexts, Grid, coding_order
from siftfunnel.shared.wire.levels import Levels, Pop, Sorted, Stage, popped, sort_stages
from siftfunnel.shared.wire.quantiser import check_steps

LEAST_LEVELS = 4
"""How coarse is coded under as many levels as everything else: fewer could not say it."""

_Bytes = NDArray[np.uint8]


def lattice_levels(
    feature: FeatureSpec, steps: NDArray[np.float32], contexts: Contexts, tables: ContextTables
) -> Levels:
    """The compiled ones where they were built, else NumPy's; see `LatticeLevels`."""
    plain = LatticeLevels(feature, steps, contexts, tables)
    return plain if native is None else plain.compiled()


class LatticeLevels:
    """See `Levels`; some dozen calls of NumPy for each feature.

    Args:
        feature: what is sent.
        steps: float32, (channels,).
        contexts: what a level's table is chosen by.
        tables: of flags and levels.

    Raises:
        ValueError: too few or too many levels, a step out of range.
    """

    def __init__(
        self, feature: FeatureSpec, steps: NDArray[np.float32], contexts: Contexts, tables: ContextTables
    ) -> None:
        self.levels = tables.symbols
        if not LEAST_LEVELS <= self.levels <= MOST_LEVELS:
            raise ValueError(f"a lattice codec has {LEAST_LEVELS} to {MOST_LEVELS} levels, not {self.levels}")
        check_steps(steps)
        self.feature, self.counted = feature, tables
        self.places, self.sent = contexts.places, tables.sent
        self.steps = steps[self.sent]
        of_channels = tables.choices[tables.kinds[self.sent]].swapaxes(0, 1)
        # phases, sent channels, places, sums of four levels
        self.tables = np.ascontiguousarray(of_channels[..., contexts.of_sums(self.levels)])

    def sort(self, features: NDArray[np.float32], coarser: int) -> Sorted:
        """See `Levels`."""
        levels = self._quantised(features, coarser)
        flags: NDArray[np.bool_] = np.asarray(levels.any(axis=1))
        frame = _Frame(self, flags)
        frame.grid.levels[:] = levels.compress(flags, axis=0).reshape(frame.grid.levels.shape)
        stages = []
        for phase in range(PHASES):
            symbols = frame.grid.flat.take(frame.positions(phase))
            stages.append(Stage(frame.tables(phase), symbols, symbols))
        return sort_stages(coarser, flags, stages)

    def fill(self, flags: bytes, coarser: int, pop: Pop) -> tuple[bytes, NDArray[np.float32]]:
        """See `Levels`."""
        active, told = np.frombuffer(flags, np.bool_), [bytes([coarser]), flags]
        frame = _Frame(self, active)
        for phase in range(PHASES):
            symbols = popped(frame.tables(phase), pop)
            frame.grid.flat[frame.positions(phase)] = symbols
            told.append(symbols.tobytes())
        features = np.zeros((self.feature.channels, self.feature.height, self.feature.width), np.float32)
        steps = np.ldexp(self.steps[active, None, None], coarser)
        features[self.sent[active]] = frame.grid.levels * steps
        return b"".join(told), features.reshape(self.feature.channels, -1)

    def compiled(self) -> CompiledLevels:
        """The same in compiled code, where it was built."""
        assert native is not None
        feature = self.feature
        coder = native.lattice(
            feature.channels,
            feature.height,
            feature.width,
            self.levels,
            self.places,
            self.sent.astype(np.int32),
            np.arange(len(self.sent), dtype=np.int32),
            self.steps,
            self.tables,
        )
        return CompiledLevels(native, coder, (feature.channels, feature.height * feature.width))

    def _quantised(self, features: NDArray[np.float32], coarser: int) -> _Bytes:
        # clipped before the division, which could overflow
        highest = np.float32(self.levels - 1) * self.steps[:, None]
        levels = np.minimum(features.take(self.sent, axis=0), highest)
        np.maximum(levels, 0, out=levels)
        levels /= np.ldexp(self.steps[:, None], coarser)
        rounded: _Bytes = np.rint(levels, out=levels).astype(np.uint8)
        return rounded


class _Frame:
    """The levels of one feature in the channels that have any, and the tables that they choose."""

    def __init__(self, levels: LatticeLevels, flags: NDArray[np.bool_]) -> None:
        feature, places = levels.feature, levels.places
        active = np.flatnonzero(flags)
        self._tables, self._sums = levels.tables, levels.tables.shape[-1]
        self._order = coding_order(len(active), feature.height, feature.width, places)
        # where in a phase's tables those of each channel and place begin
        self._rows = (active[:, None] * places + np.arange(places)).ravel() * self._sums
        self.grid = Grid(len(active), feature.height, feature.width)

    def positions(self, phase: int) -> NDArray[np.intp]:
        """Where in the grid a phase's levels are, in coding order."""
        return self._order.positions[self._order.phases[phase]]

    def tables(self, phase: int) -> _Bytes:
        """The table of each level of a phase, by the levels of the phases before."""
        cells = self._rows.take(self._order.groups[self._order.phases[phase]])
        if phase:
            cells += self.grid.sums(phase).take(self.positions(phase))
        tables: _Bytes = self._tables[phase].ravel().take(cells)
        return tables
