"""Levels coded in the phases of a lattice, each symbol under a table that its channel and context choose.

A feature that was trained for its rate is mostly zeros, and where it is not, neighbours know of one
another: a table per channel costs a fifth more than tables chosen by context. A channel that is all zeros
is told by one symbol. Tables are few, so that symbols of one table go through the entropy coder together.

A payload never exceeds its ceiling. What would is sent coarser: with steps twice as large, then four times
and so on, until it fits; the last resort is nothing but zeros, which always fits. How coarse is the first
symbol.

The checksum is no appendix: an entropy coder that begins with nothing loses some three bytes, one that begins
with the checksum loses none. It is therefore taken over the levels, and what is left in the coder when
all levels are read must be it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.manifest import FeatureSpec
from siftfunnel.shared.wire.entropy import WORD_BYTES, make_tables
from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.lattice import MOST_LEVELS, Contexts
from siftfunnel.shared.wire.lattice_levels import Layout, Levels, make_levels
from siftfunnel.shared.wire.quantiser import LEAST_STEP, MOST_STEP, Quantiser
from siftfunnel.shared.wire.seal import CHECKSUM_DIFFERS, SEAL_BYTES
from siftfunnel.shared.wire.signed import DIGIT_VALUES, LIMIT, SignedContexts
from siftfunnel.shared.wire.signed_levels import SignedLayout, make_signed_levels
from siftfunnel.shared.wire.stack import Runs

SILENT = 255
LEAST_LEVELS = 4
"""How coarse is coded under as many levels as everything else: fewer could not say it."""
MAX_TABLES = 84
"""Three phases' tables are told apart by one byte."""

Checksum = Callable[[bytes], int]
"""32 bits over bundle, codec and some bytes: `siftfunnel.shared.wire.seal.Seal.checksum`."""

_FITS_ALWAYS: Checksum = lambda _: (1 << 32) - 1  # noqa: E731 - the longest checksum there is
_Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class LatticeTables:
    """What the manifest entry of a lattice or signed codec says of its tables.

    Attributes:
        flags: uint8, (channels,): the table of the symbol that says whether a channel is sent, 0 or 1; 255
            for a channel that never is.
        kinds: intp, (channels,): the row of `choices` of each channel.
        choices: uint8, (kinds, phases, places, classes), of a signed codec (kinds, activities, classes): the
            table of each level of a channel that is sent.
        counts: uint16, (tables, levels), checked by `siftfunnel.shared.wire.tables`.
        most_bytes: the ceiling of a payload.
        mean_bytes: the mean payload on the features that the tables were counted on.

    Raises:
        ValueError: a table that there is none of, no channel that is sent.
    """

    flags: _Bytes
    kinds: NDArray[np.intp]
    choices: _Bytes
    counts: NDArray[np.uint16]
    most_bytes: int
    mean_bytes: float

    def __post_init__(self) -> None:
        if not 1 <= len(self.counts) <= MAX_TABLES:
            raise ValueError(f"a lattice codec has 1 to {MAX_TABLES} tables, not {len(self.counts)}")
        sent = self.flags != SILENT
        if not sent.any():
            raise ValueError("flags leave every channel silent")
        if self.kinds.max() >= len(self.choices):
            raise ValueError(f"kinds name kind {self.kinds.max()}; there are {len(self.choices)}")
        for name, tables in (("flags", self.flags[sent]), ("choices", self.choices[self.kinds[sent]])):
            if tables.max() >= len(self.counts):
                raise ValueError(f"{name} name table {tables.max()}; there are {len(self.counts)}")

    @property
    def sent(self) -> NDArray[np.intp]:
        """The channels that are ever sent, those whose flags have one table side by side."""
        sent = np.flatnonzero(self.flags != SILENT)
        return sent[np.argsort(self.flags[sent], kind="stable")]


def lattice_body(
    feature: FeatureSpec, quantiser: Quantiser, contexts: Contexts, tables: LatticeTables
) -> "LatticeBody":
    """The body of a lattice codec.

    Raises:
        ValueError: levels that do not begin at zero, too few or too many; see `LatticeBody`.
    """
    if quantiser.zero_levels.any() or not LEAST_LEVELS <= quantiser.levels <= MOST_LEVELS:
        raise ValueError(
            f"a lattice codec's levels begin at zero and are {LEAST_LEVELS} to {MOST_LEVELS} in number"
        )
    sent = tables.sent
    levels = make_levels(
        Layout(
            channels=feature.channels,
            height=feature.height,
            width=feature.width,
            levels=quantiser.levels,
            sent=sent,
            steps=quantiser.steps[sent],
            contexts=contexts,
            choices=tables.choices[tables.kinds[sent]],
            tables=len(tables.counts),
        )
    )
    return LatticeBody(
        feature, levels, quantiser.levels - 1, tables, f"{quantiser.levels} levels, one step per channel"
    )


