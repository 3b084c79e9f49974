"""The entropy coder of `siftfunnel.shared.wire.entropy` in plain Python, where `constriction` has no build.

Linux on ARM is such a place: a device can then send `q8` to `q4` all the same. Bytes are
identical in both directions, which the tests check against `constriction` itself. About a
microsecond per symbol instead of a hundredth of one.

The coder is range asymmetric numeral systems (Duda 2013, arXiv 1311.2540) with a 64-bit
state, 32-bit words and 24 bits of precision.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.stack import MORE_THAN_ONE, Reader, Runs

PRECISION_BITS = 24
WORD_BITS = 32
STATE_BITS = 64
_QUANTILE_MASK = (1 << PRECISION_BITS) - 1
_WORD_MASK = (1 << WORD_BITS) - 1
_WORD = np.dtype("<u4")


def left_edges(counts: NDArray[np.uint16]) -> list[int]:
    """Where each level begins in [0, 2**24), and 2**24 itself.

    Every level gets 1; the rest is shared in proportion, rounded down from the left.

    Args:
        counts: shape (levels,), adding up to a power of two.

    >>> left_edges(np.array([3, 1], dtype=np.uint16))
    [0, 12582911, 16777216]
    """
    listed = [int(count) for count in counts]
    total, spare = sum(listed), (1 << PRECISION_BITS) - len(listed)
    edges = [passed * spare // total + index for index, passed in enumerate(accumulate(listed, initial=0))]
    return edges


class PlainAnsTables:
    """See `siftfunnel.shared.wire.stack.StackTables`; plain Python does it.

    Args:
        counts: uint16, a row for each table, checked by `siftfunnel.shared.wire.tables`.
    """

    def __init__(self, counts: Sequence[NDArray[np.uint16]]) -> None:
        self._counts = counts

    @cached_property
    def _edges(self) -> list[list[int]]:
        return [left_edges(row) for row in self._counts]

    def write(self, symbols: NDArray[np.int32], runs: Runs, seed: int | None = None) -> bytes:
        """See `siftfunnel.shared.wire.stack.StackTables`.

        Raises:
            ValueError: a symbol that its table does not have.
        """
        words: list[int] = []
        # a one above the seed keeps its leading zeros
        state = 0 if seed is None else 1 << WORD_BITS | seed
        for table, start, end in reversed(runs):
            state = _push(symbols[start:end], self._edges[table], words, state)
        while state:
            words.append(state & _WORD_MASK)
            state >>= WORD_BITS
        return np.array(words, dtype=_WORD).tobytes()

    def read(self, body: bytes) -> Reader:
        """See `siftfunnel.shared.wire.stack.StackTables`."""
        return _PlainReader(self._edges, body)


def _push(symbols: NDArray[np.int32], edges: list[int], words: list[int], state: int) -> int:
    """The state after some symbols of one table; words that are full are appended."""
    if symbols.size and not 0 <= int(symbols.min()) <= int(symbols.max()) < len(edges) - 1:
        raise ValueError(f"levels must be 0 to {len(edges) - 2}")
    for symbol in reversed(symbols.tolist()):
        left = edges[symbol]
        probability = edges[symbol + 1] - left
        if state >> (STATE_BITS - PRECISION_BITS) >= probability:
            words.append(state & _WORD_MASK)
            state >>= WORD_BITS
        quotient, rest = divmod(state, probability)
        state = quotient << PRECISION_BITS | left + rest
    return state


class _PlainReader:
    def __init__(self, edges: list[list[int]], body: bytes) -> None:
        if len(body) % _WORD.itemsize:
            raise CodecError(
                f"body of {len(body)} bytes is not made of {_WORD.itemsize}-byte words: truncated"
            )
        self._edges = edges
        self._words: list[int] = np.frombuffer(body, dtype=_WORD).tolist()
        if self._words and self._words[-1] == 0:
            raise CodecError("body is not one that this coder writes (it ends in a word of zero)")
        self._state = self._words.pop() if self._words else 0
        if self._words:
            self._state = self._state << WORD_BITS | self._words.pop()

    def pop(self, runs: Runs) -> list[NDArray[np.int32]]:
        return [self._pop(self._edges[table], end - start) for table, start, end in runs]

    def finish(self, seeded: bool = False) -> int:
        if self._words or self._state >> WORD_BITS != int(seeded) or (self._state and not seeded):
            raise CodecError(MORE_THAN_ONE)
        return self._state & _WORD_MASK

    def _pop(self, edges: list[int], count: int) -> NDArray[np.int32]:
        words, state, found = self._words, self._state, []
        for _ in range(count):
            quantile = state & _QUANTILE_MASK
            symbol = bisect_right(edges, quantile) - 1
            left = edges[symbol]
            state = (state >> PRECISION_BITS) * (edges[symbol + 1] - left) + quantile - left
            if words and state >> WORD_BITS == 0:
                state = state << WORD_BITS | words.pop()
            found.append(symbol)
        self._state = state
        return np.array(found, dtype=np.int32)
