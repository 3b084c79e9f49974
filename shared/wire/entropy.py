"""Entropy coder: asymmetric numeral systems with static tables.

The coder is a stack: what is pushed last is popped first. `AnsTables.encode` and `decode` code one
table per channel; codecs that choose tables by context push and pop by themselves.

The coder is `constriction` 0.5.0, whose version is pinned: its `Categorical` takes floats and
requantises them to 24 bits, and what it makes of them is part of this format. Counts as
float64 that add up to a power of two and `perfect=False` make that a plain scaling, the same
on every machine; golden vectors in the tests watch over it.
"""

from functools import cached_property
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.wire.errors import CodecError
from shared.wire.plain_ans import MORE_THAN_ONE, PlainAnsTables

WORD_BYTES = 4
_WORDS_LITTLE_ENDIAN = np.dtype("<u4")


class Writer(Protocol):
    """A stack of symbols being filled."""

    def push(self, levels: NDArray[np.int32], table: int) -> None:
        """Push levels so that they are popped in their order, all under one table."""

    def finish(self) -> bytes:
        """What was pushed, as little-endian 32-bit words."""


class Reader(Protocol):
    """A stack of symbols being emptied."""

    def pop(self, table: int, count: int) -> NDArray[np.int32]:
        """The next levels, all under one table.

        Raises:
            CodecError: not what a writer wrote.
        """

    def finish(self, seeded: bool = False) -> int:
        """Check that nothing is left but the seed, and give it; 0 where there was none.

        Raises:
            CodecError: something else is left.
        """


class Tables(Protocol):
    """Static tables that writers and readers share."""

    def write(self, seed: int | None = None) -> Writer:
        """A stack to push to: empty, or with a 32-bit number at its bottom.

        Under the first symbols an empty coder loses some three bytes; one that begins with a number
        that has to be sent anyway loses none.
        """

    def read(self, body: bytes) -> Reader:
        """A stack to pop from.

        Raises:
            CodecError: not whole words, or not what a writer wrote.
        """

    def encode(self, levels: NDArray[np.int32]) -> bytes:
        """Write levels, shape (tables, n), each row under its table, as little-endian 32-bit words."""

    def decode(self, body: bytes, symbols_per_table: int) -> NDArray[np.int32]:
        """Read levels, shape (tables, symbols_per_table).

        Every body decodes to some levels; only what `encode` wrote leaves the coder empty,
        and that is checked.

        Raises:
            CodecError: not whole words, or not what `encode` writes.
        """


def make_tables(counts: NDArray[np.uint16]) -> Tables:
    """The fast coder, or the plain one where `constriction` has no build; both write the same bytes."""
    return PlainAnsTables(counts) if find_spec("constriction") is None else AnsTables(counts)


class AnsTables:
    """Codes levels with the tables.

    Args:
        counts: uint16, shape (tables, levels), checked by `shared.wire.tables`.
    """

    def __init__(self, counts: NDArray[np.uint16]) -> None:
        self._counts = counts

    @cached_property
    def _models(self) -> list[Any]:
        # built on first use: a party that only lists bundles never pays for it
        from constriction import stream

        return [stream.model.Categorical(row, perfect=False) for row in self._counts.astype(np.float64)]

    def write(self, seed: int | None = None) -> Writer:
        """See `Tables`."""
        return _AnsWriter(self._models, seed)

    def read(self, body: bytes) -> Reader:
        """See `Tables`."""
        return _AnsReader(self._models, body)

    def encode(self, levels: NDArray[np.int32]) -> bytes:
        """See `Tables`."""
        writer = self.write()
        # a stack gives back last what was pushed first
        for table in reversed(range(len(levels))):
            writer.push(levels[table], table)
        return writer.finish()

    def decode(self, body: bytes, symbols_per_table: int) -> NDArray[np.int32]:
        """See `Tables`."""
        reader = self.read(body)
        levels = np.empty((len(self._counts), symbols_per_table), dtype=np.int32)
        for table, row in enumerate(levels):
            row[:] = reader.pop(table, symbols_per_table)
        reader.finish()
        return levels


class _AnsWriter:
    def __init__(self, models: list[Any], seed: int | None) -> None:
        from constriction import stream

        self._models = models
        if seed is None:
            self._coder = stream.stack.AnsCoder()
        else:
            # a one above the seed keeps its leading zeros
            self._coder = stream.stack.AnsCoder(np.array([seed], np.uint32), seal=True)

    def push(self, levels: NDArray[np.int32], table: int) -> None:
        self._coder.encode_reverse(levels, self._models[table])

    def finish(self) -> bytes:
        return bytes(self._coder.get_compressed().astype(_WORDS_LITTLE_ENDIAN).tobytes())


class _AnsReader:
    def __init__(self, models: list[Any], body: bytes) -> None:
        from constriction import stream

        if len(body) % WORD_BYTES:
            raise CodecError(f"body of {len(body)} bytes is not made of {WORD_BYTES}-byte words: truncated")
        self._models = models
        words = np.frombuffer(body, dtype=_WORDS_LITTLE_ENDIAN).astype(np.uint32)
        try:
            self._coder = stream.stack.AnsCoder(words)
        except ValueError as error:
            raise _not_ours(error) from None

    def pop(self, table: int, count: int) -> NDArray[np.int32]:
        try:
            levels: NDArray[np.int32] = self._coder.decode(self._models[table], count)
        except ValueError as error:
            raise _not_ours(error) from None
        return levels

    def finish(self, seeded: bool = False) -> int:
        if not seeded:
            if not self._coder.is_empty():
                raise CodecError(MORE_THAN_ONE)
            return 0
        left = self._coder.get_compressed()
        if len(left) != 2 or left[1] != 1:
            raise CodecError(MORE_THAN_ONE)
        return int(left[0])


def _not_ours(error: ValueError) -> CodecError:
    return CodecError(f"body is not one that this coder writes ({error})")