def signed_body(
    feature: FeatureSpec,
    step: np.float32,
    contexts: SignedContexts,
    tables: LatticeTables,
    mask_choices: _Bytes,
    mask_counts: NDArray[np.uint16],
) -> "LatticeBody":
    """The body of a signed codec.

    Args:
        feature: what is sent.
        step: of all channels.
        contexts: what a symbol's table is chosen by.
        tables: of flags and levels.
        mask_choices: uint8, (kinds, stages, activities): the table of each mask.
        mask_counts: uint16, (tables, 256), checked by `siftfunnel.shared.wire.tables`.

    Raises:
        ValueError: a step out of range, an odd number of levels, too few or too many, a table of masks that
            there is none of; see `LatticeBody`.
    """
    if mask_choices.max() >= len(mask_counts):
        raise ValueError(f"mask_choices name table {mask_choices.max()}; there are {len(mask_counts)}")
    if not LEAST_STEP <= step <= MOST_STEP:
        raise ValueError(f"step must lie in [{LEAST_STEP}, {MOST_STEP}]")
    sent = tables.sent
    levels = make_signed_levels(
        SignedLayout(
            channels=feature.channels,
            height=feature.height,
            width=feature.width,
            levels=tables.counts.shape[1],
            sent=sent,
            step=step,
            contexts=contexts,
            kinds=tables.kinds[sent],
            choices=tables.choices,
            tables=len(tables.counts),
            mask_choices=mask_choices,
            mask_tables=len(mask_counts),
        )
    )
    precision = f"signed levels of {step:.4g} in all channels"
    return LatticeBody(feature, levels, LIMIT, tables, precision, mask_counts)


class LatticeBody:
    """A whole payload, checksum included; otherwise as `siftfunnel.shared.wire.bodies.Body`.

    ``more`` are rows of further tables that ``levels`` asks for, behind those of how coarse and of digits.
    """

    def __init__(
        self,
        feature: FeatureSpec,
        levels: Levels,
        most_level: int,
        tables: LatticeTables,
        precision: str,
        more: Iterable[NDArray[np.uint16]] = (),
    ) -> None:
        self._shape = (feature.channels, feature.height * feature.width)
        self._levels = levels
        sent = tables.sent
        self._flag_runs = _runs(tables.flags[sent], start=1)
        self._mode_table = len(tables.counts)
        self._head_runs = [(self._mode_table, 0, 1), *self._flag_runs]
        # the largest level, halved that often, rounds to 0
        self._coarsest = (2 * most_level).bit_length()
        self._coder = make_tables([*_with_modes_and_digits(tables.counts, self._coarsest), *more])
        # the checksum and the one above it
        self.least_bytes = SEAL_BYTES + 1
        self.most_bytes = tables.most_bytes
        self.expected_bytes = tables.mean_bytes
        self.precision = (
            f"{precision}, {len(tables.counts)} tables by context, ANS; "
            f"{len(sent)} of {feature.channels} channels are ever sent"
        )
        needed = len(self._write(np.zeros(self._shape, np.float32), self._coarsest, _FITS_ALWAYS))
        if needed > tables.most_bytes:
            raise ValueError(f"most_bytes is {tables.most_bytes}, but a feature of zeros takes {needed}")

    def write(self, features: NDArray[np.float32], checksum: Checksum) -> bytes:
        """Encode finite float32 values, shape (channels, height * width), coarser where the ceiling asks."""
        for coarser in range(self._coarsest + 1):
            body = self._write(features, coarser, checksum)
            if len(body) <= self.most_bytes:
                return body
        raise AssertionError("zeros fit: the constructor saw to it")

    def read(self, body: bytes, checksum: Checksum) -> NDArray[np.float32]:
        """Decode, same shape; the caller has checked the length.

        Raises:
            CodecError: not a payload that `write` makes with this checksum.
        """
        if body.endswith(b"\0"):
            raise CodecError("body is not one that this coder writes (it ends in a byte of zero)")
        reader = self._coder.read(body + b"\0" * (-len(body) % WORD_BYTES))
        coarser = int(reader.pop(self._mode_table, 1)[0])
        if coarser > self._coarsest:
            raise CodecError(f"body says {coarser} times coarser; {self._coarsest} is the most")
        flags = np.concatenate(reader.pop_runs(self._flag_runs))
        if flags.max() > 1:
            raise CodecError("body says neither that a channel is sent nor that it is not")
        filling = self._levels.begin(flags.astype(np.uint8).tobytes())
        while filling.runs is not None:
            filling.fill(reader.pop_runs(filling.runs))
        told, features = filling.finish(coarser)
        if reader.finish(seeded=True) != checksum(told):
            raise CodecError(CHECKSUM_DIFFERS)
        return features

    def _write(self, features: NDArray[np.float32], coarser: int, checksum: Checksum) -> bytes:
        told, symbols, runs = self._levels.sort(features, coarser)
        writer = self._coder.write(checksum(told))
        # a stack gives back last what was pushed first
        writer.push_runs(symbols, self._head_runs + runs)
        # the last word's high bytes are zero as often as not
        return writer.finish().rstrip(b"\0")


def _runs(flags: _Bytes, start: int) -> Runs:
    """Stretches of equal values: value, start, end; counted from ``start``."""
    edges = [0, *(np.flatnonzero(np.diff(flags)) + 1).tolist(), len(flags)]
    return [(int(flags[low]), start + low, start + high) for low, high in pairwise(edges)]


def _with_modes_and_digits(counts: NDArray[np.uint16], coarsest: int) -> NDArray[np.uint16]:
    """The tables, one for how coarse (not at all, nearly always) and one for digits, all alike."""
    total = int(counts[0].sum(dtype=np.int64))
    modes, digits = np.zeros((2, counts.shape[1]), np.uint16)
    modes[: coarsest + 1] = 1
    modes[0] = total - coarsest
    if len(digits) < DIGIT_VALUES:
        return np.vstack((counts, modes))
    digits[:DIGIT_VALUES] = total // DIGIT_VALUES
    return np.vstack((counts, modes, digits))
