"""The order in which a feature's positions are coded, and the context that earlier ones give later ones.

    A C A C      phase 0 (A): even rows, even columns     no context
    D B D B      phase 1 (B): odd rows, odd columns       the sum of the four diagonal neighbours, all A
    A C A C      phase 2 (C, D): the rest                 the sum of the four nearest neighbours, A and B
    D B D B

A neighbour outside the feature counts as level 0. A sum of levels is put into one of few classes;
both sides have the levels themselves, so that the class is the same on every machine. Coding in
phases instead of position by position lets numpy do it: three passes for any size.

Levels are uint8 and at most 63, so that a sum of four fits a byte too.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PHASES = 3
MOST_LEVELS = 64
CLASS_BOUNDS = (1, 2, 3, 5, 9)
"""The least sum of each class after the first: 0 | 1 | 2 | 3, 4 | 5 to 8 | 9 and more."""
CLASSES = len(CLASS_BOUNDS) + 1

Plane = NDArray[np.uint8]
"""Levels of some channels, (channels, rows, columns)."""
Flat = NDArray[np.uint8]


def classes_of_sums(levels: int) -> NDArray[np.uint8]:
    """The class of every sum of four levels, 0 to 4 (levels - 1).

    >>> classes_of_sums(4)
    array([0, 1, 2, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5], dtype=uint8)
    """
    sums = np.arange(4 * (levels - 1) + 1)
    return np.searchsorted(CLASS_BOUNDS, sums, side="right").astype(np.uint8)


def phase_map(height: int, width: int) -> NDArray[np.uint8]:
    """The phase of every position, (height, width).

    >>> phase_map(2, 3)
    array([[0, 2, 0],
           [2, 1, 2]], dtype=uint8)
    """
    odd_row = np.arange(height)[:, None] % 2
    odd_column = np.arange(width)[None] % 2
    return np.where(odd_row == odd_column, odd_row, 2).astype(np.uint8)


PARTS = ((0, 0), (1, 1), (0, 1), (1, 0))
"""First row and column of A, B, C and D."""


class Grid:
    """Levels of some channels with zeros around every channel, laid flat, so that a neighbour is a shift.

    One column of zeros behind each row is also the one before the next, one row of zeros below each channel
    is also the one above the next.

    Attributes:
        flat: uint8, the cells in the order of `coding_order`'s positions, zeros around channels included.
        levels: uint8, (channels, height, width), a view of them to write to.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        self._row = width + 1
        self._margin = self._row + 1
        size = channels * (height + 1) * self._row
        self._cells = np.zeros(size + 2 * self._margin, np.uint8)
        self.flat = self._cells[self._margin : self._margin + size]
        self.levels: Plane = self.flat.reshape(channels, height + 1, self._row)[:, :height, :width]

    def sums(self, phase: int) -> Flat:
        """For each cell the sum of the neighbours that are the context of a phase, 1 or 2.

        >>> grid = Grid(1, 2, 2)
        >>> grid.levels[:] = [[[3, 0], [0, 2]]]
        >>> [grid.sums(1)[4].item(), grid.sums(2)[1].item()]
        [3, 5]
        """
        cells, size, start, row = self._cells, len(self.flat), self._margin, self._row
        first, second = (row - 1, row + 1) if phase == 1 else (1, row)
        sums = cells[start - first : start - first + size] + cells[start + first : start + first + size]
        sums += cells[start - second : start - second + size]
        sums += cells[start + second : start + second + size]
        return sums


@dataclass(frozen=True)
class CodingOrder:
    """Where the levels of some channels lie, in the order in which they are coded.

    Attributes:
        positions: in `Grid.flat`: A of every channel, then B, then C, then D.
        channels: the channel of each.
        phases: the stretch of `positions` that is coded in each phase.
    """

    positions: NDArray[np.intp]
    channels: NDArray[np.intp]
    phases: tuple[slice, ...]


@lru_cache(maxsize=32)
def coding_order(channels: int, height: int, width: int) -> CodingOrder:
    """The order of some channels.

    >>> coding_order(1, 2, 2).positions
    array([0, 4, 1, 3])
    """
    size = channels * (height + 1) * (width + 1)
    cells = np.arange(size).reshape(channels, height + 1, width + 1)[:, :height, :width]
    found = [cells[:, row::2, column::2].ravel() for row, column in PARTS]
    positions = np.concatenate(found)
    of_position = positions // max((height + 1) * (width + 1), 1)
    for shared in (positions, of_position):
        shared.flags.writeable = False
    first, second = len(found[0]), len(found[0]) + len(found[1])
    return CodingOrder(
        positions, of_position, (slice(0, first), slice(first, second), slice(second, len(positions)))
    )
