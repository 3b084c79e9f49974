"""A signed codec's levels: quantised and sorted for the entropy coder, and put back where they came from.

Levels of one position lie together, so that whatever is done to a position is done to all channels at once;
positions are in coding order, the even ones first.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.manifest import FeatureSpec
from siftfunnel.shared.wire.compiled import CompiledLevels, native
from siftfunnel.shared.wire.context_tables import ContextTables
from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.levels import Levels, Pop, Sorted, Stage, popped, sort_stages
from siftfunnel.shared.wire.quantiser import check_steps
from siftfunnel.shared.wire.signed import (
    DIGIT_VALUES,
    DIGITS,
    LIMIT,
    MASK_CHANNELS,
    MASK_STAGES,
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

_Bytes = NDArray[np.uint8]
_Bools = NDArray[np.bool_]
_Values = NDArray[np.int8]
_Places = NDArray[np.intp]


def signed_levels(
    feature: FeatureSpec,
    step: np.float32,
    contexts: SignedContexts,
    tables: ContextTables,
    mask_choices: _Bytes,
) -> Levels:
    """The compiled ones where they were built, else NumPy's; see `SignedLevels`."""
    plain = SignedLevels(feature, step, contexts, tables, mask_choices)
    return plain if native is None else plain.compiled()


class Seen(NamedTuple):
    """What is told of a feature, and in which contexts.

    Attributes:
        flags: for each channel that is ever sent, in the order of channels, whether it is now.
        masks: in coding order: stage, position, mask.
        mask_contexts: kind, stage and activity of each, told by one number.
        found: where levels are not 0, among (positions, active channels).
        even: how many of them are at even positions.
        values: the levels there, none above `most`.
        symbols: of these.
        contexts: kind, activity and class of each, told by one number.
    """

    flags: _Bools
    masks: _Bytes
    mask_contexts: _Places
    found: _Places
    even: int
    values: _Values
    symbols: _Bytes
    contexts: _Places


class SignedScan:
    """In which order levels are told, and in which contexts.

    Args:
        height: of the feature.
        width: of the feature.
        kinds: of the channels that are ever sent, in the order of channels.
        contexts: what a symbol's table is chosen by.
        most: the level of the outermost symbol.
    """

    def __init__(self, height: int, width: int, kinds: _Places, contexts: SignedContexts, most: int) -> None:
        self.kinds, self.contexts, self.most = kinds, contexts, most
        self.symbol_of_level, self.level_of_symbol = symbol_of_level(), level_of_symbol(2 * most)
        self.mask_of_symbol = mask_of_symbol()
        self.symbol_of_mask = self.mask_of_symbol.argsort().astype(np.uint8)
        self.class_of_sum = contexts.class_of_sum()
        self.bounds = [np.array(bounds, np.int32) for bounds in contexts.activities]
        self.order, self.even, self.neighbours = _positions(height, width)
        self.back = self.order.argsort()

    def look(self, levels: _Values) -> Seen:
        """What is told of levels, (sent, positions by row and column), none above `most`."""
        inside = np.ascontiguousarray(levels.T).take(self.order, axis=0)
        flags = np.bitwise_or.reduce(inside, axis=0) != 0
        inside = inside.compress(flags, axis=1)
        lit = inside != 0
        masks, found = np.packbits(lit, axis=1), np.flatnonzero(lit)
        frame = SignedFrame(self, flags)
        first, rest = masks[:, : frame.first], masks[:, frame.first :]
        values, contexts, even = inside.ravel().take(found), frame.contexts(masks, found), frame.even(found)
        symbols = values.copy()
        classes, signs = frame.odd(inside, found[even:])
        contexts[even:] += classes
        symbols[even:] *= signs
        return Seen(
            flags=flags,
            masks=np.concatenate((first.ravel(), rest.ravel())),
            mask_contexts=np.concatenate((frame.first_contexts(), frame.rest_contexts(first))),
            found=found,
            even=even,
            values=values,
            symbols=self.symbol_of_level.take(symbols.view(np.uint8)),
            contexts=contexts,
        )


