"""Signed levels of decorrelated channels under one step: their symbols, and the context of each.

Most levels are zero, so what is told first is where they are not. Eight channels side by side, of those that
the frame sends, have at each position a mask, one bit each, the first channel's the highest: 1 where the
level is not 0. What a linear transform leaves is that where the picture is busy all channels are, and that
neighbours of one channel have the same sign more often than not. So there are four stages; a symbol's table
is chosen by its kind and by

    the first quarter of the masks   how many channels the frame sends at all
    the other masks                  how many levels of the first quarter are not 0 at the same position
    levels at even positions         how many levels of all channels are not 0 at the same position
    levels at odd positions          that, and the magnitude of the four neighbours' sum in the same channel

Channels with levels of like size are of one kind; a mask is of its first channel's. A position is even if its
row and column add up to an even number. Only levels that are not 0 are coded; at odd positions the symbol
says whether the level has the sign of the neighbours' sum. All are whole numbers that both sides have.
Neighbours count as `most` at most in either direction; a level of `most` or beyond is told by the outermost
symbols, and how far beyond at the end of the payload.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

LEAST_SYMBOLS, MOST_SYMBOLS = 18, 62
"""So few that a sum of four levels fits a byte, so many that a digit and how coarse are symbols too."""
MASK_CHANNELS, MASKS = 8, 256
FIRST_SHARE = 4
"""The first masks of a position are one in so many, rounded up."""
MASK_STAGES = 2
ONES = np.unpackbits(np.arange(MASKS, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)
"""How many ones each mask has."""
LIMIT = 32767
"""The largest magnitude of a level; beyond it saturates."""
DIGIT_VALUES, DIGITS = 16, 4
"""What a digit can be, and how many, lowest first, say a level lies beyond the outermost symbol."""
MOST_KINDS = 64
MOST_ACTIVITIES = 16
MOST_BOUNDS = 62


@dataclass(frozen=True)
class SignedContexts:
    """What a symbol's table is chosen by, besides the kind of its channel.

    Attributes:
        bounds: the least magnitude of each class of sums after the first, rising.
        activities: of both stages of masks, and of levels, the least of each class after the first, rising.

    Raises:
        ValueError: bounds that do not rise from 1, or are too many.
    """

    bounds: tuple[int, ...]
    activities: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.bounds) <= MOST_BOUNDS:
            raise ValueError(f"contexts have 1 to {MOST_BOUNDS} bounds, not {len(self.bounds)}")
        sizes, lists = {len(bounds) for bounds in self.activities}, MASK_STAGES + 1
        if len(self.activities) != lists or len(sizes) != 1 or max(sizes) >= MOST_ACTIVITIES:
            raise ValueError(f"activities are {lists} lists of up to {MOST_ACTIVITIES - 1} bounds each")
        for bounds in (self.bounds, *self.activities):
            if any(low >= high for low, high in pairwise((0, *bounds))) or max(bounds, default=0) >= 1 << 31:
                raise ValueError(f"bounds must rise from 1 and stay below 2^31, not {list(bounds)}")

    @property
    def of_masks(self) -> tuple[int, int]:
        """Stages and activities: each kind has a table of masks for every combination."""
        return MASK_STAGES, len(self.activities[0]) + 1

    @property
    def of_levels(self) -> tuple[int, int]:
        """Activities and classes, the first of which is that of even positions: as for masks."""
        return len(self.activities[0]) + 1, len(self.bounds) + 2

    def class_of_sum(self) -> NDArray[np.uint8]:
        """The class of every sum of four levels at an odd position, by the sum as an unsigned byte."""
        sums = np.abs(np.arange(256, dtype=np.uint8).view(np.int8).astype(np.intp))
        return (1 + np.searchsorted(self.bounds, sums, side="right")).astype(np.uint8)


def most_of(symbols: int) -> int:
    """The level of the outermost symbol, by how many symbols there are.

    Raises:
        ValueError: an odd number, too few or too many.
    """
    if not LEAST_SYMBOLS <= symbols <= MOST_SYMBOLS or symbols % 2:
        raise ValueError(
            f"a signed codec has an even number of levels, {LEAST_SYMBOLS} to {MOST_SYMBOLS}, not {symbols}"
        )
    return symbols // 2


def symbol_of_level() -> NDArray[np.uint8]:
    """The symbol of each level that is not 0, by the level as an unsigned byte: 1, -1, 2, -2, ...

    >>> symbol_of_level()[[1, 255, 2, 254]]
    array([0, 1, 2, 3], dtype=uint8)
    """
    levels = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int16)
    return (2 * np.abs(levels) - 1 - (levels > 0)).astype(np.uint8)


def level_of_symbol(symbols: int) -> NDArray[np.int8]:
    """The level of each symbol.

    >>> level_of_symbol(4)
    array([ 1, -1,  2, -2], dtype=int8)
    """
    found = np.arange(symbols)
    return np.where(found % 2, -(found + 1) // 2, found // 2 + 1).astype(np.int8)


def mask_of_symbol() -> NDArray[np.uint8]:
    """The mask of each symbol: those of few ones first, so that a decoder finds the frequent ones soon.

    >>> mask_of_symbol()[:10]
    array([  0,   1,   2,   4,   8,  16,  32,  64, 128,   3], dtype=uint8)
    """
    return np.argsort(ONES, kind="stable").astype(np.uint8)


def first_masks(channels: int) -> int:
    """How many masks of a position the first stage tells, by how many channels the frame sends.

    >>> [first_masks(channels) for channels in (0, 8, 33, 64)]
    [0, 1, 2, 2]
    """
    return -(-channels // (MASK_CHANNELS * FIRST_SHARE))


def digits_of(beyond: NDArray[np.int32]) -> NDArray[np.int32]:
    """The digits of some numbers, one number's after the other's.

    >>> digits_of(np.array([0x1234], np.int32))
    array([4, 3, 2, 1], dtype=int32)
    """
    return (beyond[:, None] >> (4 * np.arange(DIGITS, dtype=np.int32)) & DIGIT_VALUES - 1).ravel()


def from_digits(digits: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The numbers of some digits; see `digits_of`."""
    powers = (1 << (4 * np.arange(DIGITS))).astype(np.int32)
    numbers: NDArray[np.int32] = (digits.reshape(-1, DIGITS) * powers).sum(axis=1, dtype=np.int32)
    return numbers
