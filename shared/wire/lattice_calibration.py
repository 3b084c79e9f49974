"""Count the tables of a lattice codec on real features, once, when a bundle is exported.

Every channel, phase, place and class could have a table of its own; most would be alike. Tables are merged,
the pair first whose merging costs the fewest bits, until as many are left as wanted.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.manifest import CodecSpec
from siftfunnel.shared.wire.calibrate import check_features, measured_codec
from siftfunnel.shared.wire.context_tables import SILENT
from siftfunnel.shared.wire.kinds import encode_array
from siftfunnel.shared.wire.lattice import (
    CONTEXTS,
    PHASES,
    Contexts,
    Grid,
    coding_order,
)
from siftfunnel.shared.wire.quantiser import Quantiser
from siftfunnel.shared.wire.tables import PRECISION_BITS, counts_from_histogram

FLAG_TABLES, LEVEL_TABLES = 3, 12
CEILING = 2.5
"""Times the mean payload."""
_PRIOR = 0.1
_MEASURED = 1000
_LEAST_CEILING = 24


def calibrate_lattice(
    name: str,
    features_NCHW: NDArray[np.float32],
    steps_C: NDArray[np.float32],
    levels: int,
    contexts: Contexts = CONTEXTS,
) -> CodecSpec:
    """A lattice codec for features like these, with the steps that training found.

    Args:
        name: of the codec.
        features_NCHW: float32 features, never negative, of some thousand pictures that the model was not
            trained on.
        steps_C: one step per channel.
        levels: of the quantiser.
        contexts: what a level's table is chosen by.

    Raises:
        ValueError: another rank or type, NaN or infinity, or every channel always rounds to zero.
    """
    check_features(features_NCHW)
    channels = features_NCHW.shape[1]
    flag_rows, level_rows = _histograms(
        features_NCHW, Quantiser(levels, steps_C, np.zeros(channels, np.int32)), contexts
    )
    sent = flag_rows[:, 1] > 0
    if not sent.any():
        raise ValueError("every value rounds to zero under these steps; there is nothing to send")
    flags = np.full(channels, SILENT, np.uint8)
    choices = np.full((channels, *contexts.shape), SILENT, np.uint8)
    flag_tables, flags[sent] = merge_tables(flag_rows[sent], FLAG_TABLES)
    level_tables, chosen = merge_tables(level_rows[sent].reshape(-1, levels), LEVEL_TABLES)
    choices[sent] = chosen.reshape(-1, *contexts.shape) + len(flag_tables)
    counts = np.stack([counts_from_histogram(row) for row in (*flag_tables, *level_tables)])
    parameters: dict[str, Any] = {
        "levels": levels,
        "precision_bits": PRECISION_BITS,
        "steps": encode_array(steps_C, "<f4"),
        "tables": len(counts),
        "bounds": list(contexts.bounds),
        "places": contexts.places,
        "flags": encode_array(flags, "u1"),
        "choices": encode_array(choices, "u1"),
        "counts": encode_array(counts, "<u2"),
    }
    return measured_codec(name, "lattice", parameters, features_NCHW[:_MEASURED], CEILING, _LEAST_CEILING)


def _histograms(
    features_NCHW: NDArray[np.float32], quantiser: Quantiser, contexts: Contexts
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How often each channel is sent or not, (channels, levels), and each of its levels where it is.

    The second is (channels, phases, places, classes, levels).
    """
    count, channels, height, width = features_NCHW.shape
    rows = np.ascontiguousarray(features_NCHW.transpose(1, 0, 2, 3).reshape(channels, -1))
    levels = quantiser.quantise(rows).astype(np.uint8).reshape(channels * count, height, width)
    active = levels.any(axis=(1, 2))
    flags = np.zeros((channels, quantiser.levels), np.int64)
    flags[:, 1] = active.reshape(channels, count).sum(axis=1)
    flags[:, 0] = count - flags[:, 1]
    channel = np.repeat(np.arange(channels), count)[active]
    grid, order = Grid(len(channel), height, width), coding_order(1, height, width, contexts.places)
    grid.levels[:] = levels[active]
    by_channel = (len(channel), (height + 1) * (width + 1))
    classes = contexts.of_sums(quantiser.levels).astype(np.int64)
    shape = (channels, *contexts.shape, quantiser.levels)
    found = np.zeros(np.prod(shape), np.int64)
    for phase, its in enumerate(order.phases):
        positions = order.positions[its]
        row = (channel[:, None] * PHASES + phase) * contexts.places + order.groups[its]
        row *= contexts.classes
        if phase:
            row = row + classes[grid.sums(phase).reshape(by_channel)[:, positions]]
        symbols = row * quantiser.levels + grid.flat.reshape(by_channel)[:, positions]
        found += np.bincount(symbols.ravel(), minlength=found.size)
    return flags, found.reshape(shape)


def merge_tables(
    histograms: NDArray[np.int64], most: int
) -> tuple[list[NDArray[np.int64]], NDArray[np.uint8]]:
    """Merge histograms until `most` are left.

    Args:
        histograms: (rows, levels); a row that is all zero goes to any table.
        most: tables wanted at most.

    Returns:
        The merged histograms, and for each row which of them it went to.

    >>> merged, chosen = merge_tables(np.array([[90, 10], [900, 100], [10, 90]]), 2)
    >>> [row.tolist() for row in merged], chosen.tolist()
    ([[990, 110], [10, 90]], [0, 0, 1])
    """
    groups = [[row] for row in range(len(histograms)) if histograms[row].any()]
    sums = [histograms[group[0]].astype(np.float64) for group in groups]
    cost = _merge_costs(sums)
    while len(groups) > most:
        first, second = divmod(int(np.argmin(cost)), len(groups))
        first, second = min(first, second), max(first, second)
        groups[first] += groups.pop(second)
        sums[first] = sums[first] + sums.pop(second)
        cost = np.delete(np.delete(cost, second, 0), second, 1)
        fresh = _costs_with(sums[first], np.stack(sums))
        fresh[first] = np.inf
        cost[first, :] = cost[:, first] = fresh
    chosen = np.zeros(len(histograms), np.uint8)
    for table, group in enumerate(groups):
        chosen[group] = table
    return [histograms[group].sum(axis=0) for group in groups], chosen


def _bits(histograms: NDArray[np.float64]) -> NDArray[np.float64]:
    smoothed = histograms + _PRIOR
    share = smoothed / smoothed.sum(axis=-1, keepdims=True)
    return np.asarray(-(histograms * np.log2(share)).sum(axis=-1))


def _costs_with(one: NDArray[np.float64], all_: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bits lost by merging one histogram with each."""
    return np.asarray(_bits(all_ + one) - _bits(all_) - _bits(one))


def _merge_costs(sums: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    stacked = np.stack(sums)
    cost = np.stack([_costs_with(row, stacked) for row in stacked])
    np.fill_diagonal(cost, np.inf)
    return cost