class SignedFrame:
    """The contexts of one feature's masks and levels.

    Args:
        scan: of the codec.
        flags: for each channel that is ever sent, in the order of channels, whether it is now.

    Attributes:
        channels: that have levels.
        masks: of a position.
        first: how many of them the first stage tells.
    """

    def __init__(self, scan: SignedScan, flags: _Bools) -> None:
        self._scan = scan
        self._kinds = scan.kinds.compress(flags)
        self._of_masks = self._kinds[::MASK_CHANNELS]
        self.channels, self.masks = len(self._kinds), len(self._of_masks)
        self.first = first_masks(self.channels)

    def first_contexts(self) -> _Places:
        """Of each mask of the first stage."""
        active = np.full(len(self._scan.order), self.channels)
        return self._mask_contexts(0, self._of_masks[: self.first], active)

    def rest_contexts(self, first: _Bytes) -> _Places:
        """Of each mask of the second stage, by the masks of the first one."""
        return self._mask_contexts(1, self._of_masks[self.first :], _ones(first))

    def contexts(self, masks: _Bytes, found: _Places) -> _Places:
        """Of each level that is not 0, by all masks of a position; the class at even positions is added."""
        activities, classes = self._scan.contexts.of_levels
        activity = self._scan.bounds[MASK_STAGES].searchsorted(_ones(masks), side="right")
        # 16 bits tell kind and activity, and numpy is through with them sooner
        rows = (self._kinds * activities).astype(np.uint16) + activity.astype(np.uint16)[:, None]
        return rows.ravel().take(found).astype(np.intp) * classes

    def even(self, found: _Places) -> int:
        """How many of some levels are at even positions."""
        return int(found.searchsorted(self._scan.even * self.channels))

    def odd(self, inside: _Values, found: _Places) -> tuple[_Bytes, _Values]:
        """The class and the likelier sign of each level at an odd position.

        Args:
            inside: levels, (positions, active channels); of odd positions none are looked at.
            found: where these levels are not 0, among all.
        """
        even = self._scan.even
        cells = np.zeros((even + 1, self.channels), np.int8)
        cells[:even] = inside[:even]
        sums = np.add.reduce(cells.take(self._scan.neighbours, axis=0), axis=0, dtype=np.int8)
        of_found = sums.ravel().take(found - even * self.channels)
        return self._scan.class_of_sum.take(of_found.view(np.uint8)), of_found >> 7 | 1

    def _mask_contexts(self, stage: int, kinds: _Places, lit: NDArray[np.integer]) -> _Places:
        stages, activities = self._scan.contexts.of_masks
        activity = self._scan.bounds[stage].searchsorted(lit, side="right")
        return ((kinds * stages + stage) * activities + activity[:, None]).ravel()


