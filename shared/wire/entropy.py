"""Entropy coder: asymmetric numeral systems with static tables.

The coder is `constriction` 0.5.0, whose version is pinned: its `Categorical` takes floats and
requantises them to 24 bits, and what it makes of them is part of this format. Counts as
float64 that add up to a power of two and `perfect=False` make that a plain scaling, the same
on every machine; golden vectors in the tests watch over it.
"""

from collections.abc import Sequence
from functools import cache, cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.plain_ans import PlainAnsTables
from siftfunnel.shared.wire.stack import MORE_THAN_ONE, Reader, Runs, StackTables
from siftfunnel.shared.wire.tables import entropy_bits

WORD_BYTES = 4
SHORT_WALK_BITS = 2.3
"""Entropy up to which a table that is walked through decodes faster: in half the time near one bit."""
_WORDS_LITTLE_ENDIAN = np.dtype("<u4")


def make_tables(counts: Sequence[NDArray[np.uint16]]) -> StackTables:
    """The fast coder, or the plain one where `constriction` has no build; both write the same bytes."""
    return PlainAnsTables(counts) if find_spec("constriction") is None else AnsTables(counts)


class AnsTables:
    """See `StackTables`; `constriction` does it.

    Args:
        counts: uint16, a row for each table, checked by `siftfunnel.shared.wire.tables`.
    """

    def __init__(self, counts: Sequence[NDArray[np.uint16]]) -> None:
        self._counts = counts

    # built on first use: a party that only lists bundles never pays for it, nor one side for the other's
    @cached_property
    def _writing(self) -> list[Any]:
        return [_stream().model.Categorical(row.astype(np.float64), perfect=False) for row in self._counts]

    @cached_property
    def _reading(self) -> list[Any]:
        # the same tables; a lazy one looks a level up by walking from 0, the others by halving
        return [
            _stream().model.Categorical(
                row.astype(np.float64), perfect=False, lazy=bool(bits <= SHORT_WALK_BITS)
            )
            for row, bits in ((row, entropy_bits(np.maximum(row, 1)[None])[0]) for row in self._counts)
        ]

    def write(self, symbols: NDArray[np.int32], runs: Runs, seed: int | None = None) -> bytes:
        """See `StackTables`."""
        coder = _stream().stack.AnsCoder
        # a one above the seed keeps its leading zeros
        stack = coder() if seed is None else coder(np.array([seed], np.uint32), seal=True)
        push, models = stack.encode_reverse, self._writing
        for table, start, end in reversed(runs):
            push(symbols[start:end], models[table])
        return bytes(stack.get_compressed().astype(_WORDS_LITTLE_ENDIAN).tobytes())

    def read(self, body: bytes) -> Reader:
        """See `StackTables`."""
        return _AnsReader(self._reading, body)


class _AnsReader:
    def __init__(self, models: list[Any], body: bytes) -> None:
        if len(body) % WORD_BYTES:
            raise CodecError(f"body of {len(body)} bytes is not made of {WORD_BYTES}-byte words: truncated")
        self._models = models
        words = np.frombuffer(body, dtype=_WORDS_LITTLE_ENDIAN).astype(np.uint32)
        try:
            self._coder = _stream().stack.AnsCoder(words)
        except ValueError as error:
            raise _not_ours(error) from None

    def pop(self, runs: Runs) -> list[NDArray[np.int32]]:
        pop, models = self._coder.decode, self._models
        try:
            return [pop(models[table], end - start) for table, start, end in runs]
        except ValueError as error:
            raise _not_ours(error) from None

    def finish(self, seeded: bool = False) -> int:
        if not seeded:
            if not self._coder.is_empty():
                raise CodecError(MORE_THAN_ONE)
            return 0
        left = self._coder.get_compressed()
        if len(left) != 2 or left[1] != 1:
            raise CodecError(MORE_THAN_ONE)
        return int(left[0])


@cache
def _stream() -> Any:
    # on first use: a party without a codec that needs it never loads it
    from constriction import stream

    return stream


def _not_ours(error: ValueError) -> CodecError:
    return CodecError(f"body is not one that this coder writes ({error})")
