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

import numpy as np
from numpy.typing import NDArray

PHASES = 3
MOST_LEVELS = 64
CLASS_BOUNDS = (1, 2, 3, 5, 9)
"""The least sum of each class after the first: 0 | 1 | 2 | 3, 4 | 5 to 8 | 9 and more."""
CLASSES = len(CLASS_BOUNDS) + 1

Plane = NDArray[np.uint8]
"""Levels of some channels, (channels, rows, columns)."""


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


def part_shapes(height: int, width: int) -> tuple[tuple[int, int], ...]:
    """Rows and columns of A, B, C and D.

    >>> part_shapes(3, 4)
    ((2, 2), (1, 2), (2, 2), (1, 2))
    """
    odd_rows, odd_columns = height // 2, width // 2
    rows, columns = height - odd_rows, width - odd_columns
    return (rows, columns), (odd_rows, odd_columns), (rows, odd_columns), (odd_rows, columns)


def part(levels: Plane, number: int) -> Plane:
    """A view of A, B, C or D of some channels, by number."""
    row, column = ((0, 0), (1, 1), (0, 1), (1, 0))[number]
    return levels[:, row::2, column::2]


def with_border(levels: Plane, before: int) -> Plane:
    """With a row and a column of zeros behind, and `before` of them in front: what the sums read A and B as.

    >>> with_border(np.ones((1, 1, 1), np.uint8), 1).tolist()
    [[[0, 0, 0], [0, 1, 0], [0, 0, 0]]]
    """
    channels, rows, columns = levels.shape
    padded = np.zeros((channels, rows + before + 1, columns + before + 1), np.uint8)
    padded[:, before : before + rows, before : before + columns] = levels
    return padded


def sums_around_b(a: Plane, height: int, width: int) -> Plane:
    """For each position of B the sum of its four diagonal neighbours.

    Args:
        a: A with a border behind.
        height: of the feature.
        width: of the feature.

    >>> sums_around_b(with_border(np.full((1, 1, 1), 3, np.uint8), 0), 2, 2).tolist()
    [[[3]]]
    """
    rows, columns = height // 2, width // 2
    sums = a[:, :rows, :columns] + a[:, :rows, 1 : columns + 1]
    sums += a[:, 1 : rows + 1, :columns]
    sums += a[:, 1 : rows + 1, 1 : columns + 1]
    return sums


def sums_around_c_and_d(a: Plane, b: Plane, height: int, width: int) -> tuple[Plane, Plane]:
    """For each position of C and of D the sum of its four nearest neighbours.

    Args:
        a: A with a border behind.
        b: B with a border all around.
        height: of the feature.
        width: of the feature.

    >>> a, b = (with_border(np.full((1, 1, 1), x, np.uint8), before) for x, before in ((3, 0), (2, 1)))
    >>> [sums.tolist() for sums in sums_around_c_and_d(a, b, 2, 2)]
    [[[[5]]], [[[5]]]]
    """
    odd_rows, odd_columns = height // 2, width // 2
    rows, columns = height - odd_rows, width - odd_columns
    c = a[:, :rows, :odd_columns] + a[:, :rows, 1 : odd_columns + 1]
    c += b[:, :rows, 1 : odd_columns + 1]
    c += b[:, 1 : rows + 1, 1 : odd_columns + 1]
    d = a[:, :odd_rows, :columns] + a[:, 1 : odd_rows + 1, :columns]
    d += b[:, 1 : odd_rows + 1, :columns]
    d += b[:, 1 : odd_rows + 1, 1 : columns + 1]
    return c, d
