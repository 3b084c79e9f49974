"""The features of one batch, in one array that a worker keeps from batch to batch."""

import numpy as np
from numpy.typing import NDArray


class Rows:
    """Collects feature tensors into one array [N, C, H, W]; for one thread.

    A lone frame is viewed where its codec left it; every other one is copied once, into its row.

    Args:
        limit: most frames of a batch.

    Example:
        >>> rows = Rows(2)
        >>> rows.begin(2)
        >>> rows.add(np.zeros((3, 4, 4), np.float32)), rows.add(np.ones((3, 4, 4), np.float32))
        (0, 1)
        >>> rows.batch_NCHW(0, 2).shape
        (2, 3, 4, 4)
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._alone = False
        self._count = 0
        self._array: NDArray[np.float32] | None = None
        self._lone: NDArray[np.float32] | None = None

    def begin(self, expected: int) -> None:
        """Forget the last batch; at most `expected` frames will be added."""
        self._count, self._alone, self._lone = 0, expected == 1, None

    def add(self, features_CHW: NDArray[np.float32]) -> int:
        """Take a frame's features, float32 and contiguous; the number of its row."""
        row = self._count
        self._count += 1
        if self._alone:
            self._lone = features_CHW
            return row
        if self._array is None:
            self._array = np.empty((self._limit, *features_CHW.shape), np.float32)
            self._bytes = self._array.data.cast("B")
        size = features_CHW.nbytes
        # numpy's own copy would give up the interpreter's lock, and a worker wait to get it back
        self._bytes[row * size : (row + 1) * size] = features_CHW.data.cast("B")
        return row

    def batch_NCHW(self, start: int, stop: int) -> NDArray[np.float32]:
        """The rows from `start` until before `stop`, contiguous, valid until the next `begin`."""
        if self._lone is not None:
            return self._lone[np.newaxis]
        assert self._array is not None
        return self._array[start:stop]
