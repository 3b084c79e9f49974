"""The order in which a feature's positions are coded, and the context that earlier ones give later ones.

    A C A C      phase 0 (A): even rows, even columns          no context
    C B C B      phase 1 (B): odd rows, odd columns            the sum of the four diagonal neighbours, all A
    A C A C      phase 2 (C): the rest                         the sum of the four nearest neighbours, A and B
    C B C B

A neighbour outside the feature counts as level 0. A sum of levels is put into one of few classes; both sides have
the levels themselves, so that the class is the same on every machine.
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
