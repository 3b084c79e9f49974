"""Count the tables of a signed codec on real features, once, when a bundle is exported.

Channels are put into few kinds by the size of their levels; every kind, phase, activity and class could have
a table of its own, and each takes that of few which codes its symbols in the fewest bits. Tables that many
symbols were counted for hold for fresh pictures as well, and few tables are few calls of the entropy coder.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.manifest import CodecSpec
from siftfunnel.shared.wire.calibrate import check_features, measured_codec
from siftfunnel.shared.wire.context_tables import SILENT
from siftfunnel.shared.wire.kinds import encode_array
from siftfunnel.shared.wire.quantiser import check_steps
from siftfunnel.shared.wire.signed import (
    LEAST_SYMBOLS,
    LIMIT,
    MASK_CHANNELS,
    MASKS,
    MOST_SYMBOLS,
    SignedContexts,
    first_masks,
)
from siftfunnel.shared.wire.signed_levels import SignedScan
from siftfunnel.shared.wire.tables import counts_from_histogram

KINDS = 24
ACTIVITIES = 16
FLAG_TABLES, MASK_TABLES, LEVEL_TABLES = 4, 8, 8
BOUNDS = (1, 2, 3, 5, 8)
COUNT_BITS = 16
"""Of a table's sum: 256 masks take no more than a 256th of it for being possible."""
CEILING = 4
"""Times the mean payload."""
_PRIOR = 0.1
_ROUNDS = 12
_MEASURED = 300
_LEAST_CEILING = 64


def calibrate_signed(name: str, features_NCHW: NDArray[np.float32], step: float) -> CodecSpec:
    """A signed codec for features like these, with one step for all channels.

    Args:
        name: of the codec.
        features_NCHW: float32 features of some hundred pictures; channels best sorted by their variance.
        step: of the quantiser.

    Raises:
        ValueError: another rank or type, NaN or infinity, or every value always rounds to zero.
    """
    levels = _quantised(features_NCHW, step)
    count, channels = levels.shape[:2]
    active = levels.any(axis=(2, 3))
    flag_rows = np.stack([count - active.sum(axis=0), active.sum(axis=0)], axis=1)
    sent = flag_rows[:, 1] > 0
    if not sent.any():
        raise ValueError("every value rounds to zero under this step; there is nothing to send")
    symbols = min(MOST_SYMBOLS, max(LEAST_SYMBOLS, 2 * int(np.abs(levels).max())))
    kinds = _kinds(levels, flag_rows[:, 1])
    contexts = SignedContexts(BOUNDS, _activities(levels.reshape(count, channels, -1) != 0))
    flags = np.full(channels, SILENT, np.uint8)
    flag_tables, flags[sent] = cluster(np.pad(flag_rows[sent], ((0, 0), (0, symbols - 2))), FLAG_TABLES)
    masks, rows = _count(levels, kinds, symbols, contexts)
    level_tables, chosen = cluster(rows, LEVEL_TABLES)
    mask_tables, mask_chosen = cluster(masks, MASK_TABLES)
    counts = [counts_from_histogram(row, COUNT_BITS) for row in (*flag_tables, *level_tables)]
    mask_counts = [counts_from_histogram(row, COUNT_BITS) for row in mask_tables]
    parameters: dict[str, Any] = {
        "levels": symbols,
        "precision_bits": COUNT_BITS,
        "step": float(np.float32(step)),
        "tables": len(counts),
        "bounds": list(contexts.bounds),
        "activities": [list(bounds) for bounds in contexts.activities],
        "flags": encode_array(flags, "u1"),
        "kinds": encode_array(kinds, "u1"),
        "choices": encode_array(chosen + len(flag_tables), "u1"),
        "counts": encode_array(np.stack(counts), "<u2"),
        "mask_tables": len(mask_counts),
        "mask_choices": encode_array(mask_chosen, "u1"),
        "mask_counts": encode_array(np.stack(mask_counts), "<u2"),
    }
    return measured_codec(name, "signed", parameters, features_NCHW[:_MEASURED], CEILING, _LEAST_CEILING)


