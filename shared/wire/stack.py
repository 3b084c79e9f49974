"""What the fast and the plain entropy coder share: a stack of symbols under static tables."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Runs = list[tuple[int, int, int]]
"""Stretches of symbols under one table: table, start, end."""

MORE_THAN_ONE = "body holds more than one feature tensor"


class Writer(Protocol):
    """A stack of symbols being filled."""

    def push(self, levels: NDArray[np.int32], table: int) -> None:
        """Push levels so that they are popped in their order, all under one table."""

    def push_runs(self, levels: NDArray[np.int32], runs: Runs) -> None:
        """Push stretches of levels, each under its table; they are popped in the order of the list."""

    def finish(self) -> bytes:
        """What was pushed, as little-endian 32-bit words."""


class Reader(Protocol):
    """A stack of symbols being emptied."""

    def pop(self, table: int, count: int) -> NDArray[np.int32]:
        """The next levels, all under one table.

        Raises:
            CodecError: not what a writer wrote.
        """

    def pop_runs(self, runs: Runs) -> list[NDArray[np.int32]]:
        """The levels of each stretch, where only their lengths matter.

        Raises:
            CodecError: not what a writer wrote.
        """

    def finish(self, seeded: bool = False) -> int:
        """Check that nothing is left but the seed, and give it; 0 where there was none.

        Raises:
            CodecError: something else is left.
        """


class StackTables(ABC):
    """Static tables that writers and readers share.

    Args:
        counts: uint16, a row for each table, checked by `siftfunnel.shared.wire.tables`.
    """

    def __init__(self, counts: Sequence[NDArray[np.uint16]]) -> None:
        self._counts = counts

    @abstractmethod
    def write(self, seed: int | None = None) -> Writer:
        """A stack to push to: empty, or with a 32-bit number at its bottom.

        Under the first symbols an empty coder loses some three bytes; one that begins with a number
        that has to be sent anyway loses none.
        """

    @abstractmethod
    def read(self, body: bytes) -> Reader:
        """A stack to pop from.

        Raises:
            CodecError: not whole words, or not what a writer wrote.
        """

    def encode(self, levels: NDArray[np.int32]) -> bytes:
        """Write levels, shape (tables, n), each row under its table, as little-endian 32-bit words."""
        writer = self.write()
        # a stack gives back last what was pushed first
        for table in reversed(range(len(levels))):
            writer.push(levels[table], table)
        return writer.finish()

    def decode(self, body: bytes, symbols_per_table: int) -> NDArray[np.int32]:
        """Read levels, shape (tables, symbols_per_table).

        Every body decodes to some levels; only what `encode` wrote leaves the coder empty,
        and that is checked.

        Raises:
            CodecError: not whole words, or not what `encode` writes.
        """
        reader = self.read(body)
        levels = np.empty((len(self._counts), symbols_per_table), dtype=np.int32)
        for table, row in enumerate(levels):
            row[:] = reader.pop(table, symbols_per_table)
        reader.finish()
        return levels
