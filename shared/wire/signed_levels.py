"""A signed codec's levels: quantised and sorted for the entropy coder, and put back where they came from.

Levels of one position lie together, so that whatever is done to a position is done to all channels at once.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.lattice import PARTS, PHASES
from siftfunnel.shared.wire.lattice_levels import Filling, Levels, Sorted
from siftfunnel.shared.wire.signed import (
    DIGITS,
    LIMIT,
    SignedContexts,
    digits_of,
    from_digits,
    level_of_symbol,
    most_of,
    symbol_of_level,
)
from siftfunnel.shared.wire.stack import Runs

_Bytes = NDArray[np.uint8]
_Cells = NDArray[np.int8]
"""Levels, none above `most`, with zeros around: (rows + 2, columns + 2, channels)."""

PHASE_PARTS = (PARTS[:1], PARTS[1:2], PARTS[2:])
_NEIGHBOURS = (
    (),
    ((-1, -1), (-1, 1), (1, -1), (1, 1)),
    ((-1, 0), (1, 0), (0, -1), (0, 1)),
)


@dataclass(frozen=True, eq=False)
class SignedLayout:
    """What sorting and filling need to know of a codec.

    Attributes:
        channels: of the feature.
        height: of the feature.
        width: of the feature.
        levels: symbols of a table.
        sent: intp, the channels that are ever sent, in the order of their flags.
        step: of all channels.
        contexts: what a symbol's table is chosen by.
        kinds: intp, the kind of each channel that is sent.
        choices: uint8, (kinds, phases, activities, classes): the table of each symbol.
        tables: how many there are; the second one behind them is that of digits.
    """

    channels: int
    height: int
    width: int
    levels: int
    sent: NDArray[np.intp]
    step: np.float32
    contexts: SignedContexts
    kinds: NDArray[np.intp]
    choices: _Bytes
    tables: int


def make_signed_levels(layout: SignedLayout) -> Levels:
    """See `siftfunnel.shared.wire.lattice_levels.Levels`."""
    return NumpySignedLevels(layout)


@lru_cache(maxsize=256)
def _slices(height: int, width: int, part: tuple[int, int], shift: tuple[int, int]) -> tuple[slice, slice]:
    row, column = (1 + first + by for first, by in zip(part, shift, strict=True))
    return slice(row, height - part[0] + row, 2), slice(column, width - part[1] + column, 2)


def shifted(cells: NDArray[Any], part: tuple[int, int], shift: tuple[int, int]) -> NDArray[Any]:
    """The cells of a part, or those so many rows and columns away from them."""
    return cells[_slices(cells.shape[0] - 2, cells.shape[1] - 2, part, shift)]


def neighbour_sums(cells: NDArray[Any], phase: int, part: tuple[int, int]) -> NDArray[Any]:
    """For each cell of a part the sum of the four neighbours that are the context of a phase, 1 or 2."""
    first, second, third, fourth = (shifted(cells, part, shift) for shift in _NEIGHBOURS[phase])
    sums: NDArray[Any] = first + second
    sums += third
    sums += fourth
    return sums


class NumpySignedLevels:
    """See `siftfunnel.shared.wire.lattice_levels.Levels`."""

    def __init__(self, layout: SignedLayout) -> None:
        self.layout = layout
        self.most = most_of(layout.levels)
        _, activities, classes = layout.contexts.shape
        self._classes = layout.contexts.of_sums()
        self._symbols, self.levels = symbol_of_level(), level_of_symbol(layout.levels)
        # for each kind, phase, activity and class its phase and table, told by one byte
        phases = (np.arange(PHASES, dtype=np.uint8) * layout.tables)[:, None, None]
        self._keys = (layout.choices + phases).ravel()
        self._of_kind = layout.kinds * (PHASES * activities * classes)
        self._bounds = [np.array(bounds, np.int64) for bounds in layout.contexts.activities]

    def sort(self, features: NDArray[np.float32], coarser: int) -> Sorted:
        """See `Levels`."""
        levels = self._quantise(features, coarser)
        flags: NDArray[np.bool_] = np.asarray(levels.any(axis=1))
        inside = self.inside(levels[flags])
        cells, of_kind = self.cells(inside), self._of_kind[flags]
        keys, symbols, in_order = [], [], []
        for phase in range(PHASES):
            signs, rows = self.contexts(phase, cells, of_kind)
            in_order.append(levels_of_phase(phase, cells))
            symbols.append(self.symbols(in_order[-1], signs))
            keys.append(self.keys(rows))
        key, told = np.concatenate(keys), np.concatenate(in_order)
        head, digits = 1 + len(flags), digits_of(self._beyond(levels[flags], inside))
        found = np.empty(head + len(told) + len(digits), np.int32)
        found[0] = coarser
        found[1:head] = flags
        found[head : head + len(told)] = np.concatenate(symbols).take(key.argsort(kind="stable"))
        found[head + len(told) :] = digits
        runs = self.runs(key, head) + self.digit_runs(len(digits), head + len(told))
        said = bytes([coarser]) + flags.tobytes() + told.tobytes() + digits.astype(np.uint8).tobytes()
        return Sorted(said, found, runs)

    def begin(self, flags: bytes) -> Filling:
        """See `Levels`."""
        return _SignedFilling(self, flags)

    def active(self, flags: bytes) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The channels whose flag is 1, of all, and where their kinds begin in the keys."""
        of_sent = np.flatnonzero(np.frombuffer(flags, np.uint8))
        return self.layout.sent[of_sent], self._of_kind[of_sent]

    def cells(self, inside: _Cells) -> _Cells:
        """Levels, (channels, height * width), with zeros around."""
        height, width = self.layout.height, self.layout.width
        cells = np.zeros((height + 2, width + 2, len(inside)), np.int8)
        cells[1:-1, 1:-1] = inside.T.reshape(height, width, len(inside))
        return cells

    def contexts(
        self, phase: int, cells: _Cells, of_kind: NDArray[np.intp]
    ) -> tuple[_Cells, NDArray[np.intp]]:
        """For each level of a phase, in coding order, the sign that is likelier and its row of `choices`.

        Signs are 1 or -1, rows those of kinds, phases, activities and classes laid flat.
        """
        channels, (_, activities, classes) = cells.shape[2], self.layout.contexts.shape
        first = of_kind + phase * activities * classes
        if phase == 0:
            first += int(np.searchsorted(self._bounds[0], channels, side="right")) * classes
            positions = -(-self.layout.height // 2) * -(-self.layout.width // 2)
            return np.ones(positions * channels, np.int8), np.tile(first, positions)
        busy = np.abs(cells).sum(axis=2, dtype=np.int64)
        signs, rows = [], []
        for part in PHASE_PARTS[phase]:
            sums = neighbour_sums(cells, phase, part)
            sums = sums.reshape(sums.shape[0] * sums.shape[1], channels)
            around = neighbour_sums(busy, phase, part).ravel()
            activity = np.searchsorted(self._bounds[phase], around, side="right")
            row = self._classes.take(sums.view(np.uint8))
            row += first
            row += activity[:, None] * classes
            signs.append((sums >> 7 | 1).ravel())
            rows.append(row.ravel())
        return np.concatenate(signs), np.concatenate(rows)

    def keys(self, rows: NDArray[np.intp]) -> _Bytes:
        """The phase and table of levels, told by one byte, by their rows of `choices`."""
        return self._keys.take(rows)

    def symbols(self, values: _Cells, signs: _Cells) -> _Bytes:
        """The symbols of levels, none above `most`, by the sign that is likelier."""
        return self._symbols.take((values * signs).view(np.uint8))

    def runs(self, keys: _Bytes, start: int) -> Runs:
        """Stretches of one table among symbols that are sorted by key."""
        runs, tables = [], self.layout.tables
        for key, count in enumerate(np.bincount(keys).tolist()):
            if count:
                runs.append((key % tables, start, start + count))
                start += count
        return runs

    def digit_runs(self, count: int, start: int) -> Runs:
        """The stretch of digits, if there are any."""
        return [(self.layout.tables + 1, start, start + count)] if count else []

    def inside(self, levels: NDArray[np.int32]) -> _Cells:
        """Levels as neighbours see them."""
        return levels.clip(-self.most, self.most).astype(np.int8)

    def _beyond(self, levels: NDArray[np.int32], inside: _Cells) -> NDArray[np.int32]:
        """How far each level of an outermost symbol lies beyond it, by channel, row and column."""
        outermost = np.abs(inside) == self.most
        beyond: NDArray[np.int32] = np.abs(levels[outermost]) - self.most
        return beyond

    def _quantise(self, features: NDArray[np.float32], coarser: int) -> NDArray[np.int32]:
        # clipped before the division, which could overflow
        highest = np.float32(LIMIT) * self.layout.step
        levels = features.take(self.layout.sent, axis=0)
        levels.clip(-highest, highest, out=levels)
        levels /= np.ldexp(self.layout.step, coarser)
        rounded: NDArray[np.int32] = np.rint(levels, out=levels).astype(np.int32)
        return rounded


def levels_of_phase(phase: int, cells: _Cells) -> _Cells:
    """The levels of a phase in coding order."""
    return np.concatenate([shifted(cells, part, (0, 0)).ravel() for part in PHASE_PARTS[phase]])


class _SignedFilling:
    def __init__(self, levels: NumpySignedLevels, flags: bytes) -> None:
        self._levels = levels
        self._flags = flags
        self._channels, self._of_kind = levels.active(flags)
        layout = levels.layout
        self._cells = np.zeros((layout.height + 2, layout.width + 2, len(self._channels)), np.int8)
        self._told: list[_Cells] = []
        self._digits = np.empty(0, np.int32)
        self._phase = -1
        self._next()

    def fill(self, popped: list[NDArray[np.int32]]) -> None:
        joined = popped[0] if len(popped) == 1 else np.concatenate(popped)
        if self._phase == PHASES:
            self._digits = joined
        else:
            values = np.empty(len(joined), np.int8)
            values[self._order] = self._levels.levels.take(joined)
            values *= self._signs
            self._told.append(values)
            for part in PHASE_PARTS[self._phase]:
                cells = shifted(self._cells, part, (0, 0))
                cells[:], values = values[: cells.size].reshape(cells.shape), values[cells.size :]
        self._next()

    def finish(self, coarser: int) -> tuple[bytes, NDArray[np.float32]]:
        layout, levels = self._levels.layout, self._inside.astype(np.int32)
        if len(self._digits):
            beyond = from_digits(self._digits)
            if beyond.max() > LIMIT - self._levels.most:
                raise CodecError(f"body says a level above {LIMIT}")
            levels[self._outermost] += np.sign(levels[self._outermost]) * beyond
        features = np.zeros((layout.channels, layout.height * layout.width), np.float32)
        features[self._channels] = levels.astype(np.float32) * np.ldexp(layout.step, coarser)
        told = b"".join(values.tobytes() for values in self._told)
        return bytes([coarser]) + self._flags + told + self._digits.astype(np.uint8).tobytes(), features

    def _next(self) -> None:
        """Go on to the next phase that has levels: a feature one position wide has none in the second."""
        self.runs: Runs | None = None
        while self.runs is None and self._phase < PHASES:
            self._phase += 1
            if self._phase == PHASES:
                layout, channels = self._levels.layout, len(self._channels)
                inside = self._cells[1:-1, 1:-1].reshape(layout.height * layout.width, channels)
                self._inside: _Cells = np.ascontiguousarray(inside.T)
                self._outermost = np.abs(self._inside) == self._levels.most
                count = DIGITS * int(np.count_nonzero(self._outermost))
                self.runs = self._levels.digit_runs(count, 0) or None
                return
            self._signs, rows = self._levels.contexts(self._phase, self._cells, self._of_kind)
            if len(rows):
                keys = self._levels.keys(rows)
                self._order = keys.argsort(kind="stable")
                self.runs = self._levels.runs(keys, 0)