def cluster(histograms: NDArray[np.int64], most: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Share few tables among histograms so that together they cost few bits.

    Rows in the order of their mean symbol are cut into tables that hold as many symbols each; then each row
    goes to the table that codes it in the fewest bits, and tables are counted anew, until nothing changes.

    Args:
        histograms: (rows, symbols); a row that is all zero goes to any table.
        most: tables wanted at most.

    Returns:
        The tables' histograms, none of them empty, and for each row which of them it goes to.

    >>> tables, chosen = cluster(np.array([[90, 10], [900, 100], [10, 90]]), 2)
    >>> tables.tolist(), chosen.tolist()
    ([[990, 110], [10, 90]], [0, 0, 1])
    """
    totals = histograms.sum(axis=1)
    means = histograms @ np.arange(histograms.shape[1]) / np.maximum(totals, 1)
    chosen = _cut(means, np.sqrt(totals), most)
    for _ in range(_ROUNDS):
        tables = np.stack([histograms[chosen == table].sum(axis=0) for table in range(most)])
        tables = tables[tables.any(axis=1)]
        smoothed = tables + _PRIOR
        lengths = -np.log2(smoothed / smoothed.sum(axis=1, keepdims=True))
        before, chosen = chosen, np.argmin(histograms @ lengths.T, axis=1)
        if np.array_equal(before, chosen):
            break
    used = np.unique(chosen[totals > 0])
    tables = np.stack([histograms[chosen == table].sum(axis=0) for table in used])
    return tables, np.minimum(np.searchsorted(used, chosen), len(used) - 1).astype(np.uint8)


def _quantised(features_NCHW: NDArray[np.float32], step: float) -> NDArray[np.int32]:
    check_features(features_NCHW)
    divisor = np.float32(step)
    check_steps(np.array([divisor]))
    levels = np.clip(features_NCHW, -LIMIT * divisor, LIMIT * divisor)
    levels /= divisor
    rounded: NDArray[np.int32] = np.rint(levels, out=levels).astype(np.int32)
    return rounded


def _activities(lit: NDArray[np.bool_]) -> tuple[tuple[int, ...], ...]:
    """Bounds that cut what is seen of activities into parts of like number.

    Args:
        lit: (frames, channels, positions), where levels are not 0.
    """
    active = np.count_nonzero(lit.any(axis=2), axis=1)
    first, busy = [], []
    for frame, channels in zip(lit, active.tolist(), strict=True):
        told = frame.compress(frame.any(axis=1), axis=0)
        first.append(np.count_nonzero(told[: MASK_CHANNELS * first_masks(channels)], axis=0))
        busy.append(np.count_nonzero(told, axis=0))
    every = np.concatenate(busy)
    return tuple(_bounds(seen) for seen in (active, np.concatenate(first), every[every > 0]))


def _bounds(seen: NDArray[np.int64]) -> tuple[int, ...]:
    shares = np.arange(1, ACTIVITIES) / ACTIVITIES
    found = np.quantile(seen, shares, method="higher") if seen.size else np.zeros(ACTIVITIES - 1)
    bounds: list[int] = []
    for bound in found:
        bounds.append(max(int(bound), 1 + (bounds[-1] if bounds else 0)))
    return tuple(bounds)


def _count(
    levels: NDArray[np.int32], kinds: NDArray[np.uint8], symbols: int, contexts: SignedContexts
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How often each mask and each level's symbol stands in each context: (contexts, symbols)."""
    _, channels, height, width = levels.shape
    count, most = int(kinds.max()) + 1, np.int32(symbols // 2)
    scan = SignedScan(height, width, kinds.astype(np.intp), contexts, int(most))
    masks, found = [], []
    for frame in levels.reshape(len(levels), channels, -1).clip(-most, most).astype(np.int8):
        seen = scan.look(frame)
        masks.append(seen.mask_contexts * MASKS + scan.symbol_of_mask.take(seen.masks))
        found.append(seen.contexts * symbols + seen.symbols)
    return (
        _histograms(masks, math.prod((count, *contexts.of_masks)), MASKS),
        _histograms(found, math.prod((count, *contexts.of_levels)), symbols),
    )


def _histograms(found: list[NDArray[Any]], rows: int, symbols: int) -> NDArray[np.int64]:
    counted = np.bincount(np.concatenate(found), minlength=rows * symbols)
    return counted.astype(np.int64).reshape(rows, symbols)


def _kinds(levels: NDArray[np.int32], frames: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The kind of every channel by the mean magnitude of its levels in frames where it has any."""
    magnitudes = np.abs(levels).sum(axis=(0, 2, 3)) / np.maximum(frames, 1)
    return _cut(magnitudes, np.sqrt(magnitudes), KINDS).astype(np.uint8)


def _cut(values: NDArray[np.float64], weights: NDArray[np.float64], pieces: int) -> NDArray[np.intp]:
    """The piece of each value when they are sorted and cut into pieces of like weight."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    found = np.empty(len(values), np.intp)
    found[order] = np.minimum((reached - weights[order] / 2) / reached[-1] * pieces, pieces - 1)
    return found