class SignedLevels:
    """See `Levels`; some dozen calls of NumPy for each feature.

    Args:
        feature: what is sent.
        step: of all channels.
        contexts: what a symbol's table is chosen by.
        tables: of flags and levels.
        mask_choices: uint8, (kinds, stages, activities): the table of each mask, counted from the first of
            masks, which stand behind those of levels, of how coarse and of digits.

    Raises:
        ValueError: an odd number of symbols, too few or too many, a step out of range.
    """

    def __init__(
        self,
        feature: FeatureSpec,
        step: np.float32,
        contexts: SignedContexts,
        tables: ContextTables,
        mask_choices: _Bytes,
    ) -> None:
        check_steps(np.array([step]))
        self.feature, self.step = feature, step
        self.counted, self._mask_choices = tables, mask_choices
        # flags are told in another order than channels have
        self.flagged = tables.sent
        self.of_channel = self.flagged.argsort()
        self._of_flag = self.of_channel.argsort()
        self.sent = self.flagged[self.of_channel]
        most = most_of(tables.symbols)
        self.scan = SignedScan(feature.height, feature.width, tables.kinds[self.sent], contexts, most)
        self.mask_tables = mask_choices.ravel() + np.uint8(len(tables.counts) + 2)
        self.level_tables = tables.choices.ravel()

    def sort(self, features: NDArray[np.float32], coarser: int) -> Sorted:
        """See `Levels`."""
        step, scan = np.ldexp(self.step, coarser), self.scan
        seen = scan.look(self._quantised(features, step, scan.most).astype(np.int8))
        masks, told = scan.symbol_of_mask.take(seen.masks), seen.values.view(np.uint8)
        mask_tables, level_tables = (
            self.mask_tables.take(seen.mask_contexts),
            self.level_tables.take(seen.contexts),
        )
        digits = self._digits(features, step, seen)
        first, even = len(scan.order) * first_masks(int(np.count_nonzero(seen.flags))), seen.even
        stages = [
            *(Stage(mask_tables[its], masks[its], seen.masks[its]) for its in (np.s_[:first], np.s_[first:])),
            *(Stage(level_tables[its], seen.symbols[its], told[its]) for its in (np.s_[:even], np.s_[even:])),
            Stage(self._digit_tables(len(digits)), digits, digits),
        ]
        return sort_stages(coarser, seen.flags.take(self._of_flag), stages)

    def fill(self, flags: bytes, coarser: int, pop: Pop) -> tuple[bytes, NDArray[np.float32]]:
        """See `Levels`."""
        scan, active = self.scan, np.frombuffer(flags, np.bool_).take(self.of_channel)
        frame = SignedFrame(scan, active)
        masks = self._popped_masks(frame, pop)
        found = np.flatnonzero(np.unpackbits(masks, axis=1, count=frame.channels).view(np.bool_))
        even, contexts = frame.even(found), frame.contexts(masks, found)
        values = np.zeros(len(masks) * frame.channels, np.int8)
        inside = values.reshape(len(masks), frame.channels)
        symbols = popped(self.level_tables.take(contexts[:even]), pop)
        values[found[:even]] = scan.level_of_symbol.take(symbols)
        classes, signs = frame.odd(inside, found[even:])
        symbols = popped(self.level_tables.take(contexts[even:] + classes), pop)
        values[found[even:]] = scan.level_of_symbol.take(symbols) * signs
        told = values.take(found)
        levels, digits = self._beyond(values, found.compress(np.abs(told) == scan.most), pop)
        features = np.zeros((self.feature.channels, len(masks)), np.float32)
        in_place = levels.reshape(inside.shape).take(scan.back, axis=0).T
        features[self.sent.compress(active)] = in_place.astype(np.float32) * np.ldexp(self.step, coarser)
        first, rest = masks[:, : frame.first], masks[:, frame.first :]
        parts = (bytes([coarser]), flags, *(part.tobytes() for part in (first, rest, told, digits)))
        return b"".join(parts), features

    def compiled(self) -> CompiledLevels:
        """The same in compiled code, where it was built."""
        assert native is not None
        feature, scan, tables = self.feature, self.scan, self.counted
        coder = native.signed(
            feature.channels,
            feature.height,
            feature.width,
            scan.most,
            len(tables.counts),
            *tables.choices.shape,
            self.flagged.astype(np.int32),
            self.of_channel.astype(np.int32),
            np.full(len(self.flagged), self.step, np.float32),
            np.array(scan.contexts.activities, np.int32),
            tables.kinds[self.flagged].astype(np.int32),
            self._mask_choices,
            tables.choices,
            scan.class_of_sum,
            scan.mask_of_symbol,
            scan.symbol_of_mask,
        )
        return CompiledLevels(native, coder, (feature.channels, feature.height * feature.width))

    def _popped_masks(self, frame: SignedFrame, pop: Pop) -> _Bytes:
        """All masks, (positions, masks)."""
        scan = self.scan
        symbols = popped(self.mask_tables.take(frame.first_contexts()), pop)
        first = scan.mask_of_symbol.take(symbols).reshape(len(scan.order), frame.first)
        symbols = popped(self.mask_tables.take(frame.rest_contexts(first)), pop)
        rest = scan.mask_of_symbol.take(symbols).reshape(len(scan.order), frame.masks - frame.first)
        masks = np.concatenate((first, rest), axis=1)
        spare = frame.masks * MASK_CHANNELS - frame.channels
        if spare and int(np.bitwise_or.reduce(masks[:, -1])) & (1 << spare) - 1:
            raise CodecError("body says that a channel behind the last one is not 0")
        return masks

    def _beyond(
        self, values: _Values, outermost: _Places, pop: Pop
    ) -> tuple[NDArray[np.signedinteger], _Bytes]:
        """The levels with what digits add to those of the outermost symbols, and the digits."""
        digits = popped(self._digit_tables(DIGITS * len(outermost)), pop)
        if not len(digits):
            return values, digits
        beyond = from_digits(digits)
        if digits.max() >= DIGIT_VALUES or beyond.max() > LIMIT - self.scan.most:
            raise CodecError(f"body says a level above {LIMIT}")
        levels = values.astype(np.int32)
        levels[outermost] += np.sign(levels[outermost]) * beyond
        return levels, digits

    def _digits(self, features: NDArray[np.float32], step: np.float32, seen: Seen) -> _Bytes:
        """How far each level of an outermost symbol lies beyond it, in coding order."""
        outermost = seen.found.compress(np.abs(seen.values) == self.scan.most)
        if not len(outermost):
            return np.empty(0, np.uint8)
        levels = self._quantised(features, step, LIMIT).compress(seen.flags, axis=0)
        exact = np.abs(levels.T.take(self.scan.order, axis=0).take(outermost)).astype(np.int32)
        return digits_of(exact - self.scan.most).astype(np.uint8)

    def _digit_tables(self, count: int) -> _Bytes:
        return np.full(count, len(self.counted.counts) + 1, np.uint8)

    def _quantised(self, features: NDArray[np.float32], step: np.float32, most: int) -> NDArray[np.float32]:
        # clipped before the division, which could overflow
        highest = min(LIMIT * self.step, most * step)
        levels = features.take(self.sent, axis=0)
        levels.clip(-highest, highest, out=levels)
        levels /= step
        return np.rint(levels, out=levels)


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
