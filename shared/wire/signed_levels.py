"""A signed codec's levels: quantised and sorted for the entropy coder, and put back where they came from.

Levels of one position lie together, so that whatever is done to a position is done to all channels at once.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.lattice import PARTS, PHASES
from siftfunnel.shared.wire.lattice_levels import Filling, Levels, Sorted
from siftfunnel.shared.wire.signed import (
    DIGITS,
    LIMIT,
    MASK_CHANNELS,
    ONES,
    SignedContexts,
    digits_of,
    from_digits,
    level_of_symbol,
    mask_of_symbol,
    most_of,
    symbol_of_level,
)
from siftfunnel.shared.wire.stack import Runs

_Bytes = NDArray[np.uint8]
_Cells = NDArray[np.uint8]
"""How many ones each mask has, with zeros around: (rows + 2, columns + 2, masks of a position)."""

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
        levels: symbols of a table of levels.
        sent: intp, the channels that are ever sent, in the order of their flags.
        step: of all channels.
        contexts: what a symbol's table is chosen by.
        kinds: intp, the kind of each channel that is sent.
        choices: uint8, (kinds, activities): the table of each level.
        tables: how many there are; the second one behind them is that of digits, the third the first of masks.
        mask_choices: uint8, (kinds, phases, activities, classes): the table of each mask, of those of masks.
        mask_tables: how many there are.
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
    mask_choices: _Bytes
    mask_tables: int


def make_signed_levels(layout: SignedLayout) -> Levels:
    """See `siftfunnel.shared.wire.lattice_levels.Levels`."""
    return SignedLevels(layout)


@lru_cache(maxsize=256)
def _slices(height: int, width: int, part: tuple[int, int], shift: tuple[int, int]) -> tuple[slice, slice]:
    row, column = (1 + first + by for first, by in zip(part, shift, strict=True))
    return slice(row, height - part[0] + row, 2), slice(column, width - part[1] + column, 2)


def shifted(cells: NDArray[Any], part: tuple[int, int], shift: tuple[int, int]) -> NDArray[Any]:
    """The cells of a part, or those so many rows and columns away from them."""
    return cells[_slices(cells.shape[0] - 2, cells.shape[1] - 2, part, shift)]


def neighbour_sums(cells: NDArray[Any], phase: int) -> NDArray[Any]:
    """For each position of a phase, 1 or 2, the sum of the four neighbours that are its context.

    Args:
        cells: (rows + 2, columns + 2, values of a position).
        phase: 1 or 2.

    Returns:
        (positions in coding order, values of a position)
    """
    found = []
    for part in PHASE_PARTS[phase]:
        first, second, third, fourth = (shifted(cells, part, shift) for shift in _NEIGHBOURS[phase])
        sums = first + second
        sums += third
        sums += fourth
        found.append(sums.reshape(sums.shape[0] * sums.shape[1], sums.shape[2]))
    return found[0] if len(found) == 1 else np.concatenate(found)


class SignedLevels:
    """See `siftfunnel.shared.wire.lattice_levels.Levels`."""

    def __init__(self, layout: SignedLayout) -> None:
        self.layout = layout
        self.most = most_of(layout.levels)
        self._symbol_of_level, self.level_of_symbol = symbol_of_level(), level_of_symbol(layout.levels)
        self.mask_of_symbol = mask_of_symbol()
        self._symbol_of_mask = self.mask_of_symbol.argsort().astype(np.uint8)
        self.classes = layout.contexts.of_sums()
        self.bounds = [np.array(bounds, np.int64) for bounds in layout.contexts.activities]
        # for each kind, phase, activity and class its phase and table, told by one byte
        phases = (np.arange(PHASES, dtype=np.uint8) * layout.mask_tables)[:, None, None]
        self._mask_keys = (layout.mask_choices + phases).ravel()
        self.of_activity = np.ascontiguousarray(layout.choices.T)
        by_row = np.arange(layout.height * layout.width).reshape(layout.height, layout.width)
        self.positions = [
            np.concatenate([by_row[row::2, column::2].ravel() for row, column in parts])
            for parts in PHASE_PARTS
        ]
        self._order = np.concatenate(self.positions)

    def sort(self, features: NDArray[np.float32], coarser: int) -> Sorted:
        """See `Levels`."""
        levels = self._quantise(features, coarser)
        seen = self.look(levels)
        keys = self.mask_keys(seen.rows)
        digits = digits_of(self._beyond(levels, seen))
        head = np.frombuffer(bytes([coarser]) + seen.flags.tobytes(), np.uint8)
        masks = self.mask_symbols(seen.masks).take(keys.argsort(kind="stable"))
        values = self.symbols(seen.values).take(seen.tables.argsort(kind="stable"))
        after = len(head) + len(masks)
        runs = self.mask_runs(keys, len(head)) + stretches(seen.tables, after)
        runs += self.digit_runs(len(digits), after + len(values))
        return Sorted(
            b"".join(part.tobytes() for part in (head, seen.masks, seen.values, digits)),
            np.concatenate((head, masks, values, digits), dtype=np.int32),
            runs,
        )

    def look(self, levels: NDArray[Any]) -> "Seen":
        """What is told of levels, (sent, positions), and in which contexts."""
        inside = np.ascontiguousarray(levels.clip(-self.most, self.most).astype(np.int8).T)
        flags: NDArray[np.bool_] = np.asarray(inside.any(axis=0))
        inside = inside.compress(flags, axis=1)
        lit = inside != 0
        masks, found = np.packbits(lit, axis=1), np.flatnonzero(lit)
        frame = SignedFrame(self, flags)
        frame.put_all(masks)
        rows = np.concatenate([frame.rows(phase) for phase in range(PHASES)])
        return Seen(flags, masks, rows, found, inside.ravel().take(found), frame.tables(found))

    def begin(self, flags: bytes) -> Filling:
        """See `Levels`."""
        return _SignedFilling(self, flags)

    def mask_keys(self, rows: NDArray[np.intp]) -> _Bytes:
        """The phase and table of masks, told by one byte, by their rows of `mask_choices`."""
        return self._mask_keys.take(rows)

    def mask_symbols(self, masks: _Bytes) -> _Bytes:
        """The symbols of masks, (positions by row and column, masks of a position), in coding order."""
        return self._symbol_of_mask.take(masks.take(self._order, axis=0)).ravel()

    def symbols(self, values: NDArray[np.int8]) -> _Bytes:
        """The symbols of levels, none of them 0."""
        return self._symbol_of_level.take(values.view(np.uint8))

    def mask_runs(self, keys: _Bytes, start: int) -> Runs:
        """Stretches of one table among masks that are sorted by key."""
        tables, first = self.layout.mask_tables, self.layout.tables + 2
        return [(first + key % tables, low, high) for key, low, high in stretches(keys, start)]

    def digit_runs(self, count: int, start: int) -> Runs:
        """The stretch of digits, if there are any."""
        return [(self.layout.tables + 1, start, start + count)] if count else []

    def _beyond(self, levels: NDArray[np.float32], seen: "Seen") -> NDArray[np.int32]:
        """How far each level of an outermost symbol lies beyond it, by position and channel."""
        outermost = seen.found[np.abs(seen.values) == self.most]
        exact = np.abs(levels.compress(seen.flags, axis=0).T.take(outermost)) if len(outermost) else outermost
        return exact.astype(np.int32) - self.most

    def _quantise(self, features: NDArray[np.float32], coarser: int) -> NDArray[np.float32]:
        # clipped before the division, which could overflow
        highest = np.float32(LIMIT) * self.layout.step
        levels = features.take(self.layout.sent, axis=0)
        levels.clip(-highest, highest, out=levels)
        levels /= np.ldexp(self.layout.step, coarser)
        return np.rint(levels, out=levels)


class Seen(NamedTuple):
    """What is told of a feature, and in which contexts.

    Attributes:
        flags: for each channel that is ever sent whether it is now.
        masks: (positions by row and column, masks of a position).
        rows: of each mask, in coding order, the row of `mask_choices` laid flat.
        found: where levels are not 0, among (positions, active channels).
        values: the levels there, none above `most`.
        tables: their tables.
    """

    flags: NDArray[np.bool_]
    masks: _Bytes
    rows: NDArray[np.intp]
    found: NDArray[np.intp]
    values: NDArray[np.int8]
    tables: _Bytes


class SignedFrame:
    """The contexts of one feature's masks and levels, as far as they are told.

    Args:
        levels: of the codec.
        flags: for each channel that is ever sent whether it is now.
    """

    def __init__(self, levels: SignedLevels, flags: NDArray[np.bool_]) -> None:
        self._levels, layout = levels, levels.layout
        self._shape = layout.height, layout.width
        self.kinds = layout.kinds.compress(flags)
        of_masks = self.kinds[::MASK_CHANNELS]
        self._phases, activities, self._of_activity = layout.contexts.shape
        self._of_phase = activities * self._of_activity
        self._of_kind = of_masks * (PHASES * self._of_phase)
        self._cells: _Cells = np.zeros((layout.height + 2, layout.width + 2, len(of_masks)), np.uint8)

    def put(self, phase: int, masks: _Bytes) -> None:
        """Tell the masks of a phase, (positions in coding order, masks of a position)."""
        ones = ONES.take(masks)
        for part in PHASE_PARTS[phase]:
            cells = shifted(self._cells, part, (0, 0))
            here = cells.shape[0] * cells.shape[1]
            cells[:], ones = ones[:here].reshape(cells.shape), ones[here:]

    def put_all(self, masks: _Bytes) -> None:
        """Tell all masks, (positions by row and column, masks of a position)."""
        self._cells[1:-1, 1:-1] = ONES.take(masks).reshape(*self._shape, masks.shape[1])

    def rows(self, phase: int) -> NDArray[np.intp]:
        """For each mask of a phase, in coding order, its row of `mask_choices` laid flat."""
        first, bounds = self._of_kind + phase * self._of_phase, self._levels.bounds[phase]
        if phase == 0:
            first += bounds.searchsorted(len(self.kinds), side="right") * self._of_activity
            return np.tile(first, len(self._levels.positions[0]))
        sums = neighbour_sums(self._cells, phase)
        rows = self._levels.classes.take(sums)
        rows += first
        activities = bounds.searchsorted(sums.sum(axis=1), side="right")
        activities *= self._of_activity
        rows += activities[:, None]
        return rows.ravel()

    def tables(self, found: NDArray[np.intp]) -> _Bytes:
        """The table of each level, by its place among (positions, active); all masks are told."""
        busy = self._cells[1:-1, 1:-1].sum(axis=2).ravel()
        activities = self._levels.bounds[PHASES].searchsorted(busy, side="right")
        tables: _Bytes = self._levels.of_activity.take(self.kinds, axis=1).take(activities, axis=0)
        return tables.ravel().take(found)


def stretches(keys: _Bytes, start: int) -> Runs:
    """Key, start and end of each stretch of one key when keys are sorted."""
    found = []
    for key, count in enumerate(np.bincount(keys).tolist()):
        if count:
            found.append((key, start, start + count))
            start += count
    return found


class _SignedFilling:
    def __init__(self, levels: SignedLevels, flags: bytes) -> None:
        layout = levels.layout
        self._levels, self._flags = levels, flags
        lit = np.frombuffer(flags, np.bool_)
        self._active = layout.sent.compress(lit)
        self._contexts = SignedFrame(levels, lit)
        self._masks = np.zeros(
            (layout.height * layout.width, -(-len(self._active) // MASK_CHANNELS)), np.uint8
        )
        self._values = np.empty(0, np.int8)
        self._found = np.empty(0, np.intp)
        self._digits = np.empty(0, np.int32)
        self._phase = -1
        self._next()

    def fill(self, popped: list[NDArray[np.int32]]) -> None:
        joined = popped[0] if len(popped) == 1 else np.concatenate(popped)
        if self._phase < PHASES:
            masks = np.empty(len(joined), np.uint8)
            masks[self._order] = self._levels.mask_of_symbol.take(joined)
            masks = masks.reshape(-1, self._masks.shape[1])
            self._masks[self._levels.positions[self._phase]] = masks
            self._contexts.put(self._phase, masks)
        elif self._phase == PHASES:
            self._values = np.empty(len(joined), np.int8)
            self._values[self._order] = self._levels.level_of_symbol.take(joined)
        else:
            self._digits = joined
        self._next()

    def finish(self, coarser: int) -> tuple[bytes, NDArray[np.float32]]:
        layout, levels = self._levels.layout, self._values.astype(np.int32)
        if len(self._digits):
            beyond = from_digits(self._digits)
            if beyond.max() > LIMIT - self._levels.most:
                raise CodecError(f"body says a level above {LIMIT}")
            levels[self._outermost] += np.sign(levels[self._outermost]) * beyond
        dense = np.zeros(len(self._masks) * len(self._active), np.float32)
        dense[self._found] = levels * np.ldexp(layout.step, coarser)
        features = np.zeros((layout.channels, len(self._masks)), np.float32)
        features[self._active] = dense.reshape(len(self._masks), len(self._active)).T
        told = self._masks.tobytes() + self._values.tobytes() + self._digits.tobytes()
        return bytes([coarser]) + self._flags + told, features

    def _next(self) -> None:
        """Go on to the next phase that has symbols: a feature one position wide has none in the second."""
        self.runs: Runs | None = None
        while not self.runs and self._phase < PHASES + 2:
            self._phase += 1
            self.runs = self._wanted()
        self.runs = self.runs or None

    def _wanted(self) -> Runs:
        levels, runs = self._levels, []
        if self._phase < PHASES:
            keys = levels.mask_keys(self._contexts.rows(self._phase))
            self._order, runs = keys.argsort(kind="stable"), levels.mask_runs(keys, 0)
        elif self._phase == PHASES:
            self._look_at_masks()
            tables = self._contexts.tables(self._found)
            self._order, runs = tables.argsort(kind="stable"), stretches(tables, 0)
        elif self._phase == PHASES + 1:
            self._outermost = np.abs(self._values) == levels.most
            runs = levels.digit_runs(DIGITS * int(np.count_nonzero(self._outermost)), 0)
        return runs

    def _look_at_masks(self) -> None:
        """Find where levels are not 0."""
        lit = np.unpackbits(self._masks, axis=1)
        active = len(self._active)
        if lit[:, active:].any():
            raise CodecError("body says that a channel behind the last one is not 0")
        self._found = np.flatnonzero(lit[:, :active] != 0)
