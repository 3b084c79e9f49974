"""The order in which a feature's positions are coded, and the context that earlier ones give later ones.

    A C A C      phase 0 (A): even rows, even columns     no context
    D B D B      phase 1 (B): odd rows, odd columns       the sum of the four diagonal neighbours, all A
    A C A C      phase 2 (C, D): the rest                 the sum of the four nearest neighbours, A and B
    D B D B

A neighbour outside the feature counts as level 0. A sum of levels is put into one of few classes;
both sides have the levels themselves, so that the class is the same on every machine. A position on the
feature's edge, where sums are smaller, may have classes of its own. Coding in phases instead of position
by position lets numpy do it: three passes for any size.

Levels are uint8 and at most 63, so that a sum of four fits a byte too.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

PHASES = 3
MOST_LEVELS = 64
MOST_CLASSES = 64


@dataclass(frozen=True)
class Contexts:
    """What a level's table is chosen by, besides its channel and phase.

    Attributes:
        bounds: the least sum of each class of sums after the first, rising.
        places: 2 where positions on the edge of the feature are told from those inside it, 1 where not.

    Raises:
        ValueError: bounds that do not rise from 1, too many, another number of places.
    """

    bounds: tuple[int, ...]
    places: int

    def __post_init__(self) -> None:
        if not 1 <= len(self.bounds) < MOST_CLASSES:
            raise ValueError(f"contexts have 1 to {MOST_CLASSES - 1} bounds, not {len(self.bounds)}")
        if any(low >= high for low, high in pairwise((0, *self.bounds))):
            raise ValueError(f"bounds of sums must rise from 1, not {list(self.bounds)}")
        if self.bounds[-1] > 4 * (MOST_LEVELS - 1):
            raise ValueError(f"no sum of levels reaches a bound of {self.bounds[-1]}")
        if self.places not in (1, 2):
            raise ValueError(f"contexts tell 1 or 2 places apart, not {self.places}")

    @property
    def classes(self) -> int:
        """Classes of sums."""
        return len(self.bounds) + 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Phases, places and classes: each channel has a table for every combination."""
        return PHASES, self.places, self.classes

    def of_sums(self, levels: int) -> NDArray[np.uint8]:
        """The class of every sum of four levels, 0 to 4 (levels - 1).

        >>> FIRST.of_sums(4)
        array([0, 1, 2, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5], dtype=uint8)
        """
        sums = np.arange(4 * (levels - 1) + 1)
        return np.searchsorted(self.bounds, sums, side="right").astype(np.uint8)


FIRST = Contexts(bounds=(1, 2, 3, 5, 9), places=1)
"""Of codecs that do not say theirs: 0 | 1 | 2 | 3, 4 | 5 to 8 | 9 and more, wherever it is."""
CONTEXTS = Contexts(bounds=(1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20), places=2)
"""Of codecs that are made now."""

Plane = NDArray[np.uint8]
"""Levels of some channels, (channels, rows, columns)."""
Flat = NDArray[np.uint8]


def phase_map(height: int, width: int) -> NDArray[np.uint8]:
    """The phase of every position, (height, width).

    >>> phase_map(2, 3)
    array([[0, 2, 0],
           [2, 1, 2]], dtype=uint8)
    """
    odd_row = np.arange(height)[:, None] % 2
    odd_column = np.arange(width)[None] % 2
    return np.where(odd_row == odd_column, odd_row, 2).astype(np.uint8)


def place_map(height: int, width: int) -> NDArray[np.uint8]:
    """1 for every position on the edge of the feature, 0 inside, (height, width).

    >>> place_map(3, 4)
    array([[1, 1, 1, 1],
           [1, 0, 0, 1],
           [1, 1, 1, 1]], dtype=uint8)
    """
    places = np.ones((height, width), np.uint8)
    places[1:-1, 1:-1] = 0
    return places


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
        row = width + 1
        margin = row + 1
        size = channels * (height + 1) * row
        cells = np.zeros(size + 2 * margin, np.uint8)

        def shifted(*shifts: int) -> tuple[Flat, ...]:
            return tuple(cells[margin + shift : margin + shift + size] for shift in shifts)

        (self.flat,) = shifted(0)
        self.levels: Plane = self.flat.reshape(channels, height + 1, row)[:, :height, :width]
        self._neighbours = (
            shifted(-row - 1, 1 - row, row - 1, row + 1),
            shifted(-row, -1, 1, row),
        )
        self._sums = np.empty(size, np.uint8)

    def sums(self, phase: int) -> Flat:
        """For each cell the sum of the neighbours that are the context of a phase, 1 or 2.

        The array is the grid's own: the next call writes over it.

        >>> grid = Grid(1, 2, 2)
        >>> grid.levels[:] = [[[3, 0], [0, 2]]]
        >>> [grid.sums(1)[4].item(), grid.sums(2)[1].item()]
        [3, 5]
        """
        first, second, third, fourth = self._neighbours[phase - 1]
        sums = np.add(first, second, self._sums)
        sums += third
        sums += fourth
        return sums


@dataclass(frozen=True)
class CodingOrder:
    """Where the levels of some channels lie, in the order in which they are coded.

    Attributes:
        positions: in `Grid.flat`: A of every channel, then B, then C, then D.
        groups: the channel and the place of each, told by one number: channel * places + place.
        phases: the stretch of `positions` that is coded in each phase.
    """

    positions: NDArray[np.intp]
    groups: NDArray[np.intp]
    phases: tuple[slice, ...]


@lru_cache(maxsize=32)
def coding_order(channels: int, height: int, width: int, places: int = 1) -> CodingOrder:
    """The order of some channels.

    >>> coding_order(1, 2, 2).positions
    array([0, 4, 1, 3])
    """
    size = channels * (height + 1) * (width + 1)
    cells = np.arange(size).reshape(channels, height + 1, width + 1)[:, :height, :width]
    found = [cells[:, row::2, column::2].ravel() for row, column in PARTS]
    positions = np.concatenate(found)
    groups = np.zeros(cells.shape, np.intp)
    groups += places * np.arange(channels)[:, None, None]
    if places > 1:
        groups += place_map(height, width)
    in_order = np.concatenate([groups[:, row::2, column::2].ravel() for row, column in PARTS])
    for shared in (positions, in_order):
        shared.flags.writeable = False
    first, second = len(found[0]), len(found[0]) + len(found[1])
    return CodingOrder(
        positions, in_order, (slice(0, first), slice(first, second), slice(second, len(positions)))
    )
