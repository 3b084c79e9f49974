"""Signed levels of decorrelated channels under one step: their symbols, and the context of each.

Positions are coded in the phases of the lattice (`siftfunnel.shared.wire.lattice`), all channels of a
position together. What a linear transform leaves is that neighbours of one channel have the same sign more
often than not, and that where the picture is busy all channels are. So a symbol's table is chosen by

    kind      of its channel: channels with levels of like size are of one kind
    activity  phase 0: how many channels of the frame are sent at all
              phases 1, 2: the sum of the magnitudes of all channels at the four neighbouring positions
    class     of the magnitude of the sum of the four neighbours' levels in the same channel

and the symbol says whether the level has the sign of that sum: 0, then 1, -1, 2, -2, ... times that sign.
All are whole numbers that both sides have. Neighbours count as `most` at most in either direction; a level of
`most` or beyond is told by the outermost symbols, and how far beyond at the end of the payload.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.wire.lattice import MOST_CLASSES, PHASES

LEAST_SYMBOLS, MOST_SYMBOLS = 17, 63
"""So few that a sum of four levels fits a byte, so many that a digit is a symbol too."""
LIMIT = 32767
"""The largest magnitude of a level; beyond it saturates."""
DIGIT_VALUES, DIGITS = 16, 4
"""What a digit can be, and how many, lowest first, say a level lies beyond the outermost symbol."""
MOST_KINDS = 64
MOST_ACTIVITIES = 16


@dataclass(frozen=True)
class SignedContexts:
    """What a symbol's table is chosen by, besides the kind of its channel and its phase.

    Attributes:
        bounds: the least sum of each class of sums after the first, rising.
        activities: for each phase the least activity of each class after the first, rising.

    Raises:
        ValueError: bounds that do not rise from 1, or are too many.
    """

    bounds: tuple[int, ...]
    activities: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.bounds) < MOST_CLASSES:
            raise ValueError(f"contexts have 1 to {MOST_CLASSES - 1} bounds, not {len(self.bounds)}")
        sizes = {len(bounds) for bounds in self.activities}
        if len(self.activities) != PHASES or len(sizes) != 1 or max(sizes) >= MOST_ACTIVITIES:
            raise ValueError(f"activities are {PHASES} lists of up to {MOST_ACTIVITIES - 1} bounds each")
        for bounds in (self.bounds, *self.activities):
            if any(low >= high for low, high in pairwise((0, *bounds))) or max(bounds, default=0) >= 1 << 31:
                raise ValueError(f"bounds must rise from 1 and stay below 2^31, not {list(bounds)}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Phases, activities and classes: each kind of channel has a table for every combination."""
        return PHASES, len(self.activities[0]) + 1, len(self.bounds) + 1

    def of_sums(self) -> NDArray[np.intp]:
        """The class of every sum of four levels, by the sum as an unsigned byte."""
        sums = np.abs(np.arange(256, dtype=np.uint8).view(np.int8).astype(np.intp))
        return np.searchsorted(self.bounds, sums, side="right")


def most_of(symbols: int) -> int:
    """The level of the outermost symbol, by how many symbols there are.

    Raises:
        ValueError: an even number, too few or too many.
    """
    if not LEAST_SYMBOLS <= symbols <= MOST_SYMBOLS or symbols % 2 == 0:
        raise ValueError(
            f"a signed codec has an odd number of levels, {LEAST_SYMBOLS} to {MOST_SYMBOLS}, not {symbols}"
        )
    return symbols // 2


def symbol_of_level() -> NDArray[np.uint8]:
    """The symbol of each level, by the level as an unsigned byte: 0, 1, -1, 2, -2, ...

    >>> symbol_of_level()[[0, 1, 255, 2, 254]]
    array([0, 1, 2, 3, 4], dtype=uint8)
    """
    levels = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int16)
    return np.where(levels > 0, 2 * levels - 1, -2 * levels).astype(np.uint8)


def level_of_symbol(symbols: int) -> NDArray[np.int8]:
    """The level of each symbol.

    >>> level_of_symbol(5)
    array([ 0,  1, -1,  2, -2], dtype=int8)
    """
    found = np.arange(symbols)
    return np.where(found % 2, (found + 1) // 2, -(found // 2)).astype(np.int8)


def digits_of(beyond: NDArray[np.int32]) -> NDArray[np.int32]:
    """The digits of some numbers, one number's after the other's.

    >>> digits_of(np.array([0x1234], np.int32))
    array([4, 3, 2, 1], dtype=int32)
    """
    return (beyond[:, None] >> (4 * np.arange(DIGITS, dtype=np.int32)) & DIGIT_VALUES - 1).ravel()


def from_digits(digits: NDArray[np.int32]) -> NDArray[np.int32]:
    """The numbers of some digits; see `digits_of`."""
    powers = (1 << (4 * np.arange(DIGITS))).astype(np.int32)
    numbers: NDArray[np.int32] = (digits.reshape(-1, DIGITS) * powers).sum(axis=1, dtype=np.int32)
    return numbers
