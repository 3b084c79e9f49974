"""A signed codec's levels: quantised and sorted for the entropy coder, and put back where they came from.

Levels of one position lie together, so that whatever is done to a position is done to all channels at once;
positions are in coding order, the even ones first.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.lattice_levels import Filling, Levels, Sorted
from siftfunnel.shared.wire.signed import (
    DIGITS,
    LIMIT,
    MASK_CHANNELS,
    ONES,
    SignedContexts,
    digits_of,
    first_masks,
    from_digits,
    level_of_symbol,
    mask_of_symbol,
    most_of,
    symbol_of_level,
)
from siftfunnel.shared.wire.stack import Runs

_Bytes = NDArray[np.uint8]
_Bools = NDArray[np.bool_]
_Values = NDArray[np.int8]
_Places = NDArray[np.intp]
_Rows = NDArray[np.uint16]
_Stages = Generator[Runs, Any, None]
"""Gives what it wants next, and is sent the levels of those runs."""


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
        choices: (kinds, activities, classes): the table of each level.
        tables: how many there are; behind them are those of how coarse, of digits, and of masks.
        mask_choices: (kinds, stages, activities): the table of each mask, counted from the first of masks.
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
    choices: NDArray[Any]
    tables: int
    mask_choices: NDArray[Any]
    mask_tables: int


def make_signed_levels(layout: SignedLayout) -> Levels:
    """See `siftfunnel.shared.wire.lattice_levels.Levels`."""
    return SignedLevels(layout)


class Seen(NamedTuple):
    """What is told of a feature, and in which contexts.

    Attributes:
        flags: for each channel that is ever sent, in the order of channels, whether it is now.
        masks: in coding order: stage, position, mask.
        mask_keys: the stage and table of each.
        found: where levels are not 0, among (positions, active channels).
        values: the levels there, none above `most`.
        symbols: of these.
        keys: the stage and table of each.
    """

    flags: _Bools
    masks: _Bytes
    mask_keys: NDArray[Any]
    found: _Places
    values: _Values
    symbols: _Bytes
    keys: NDArray[Any]


class SignedLevels:
    """See `siftfunnel.shared.wire.lattice_levels.Levels`."""

    def __init__(self, layout: SignedLayout) -> None:
        self.layout = layout
        self.most = most_of(layout.levels)
        self.symbol_of_level, self.level_of_symbol = symbol_of_level(), level_of_symbol(layout.levels)
        self.mask_of_symbol = mask_of_symbol()
        self.symbol_of_mask = self.mask_of_symbol.argsort().astype(np.uint8)
        self.class_of_sum = layout.contexts.class_of_sum()
        self.bounds = [np.array(bounds, np.int32) for bounds in layout.contexts.activities]
        # flags are told in another order than channels have
        self.of_channel = layout.sent.argsort()
        self._of_flag = self.of_channel.argsort()
        self.sent, self.kinds = layout.sent[self.of_channel], layout.kinds[self.of_channel]
        self.order, self.even, self.neighbours = _positions(layout.height, layout.width)
        self.back = self.order.argsort()
        # (activities, kinds, ...): that of a position is looked up before that of a channel
        by_activity = layout.mask_choices.transpose(1, 2, 0)
        self.mask_keys = [
            np.ascontiguousarray(keys + layout.mask_choices.dtype.type(stage * layout.mask_tables))
            for stage, keys in enumerate(by_activity)
        ]
        even, odd = layout.choices[..., :1], layout.choices + layout.choices.dtype.type(layout.tables)
        self.keys = np.concatenate((even, odd[..., 1:]), axis=2).ravel()
        kinds, activities, classes = layout.choices.shape
        rows = np.arange(0, self.keys.size, classes, dtype=np.uint16).reshape(kinds, activities)
        self.rows = np.ascontiguousarray(rows.T)

    def sort(self, features: NDArray[np.float32], coarser: int) -> Sorted:
        """See `Levels`."""
        step = np.ldexp(self.layout.step, coarser)
        seen = self.look(self._quantised(features, step, self.most).astype(np.int8))
        digits = self._digits(features, step, seen)
        head = np.empty(1 + len(seen.flags), np.uint8)
        head[0], head[1:] = coarser, seen.flags.take(self._of_flag)
        masks = self.symbol_of_mask.take(seen.masks.take(seen.mask_keys.argsort(kind="stable")))
        symbols = seen.symbols.take(seen.keys.argsort(kind="stable"))
        runs = self.mask_runs(seen.mask_keys, len(head))
        runs += self.level_runs(seen.keys, len(head) + len(masks))
        runs += self.digit_runs(len(digits), len(head) + len(masks) + len(symbols))
        return Sorted(
            b"".join(part.tobytes() for part in (head, seen.masks, seen.values, digits)),
            np.concatenate((head, masks, symbols, digits), dtype=np.int32),
            runs,
        )

    def begin(self, flags: bytes) -> Filling:
        """See `Levels`."""
        return _SignedFilling(self, flags)

    def look(self, levels: _Values) -> Seen:
        """What is told of levels, (sent, positions by row and column), none above `most`."""
        inside = np.ascontiguousarray(levels.T).take(self.order, axis=0)
        flags = np.bitwise_or.reduce(inside, axis=0) != 0
        inside = inside.compress(flags, axis=1)
        lit = inside != 0
        masks, found = np.packbits(lit, axis=1), np.flatnonzero(lit)
        frame = SignedFrame(self, flags)
        first, rest = masks[:, : frame.first], masks[:, frame.first :]
        values, rows = inside.ravel().take(found), frame.rows(masks, found)
        symbols, even = values.copy(), int(found.searchsorted(self.even * inside.shape[1]))
        classes, signs = frame.odd(inside, found[even:])
        rows[even:] += classes
        symbols[even:] *= signs
        return Seen(
            flags=flags,
            masks=np.concatenate((first.ravel(), rest.ravel())),
            mask_keys=np.concatenate((frame.first_keys(), frame.rest_keys(first))),
            found=found,
            values=values,
            symbols=self.symbol_of_level.take(symbols.view(np.uint8)),
            keys=self.keys.take(rows),
        )

    def mask_runs(self, keys: NDArray[Any], start: int) -> Runs:
        """Stretches of one table among masks that are sorted by key."""
        return _stretches(keys, start, self.layout.mask_tables, self.layout.tables + 2)

    def level_runs(self, keys: NDArray[Any], start: int) -> Runs:
        """Stretches of one table among levels that are sorted by key."""
        return _stretches(keys, start, self.layout.tables, 0)

    def digit_runs(self, count: int, start: int) -> Runs:
        """The stretch of digits, if there are any."""
        return [(self.layout.tables + 1, start, start + count)] if count else []

    def _digits(self, features: NDArray[np.float32], step: np.float32, seen: Seen) -> NDArray[np.uint8]:
        """How far each level of an outermost symbol lies beyond it, in coding order."""
        outermost = seen.found.compress(np.abs(seen.values) == self.most)
        if not len(outermost):
            return np.empty(0, np.uint8)
        levels = self._quantised(features, step, LIMIT).compress(seen.flags, axis=0)
        exact = np.abs(levels.T.take(self.order, axis=0).take(outermost)).astype(np.int32)
        return digits_of(exact - self.most).astype(np.uint8)

    def _quantised(self, features: NDArray[np.float32], step: np.float32, most: int) -> NDArray[np.float32]:
        # clipped before the division, which could overflow
        highest = min(LIMIT * self.layout.step, most * step)
        levels = features.take(self.sent, axis=0)
        levels.clip(-highest, highest, out=levels)
        levels /= step
        return np.rint(levels, out=levels)


class SignedFrame:
    """The contexts of one feature's masks and levels.

    Args:
        levels: of the codec.
        flags: for each channel that is ever sent, in the order of channels, whether it is now.

    Attributes:
        masks: of a position.
        first: how many of them the first stage tells.
    """

    def __init__(self, levels: SignedLevels, flags: _Bools) -> None:
        self._levels = levels
        self._kinds = levels.kinds.compress(flags)
        self._of_masks = self._kinds[::MASK_CHANNELS]
        self.masks = len(self._of_masks)
        self.first = first_masks(len(self._kinds))

    def first_keys(self) -> NDArray[Any]:
        """The stage and table of each mask of the first stage."""
        levels = self._levels
        activity = levels.bounds[0].searchsorted(len(self._kinds), side="right")
        keys = np.empty((len(levels.order), self.first), levels.mask_keys[0].dtype)
        keys[:] = levels.mask_keys[0][activity].take(self._of_masks[: self.first])
        return keys.ravel()

    def rest_keys(self, first: _Bytes) -> NDArray[Any]:
        """The stage and table of each mask of the second stage, by the masks of the first one."""
        activity = self._levels.bounds[1].searchsorted(_ones(first), side="right")
        keys = self._levels.mask_keys[1].take(self._of_masks[self.first :], axis=1)
        return keys.take(activity, axis=0).ravel()

    def rows(self, masks: _Bytes, found: _Places) -> _Rows:
        """For each level that is not 0 where the classes of its context begin, by all masks of a position."""
        activity = self._levels.bounds[2].searchsorted(_ones(masks), side="right")
        rows: _Rows = self._levels.rows.take(self._kinds, axis=1).take(activity, axis=0).ravel().take(found)
        return rows

    def odd(self, inside: _Values, found: _Places) -> tuple[_Rows, _Values]:
        """The class and the likelier sign of each level at an odd position.

        Args:
            inside: levels, (positions, active channels); of odd positions none are looked at.
            found: where these levels are not 0, among all.
        """
        even, channels = self._levels.even, len(self._kinds)
        cells = np.zeros((even + 1, channels), np.int8)
        cells[:even] = inside[:even]
        sums = np.add.reduce(cells.take(self._levels.neighbours, axis=0), axis=0, dtype=np.int8)
        of_found = sums.ravel().take(found - even * channels)
        return self._levels.class_of_sum.take(of_found.view(np.uint8)), of_found >> 7 | 1


def _ones(masks: _Bytes) -> NDArray[np.int32]:
    """How many levels of each position are not 0, by masks, (positions, masks)."""
    ones: NDArray[np.int32] = np.add.reduce(ONES.take(masks), axis=1, dtype=np.int32)
    return ones


def _positions(height: int, width: int) -> tuple[_Places, int, _Places]:
    """Positions in coding order, how many are even, and for each odd one which its four neighbours are.

    A neighbour outside the feature is the one behind the last even one.
    """
    rows, columns = np.indices((height, width))
    odd = (rows + columns) % 2
    order = np.argsort(odd.ravel(), kind="stable")
    even = order.size - int(odd.sum())
    place = np.full((height + 2, width + 2), even)
    place[1:-1, 1:-1].flat[order[:even]] = np.arange(even)
    around = np.stack([place[:-2, 1:-1], place[2:, 1:-1], place[1:-1, :-2], place[1:-1, 2:]])
    return order, even, around.reshape(4, -1)[:, order[even:]]


def _stretches(keys: NDArray[Any], start: int, tables: int, first: int) -> Runs:
    """Table, start and end of each stretch of one key when keys are sorted: stage times tables and table."""
    found = []
    for key, count in enumerate(np.bincount(keys).tolist()):
        if count:
            found.append((first + key % tables, start, start + count))
            start += count
    return found


class _SignedFilling:
    def __init__(self, levels: SignedLevels, flags: bytes) -> None:
        self._levels, self._flags = levels, flags
        self.runs: Runs | None = None
        self._stages = self._filled(np.frombuffer(flags, np.bool_).take(levels.of_channel))
        self._go_on(None)

    def fill(self, popped: list[NDArray[np.int32]]) -> None:
        self._go_on(popped)

    def finish(self, coarser: int) -> tuple[bytes, NDArray[np.float32]]:
        layout = self._levels.layout
        values = self._inside.take(self._levels.back, axis=0).T.astype(np.float32)
        values *= np.ldexp(layout.step, coarser)
        features = np.zeros((layout.channels, values.shape[1]), np.float32)
        features[self._active] = values
        return bytes([coarser]) + self._flags + self._told, features

    def _go_on(self, popped: list[NDArray[np.int32]] | None) -> None:
        try:
            self.runs = self._stages.send(popped)
        except StopIteration:
            self.runs = None

    def _filled(self, flags: _Bools) -> _Stages:
        """Stage after stage: the first masks, the others, levels at even positions, at odd ones, digits."""
        levels, frame = self._levels, SignedFrame(self._levels, flags)
        positions, channels = len(levels.order), int(np.count_nonzero(flags))
        first = yield from _popped(frame.first_keys(), levels.mask_runs)
        first = levels.mask_of_symbol.take(first).reshape(positions, frame.first)
        rest = yield from _popped(frame.rest_keys(first), levels.mask_runs)
        rest = levels.mask_of_symbol.take(rest).reshape(positions, frame.masks - frame.first)
        masks = np.concatenate((first, rest), axis=1)
        spare = frame.masks * MASK_CHANNELS - channels
        if spare and int(np.bitwise_or.reduce(masks[:, -1])) & (1 << spare) - 1:
            raise CodecError("body says that a channel behind the last one is not 0")
        found = np.flatnonzero(np.unpackbits(masks, axis=1, count=channels).view(np.bool_))
        even = int(found.searchsorted(levels.even * channels))
        rows, values = frame.rows(masks, found), np.zeros(positions * channels, np.int8)
        inside = values.reshape(positions, channels)
        symbols = yield from _popped(levels.keys.take(rows[:even]), levels.level_runs)
        values[found[:even]] = levels.level_of_symbol.take(symbols)
        classes, signs = frame.odd(inside, found[even:])
        symbols = yield from _popped(levels.keys.take(rows[even:] + classes), levels.level_runs)
        values[found[even:]] = levels.level_of_symbol.take(symbols) * signs
        self._active, self._inside = levels.sent.compress(flags), inside
        told = values.take(found)
        self._told = first.tobytes() + rest.tobytes() + told.tobytes()
        outermost = found.compress(np.abs(told) == levels.most)
        if len(outermost):
            yield from self._beyond(outermost)

    def _beyond(self, outermost: _Places) -> _Stages:
        """Add what digits say to levels of the outermost symbols."""
        (digits,) = yield self._levels.digit_runs(DIGITS * len(outermost), 0)
        beyond = from_digits(digits)
        if beyond.max() > LIMIT - self._levels.most:
            raise CodecError(f"body says a level above {LIMIT}")
        self._inside = self._inside.astype(np.int32)
        levels = self._inside.take(outermost)
        self._inside.put(outermost, levels + np.sign(levels) * beyond)
        self._told += digits.astype(np.uint8).tobytes()


def _popped(keys: NDArray[Any], runs_of: Callable[[NDArray[Any], int], Runs]) -> Generator[Runs, Any, _Bytes]:
    """Symbols of those keys, in coding order."""
    symbols = np.empty(len(keys), np.uint8)
    if len(keys):
        popped = yield runs_of(keys, 0)
        symbols[keys.argsort(kind="stable")] = np.concatenate(popped)
    return symbols
