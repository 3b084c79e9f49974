"""What the fast and the plain entropy coder share: a stack of symbols under static tables.

What is pushed last is popped first; both coders take and give symbols in the order in which they are popped.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Runs = list[tuple[int, int, int]]
"""Stretches of symbols under one table: table, start, end."""

MORE_THAN_ONE = "body holds more than one feature tensor"


class Reader(Protocol):
    """A stack of symbols being emptied."""

    def pop(self, runs: Runs) -> list[NDArray[np.int32]]:
        """The next symbols of each stretch, where only the stretches' lengths matter.

        Raises:
            CodecError: not what `StackTables.write` wrote.
        """

    def finish(self, seeded: bool = False) -> int:
        """Check that nothing is left but the seed, and give it; 0 where there was none.

        Every body pops as some symbols; only what was written leaves the stack empty.

        Raises:
            CodecError: something else is left.
        """


class StackTables(Protocol):
    """Static tables, a row of counts each, that both ways share."""

    def write(self, symbols: NDArray[np.int32], runs: Runs, seed: int | None = None) -> bytes:
        """Stretches of symbols, each under its table, as little-endian 32-bit words.

        Args:
            symbols: all of them.
            runs: which are under which table; popped in this order.
            seed: a 32-bit number to begin with. Under its first symbols an empty coder loses some three
                bytes; one that begins with a number that has to be sent anyway loses none.
        """

    def read(self, body: bytes) -> Reader:
        """A stack to pop from.

        Raises:
            CodecError: not whole words, or not what `write` wrote.
        """


def one_run_each(tables: int, symbols: int) -> Runs:
    """As many symbols under each of some tables, one table after the other.

    >>> one_run_each(2, 5)
    [(0, 0, 5), (1, 5, 10)]
    """
    return [(table, table * symbols, (table + 1) * symbols) for table in range(tables)]
