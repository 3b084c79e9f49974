"""What quantised levels are to the body that codes them: symbols under tables, stage after stage.

The tables of a stage are chosen by what the stages before have told. Within a stage symbols are coded sorted
by their table, each table's in coding order, so that few calls of the entropy coder do.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.wire.stack import Runs

Pop = Callable[[Runs], list[NDArray[np.int32]]]
"""Gives the symbols of each stretch: `siftfunnel.shared.wire.stack.Reader.pop`."""


class Sorted(NamedTuple):
    """A feature's symbols.

    Attributes:
        told: what the checksum is taken over: how coarse, flags, and what each stage tells in coding order.
        symbols: int32, in the order in which they are popped: how coarse, flags, those of each stage.
        runs: stretches of the stages' among them.
    """

    told: bytes
    symbols: NDArray[np.int32]
    runs: Runs


class Levels(Protocol):
    """Sorts features into symbols, and fills features from them."""

    def sort(self, features: NDArray[np.float32], coarser: int) -> Sorted:
        """Quantise finite features, (channels, height * width), with steps 2 ** coarser times as large."""

    def fill(self, flags: bytes, coarser: int, pop: Pop) -> tuple[bytes, NDArray[np.float32]]:
        """What the checksum is taken over, as `Sorted.told`, and the features, (channels, height * width).

        Args:
            flags: 0 or 1 for each channel that is ever sent: whether it has levels.
            coarser: as in `sort`.
            pop: asked for the symbols of each stage that has any.

        Raises:
            CodecError: symbols that `sort` does not make.
        """


class Stage(NamedTuple):
    """The symbols of one stage in coding order.

    Attributes:
        tables: uint8, of each symbol.
        symbols: uint8.
        told: uint8, what the checksum is taken over.
    """

    tables: NDArray[np.uint8]
    symbols: NDArray[np.uint8]
    told: NDArray[np.uint8]


def sort_stages(coarser: int, flags: NDArray[np.bool_], stages: Sequence[Stage]) -> Sorted:
    """Sort the symbols of every stage by their table, behind how coarse and the flags."""
    head = np.append(np.uint8(coarser), flags.view(np.uint8))
    parts, runs, start = [head], [], len(head)
    for stage in stages:
        parts.append(stage.symbols.take(stage.tables.argsort(kind="stable")))
        runs += stretches(stage.tables, start)
        start += len(stage.symbols)
    told = b"".join((head.tobytes(), *(stage.told.tobytes() for stage in stages)))
    return Sorted(told, np.concatenate(parts, dtype=np.int32), runs)


def popped(tables: NDArray[np.uint8], pop: Pop) -> NDArray[np.uint8]:
    """The symbols of a stage in coding order, by the table of each."""
    symbols = np.empty(len(tables), np.uint8)
    if len(tables):
        symbols[tables.argsort(kind="stable")] = np.concatenate(pop(stretches(tables, 0)))
    return symbols


def stretches(tables: NDArray[np.uint8], start: int) -> Runs:
    """Table, start and end of each stretch when symbols are sorted by their tables.

    >>> stretches(np.array([2, 0, 2], np.uint8), 10)
    [(0, 10, 11), (2, 11, 13)]
    """
    runs = []
    for table, count in enumerate(np.bincount(tables).tolist()):
        if count:
            runs.append((table, start, start + count))
            start += count
    return runs
