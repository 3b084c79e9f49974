"""Entropy coder: asymmetric numeral systems with one static table per channel.

The coder is `constriction` 0.5.0, whose version is pinned: its `Categorical` takes floats and
requantises them to 24 bits, and what it makes of them is part of this format. Counts as
float64 that add up to a power of two and `perfect=False` make that a plain scaling, the same
on every machine; golden vectors in the tests watch over it.
"""

from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.wire.errors import CodecError
from shared.wire.plain_ans import PlainAnsTables

WORD_BYTES = 4
_WORDS_LITTLE_ENDIAN = np.dtype("<u4")


def make_tables(counts: NDArray[np.uint16]) -> "AnsTables | PlainAnsTables":
    """The fast coder, or the plain one where `constriction` has no build; both write the same bytes."""
    return PlainAnsTables(counts) if find_spec("constriction") is None else AnsTables(counts)


class AnsTables:
    """Codes levels with the channels' tables.

    Args:
        counts: uint16, shape (channels, levels), checked by `shared.wire.tables`.
    """

    def __init__(self, counts: NDArray[np.uint16]) -> None:
        self._counts = counts

    @cached_property
    def _models(self) -> list[Any]:
        # built on first use: a party that only lists bundles never pays for it
        from constriction import stream

        return [stream.model.Categorical(row, perfect=False) for row in self._counts.astype(np.float64)]

    def encode(self, levels: NDArray[np.int32]) -> bytes:
        """Write levels, shape (channels, n), as little-endian 32-bit words."""
        from constriction import stream

        coder = stream.stack.AnsCoder()
        # a stack gives back last what was pushed first
        for row, model in zip(levels[::-1], reversed(self._models), strict=True):
            coder.encode_reverse(row, model)
        return bytes(coder.get_compressed().astype(_WORDS_LITTLE_ENDIAN).tobytes())

    def decode(self, body: bytes, symbols_per_channel: int) -> NDArray[np.int32]:
        """Read levels, shape (channels, symbols_per_channel).

        Every body decodes to some levels; only what `encode` wrote leaves the coder empty,
        and that is checked.

        Raises:
            CodecError: not whole words, or not what `encode` writes.
        """
        from constriction import stream

        if len(body) % WORD_BYTES:
            raise CodecError(f"body of {len(body)} bytes is not made of {WORD_BYTES}-byte words: truncated")
        words = np.frombuffer(body, dtype=_WORDS_LITTLE_ENDIAN).astype(np.uint32)
        levels = np.empty((len(self._models), symbols_per_channel), dtype=np.int32)
        try:
            coder = stream.stack.AnsCoder(words)
            for row, model in zip(levels, self._models, strict=True):
                row[:] = coder.decode(model, symbols_per_channel)
        except ValueError as error:
            raise CodecError(f"body is not one that this coder writes ({error})") from None
        if not coder.is_empty():
            raise CodecError("body holds more than one feature tensor")
        return levels
