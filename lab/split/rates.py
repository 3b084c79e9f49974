"""Steps for byte targets: levels of a funnel's channels, their estimated bytes, and the search for a step."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

OVERHEAD_BYTES = 8
"""Of a payload beside what the levels need: its seal, and the last word of the entropy coder."""
COUNT_OF_UNSEEN = 0.05
FINEST, COARSEST = 1e-3, 1e3


def levels_of(z: NDArray[np.float32], step: float) -> NDArray[np.int32]:
    """Whole numbers of steps."""
    return np.asarray(np.rint(z / step), np.int32)


def estimated_bits(fitted: NDArray[np.float32], told: NDArray[np.float32], step: float) -> float:
    """Mean bits per frame that static tables of each channel, counted on some frames, need for others.

    Args:
        fitted: z of the frames that are counted, N x K x h x w.
        told: z of the frames that are told.
        step: Of all channels.
    """
    known, values = levels_of(fitted, step), levels_of(told, step)
    total = 0.0
    for channel in np.flatnonzero(np.abs(known).max(axis=(0, 2, 3))):
        seen, column = known[:, channel].ravel(), values[:, channel].ravel()
        least = int(seen.min())
        counts = np.bincount(seen - least) + COUNT_OF_UNSEEN
        lengths = np.log2(counts.sum()) - np.log2(counts)
        total += float(lengths[np.clip(column - least, 0, len(counts) - 1)].sum())
    return total / len(told)


def estimated_bytes(
    fitted: Sequence[NDArray[np.float32]], told: Sequence[NDArray[np.float32]], step: float
) -> float:
    """Mean bytes of a frame of one or several tensors; see `estimated_bits`."""
    bits = sum(estimated_bits(a, b, step) for a, b in zip(fitted, told, strict=True))
    return OVERHEAD_BYTES + bits / 8


def used_channels(z: NDArray[np.float32], step: float) -> NDArray[np.bool_]:
    """Channels that are not zero in every frame at a step."""
    return np.asarray(np.abs(z).max(axis=(0, 2, 3)) > step / 2)


def step_for(
    falls: Callable[[float], float],
    target: float,
    unit: float,
    *,
    tolerance: float = 0.005,
    start: float = 1.0,
) -> float:
    """The step at which something that falls as steps grow meets its target.

    Args:
        falls: Of a step.
        target: Its value.
        unit: Of steps: the search stays within `FINEST` to `COARSEST` of it.
        tolerance: Relative, of the value.
        start: Where to begin, in units.

    Raises:
        ValueError: even the finest or the coarsest step misses it.
    """
    low, high = math.log(FINEST * unit), math.log(COARSEST * unit)
    place, widen = math.log(start * unit), 0.7
    known_low, known_high = low, high
    for _ in range(40):
        value = falls(math.exp(place))
        if abs(value - target) <= tolerance * target:
            return math.exp(place)
        if value > target:
            known_low = place
            place = min(place + widen, high) if known_high == high else (known_low + known_high) / 2
        else:
            known_high = place
            place = max(place - widen, low) if known_low == low else (known_low + known_high) / 2
        if known_high - known_low < 1e-4:
            break
    value = falls(math.exp(place))
    if abs(value - target) > 0.1 * target:
        raise ValueError(f"no step gives {target:,.0f} bytes: the nearest that can be had is {value:,.0f}")
    return math.exp(place)
