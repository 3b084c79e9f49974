"""Static frequency tables: whole numbers, frozen in the manifest.

One row per channel, one count per level; every count is at least 1, so that whatever is
sent can be coded, and every row adds up to 2**precision_bits.
"""

import numpy as np
from numpy.typing import NDArray

PRECISION_BITS = 14
KNOWN_PRECISION_BITS = (12, 14, 16)


def counts_from_histogram(
    histogram: NDArray[np.int64], precision_bits: int = PRECISION_BITS
) -> NDArray[np.uint16]:
    """Scale how often each level was seen to counts that add up to 2**precision_bits.

    Every level gets 1; the rest is shared out in proportion, the remainder by largest
    fraction, ties to the lower level. Whole-number arithmetic throughout.

    Args:
        histogram: shape (levels,), not negative; all zero gives an even table.
        precision_bits: 12, 14 or 16.

    Returns:
        uint16, shape (levels,).

    >>> counts_from_histogram(np.array([3, 1, 0, 0]), 12)
    array([3070, 1024,    1,    1], dtype=uint16)
    """
    seen = [int(count) for count in histogram]
    if not any(seen):
        seen = [1] * len(seen)
    total, spare = sum(seen), (1 << precision_bits) - len(seen)
    shares = [count * spare // total for count in seen]
    fractions = [count * spare % total for count in seen]
    largest_first = sorted(range(len(seen)), key=lambda level: (-fractions[level], level))
    for level in largest_first[: spare - sum(shares)]:
        shares[level] += 1
    return np.array([share + 1 for share in shares], dtype=np.uint16)


def check_counts(counts: NDArray[np.uint16], precision_bits: int) -> None:
    """Refuse a table that is not one.

    Args:
        counts: shape (channels, levels).
        precision_bits: what each row's sum is the power of.

    Raises:
        ValueError: a count of 0, or a row with another sum; the text names the channel.
    """
    if precision_bits not in KNOWN_PRECISION_BITS:
        raise ValueError(f"precision_bits must be one of {KNOWN_PRECISION_BITS}, not {precision_bits}")
    if bool(np.any(counts == 0)):
        channel = int(np.argwhere(counts == 0)[0][0])
        raise ValueError(f"counts of channel {channel} hold a 0; every level needs at least 1")
    sums = counts.sum(axis=1, dtype=np.int64)
    wrong = np.flatnonzero(sums != 1 << precision_bits)
    if wrong.size:
        channel = int(wrong[0])
        raise ValueError(f"counts of channel {channel} add up to {sums[channel]}, not {1 << precision_bits}")


def entropy_bits(counts: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Bits per symbol that each channel costs if the symbols are as the table says.

    >>> entropy_bits(np.array([[2048, 1024, 512, 512]], dtype=np.uint16))
    array([1.75])
    """
    probabilities = counts / counts.sum(axis=1, keepdims=True, dtype=np.float64)
    return np.asarray(-(probabilities * np.log2(probabilities)).sum(axis=1), dtype=np.float64)
