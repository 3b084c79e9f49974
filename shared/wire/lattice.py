"""The order in which a feature's positions are coded, and the context that earlier ones give later ones.

    A C A C      phase 0 (A): even rows, even columns     no context
    C B C B      phase 1 (B): odd rows, odd columns       the sum of the four diagonal neighbours, all A
    A C A C      phase 2 (C): the rest                    the sum of the four nearest neighbours, A and B
    C B C B

A neighbour outside the feature counts as level 0. A sum of levels is put into one of few classes;
both sides have the levels themselves, so that the class is the same on every machine. Coding in
phases instead of position by position lets numpy do it: three passes for any size.
"""

import numpy as np
from numpy.typing import NDArray

PHASES = 3
CLASS_BOUNDS = (1, 2, 3, 5, 9)
"""The least sum of each class after the first: 0 | 1 | 2 | 3, 4 | 5 to 8 | 9 and more."""
CLASSES = len(CLASS_BOUNDS) + 1


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


def phase_positions(channels: int, height: int, width: int) -> tuple[NDArray[np.intp], ...]:
    """Where each phase's symbols lie in a padded array laid out flat, in the order of `context_sums`.

    Padded is (channels, height + 2, width + 2), with a border of zeros that stands for what lies outside.

    >>> [list(positions) for positions in phase_positions(1, 2, 2)]
    [[5], [10], [6, 9]]
    """
    places = np.arange(channels * (height + 2) * (width + 2)).reshape(channels, height + 2, width + 2)
    inside = places[:, 1:-1, 1:-1]
    return (
        inside[:, ::2, ::2].ravel(),
        inside[:, 1::2, 1::2].ravel(),
        np.concatenate((inside[:, ::2, 1::2].ravel(), inside[:, 1::2, ::2].ravel())),
    )


def context_sums(padded: NDArray[np.int32], phase: int) -> tuple[NDArray[np.int32], ...]:
    """Sums of the levels that the symbols of phase 1 or 2 have as context.

    Args:
        padded: int32, (channels, height + 2, width + 2), the border 0; phases before this one are filled in.
        phase: 1 or 2.

    Returns:
        For each of the phase's parts (one, or two: even rows, then odd rows) the sums, as (channels, rows,
        columns).

    >>> context_sums(np.pad(np.full((1, 2, 2), 3, np.int32), ((0, 0), (1, 1), (1, 1))), 1)[0].tolist()
    [[[3]]]
    """
    height, width = padded.shape[1] - 2, padded.shape[2] - 2
    odd_rows, odd_columns = height // 2, width // 2
    even_rows, even_columns = height - odd_rows, width - odd_columns

    def every_other(row: int, rows: int, column: int, columns: int) -> NDArray[np.int32]:
        return padded[:, row : row + 2 * rows : 2, column : column + 2 * columns : 2]

    if phase == 1:
        size = (odd_rows, odd_columns)
        corners = [every_other(row, size[0], column, size[1]) for row in (1, 3) for column in (1, 3)]
        return (corners[0] + corners[1] + corners[2] + corners[3],)
    # an even row and an odd column, then the other way round; the position lies at (row + 1, column + 1)
    made = []
    for row, rows, column, columns in ((0, even_rows, 1, odd_columns), (1, odd_rows, 0, even_columns)):
        above, below = (every_other(row + step, rows, column + 1, columns) for step in (0, 2))
        left, right = (every_other(row + 1, rows, column + step, columns) for step in (0, 2))
        made.append(above + below + left + right)
    return tuple(made)
