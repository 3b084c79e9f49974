"""What somebody learns who sees only how many bytes were sent, with and without padding.

Padding is applied here to the lengths that were measured: what a device with `--pad` would send.

``none``     as the codec has it
``blocks``   up to the next multiple of ``BLOCK`` bytes
``padme``    up to a number with few significant bits, at most 12 % more (Nikitin et al., PETS 2019)
``largest``  as long as the longest that was seen
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.metrics.intervals import paired_difference
from siftfunnel.shared.padding import Padding

BLOCK = 32
Sizes = NDArray[np.int64]


PADDINGS: dict[str, Callable[[Sizes], Sizes]] = {
    "none": lambda sizes: sizes,
    "blocks": lambda sizes: _padded(Padding(BLOCK), sizes),
    "padme": lambda sizes: _padded(Padding(), sizes),
    "largest": lambda sizes: np.full_like(sizes, sizes.max()),
}


def _padded(padding: Padding, sizes_N: Sizes) -> Sizes:
    return np.array([padding.length(int(size)) for size in sizes_N], dtype=np.int64)


def length_figures(sizes_N: Sizes, classes_N: NDArray[np.int64] | None) -> dict[str, dict[str, Any]]:
    """By padding: its cost, how much lengths tell, and whether they betray the class.

    Args:
        sizes_N: Payload bytes of each picture.
        classes_N: What they show, or None where nobody said.

    Returns:
        By padding ``{"overhead": share of bytes more, "distinct": lengths, "bits": entropy of the length,
        "alone": share of pictures whose length no other has}``, and with classes ``"class"``: how often
        half of the pictures, by length, teach somebody the class of the others, beside always saying the
        commonest.
    """
    return {name: _figures(pad(sizes_N), sizes_N, classes_N) for name, pad in PADDINGS.items()}


def _figures(padded_N: Sizes, sizes_N: Sizes, classes_N: NDArray[np.int64] | None) -> dict[str, Any]:
    _, place_N, counts = np.unique(padded_N, return_inverse=True, return_counts=True)
    shares = counts / len(padded_N)
    figures = {
        "overhead": float(padded_N.mean() / sizes_N.mean() - 1),
        "distinct": len(counts),
        "bits": float(-(shares * np.log2(shares)).sum()),
        "alone": float((counts[place_N] == 1).mean()),
    }
    return figures if classes_N is None else {**figures, "class": _by_length(padded_N, classes_N)}


def _by_length(padded_N: Sizes, classes_N: NDArray[np.int64]) -> dict[str, Any]:
    """Every second picture teaches which class has which length; of new lengths the nearest tells."""
    taught, asked = np.arange(0, len(padded_N), 2), np.arange(1, len(padded_N), 2)
    commonest = int(np.bincount(classes_N[taught]).argmax())
    lengths = np.unique(padded_N[taught])
    known = {
        int(length): int(np.bincount(classes_N[taught][padded_N[taught] == length]).argmax())
        for length in lengths
    }
    nearest = [int(lengths[np.abs(lengths - length).argmin()]) for length in padded_N[asked]]
    right = np.array([known[length] for length in nearest]) == classes_N[asked]
    usual = classes_N[asked] == commonest
    apart = paired_difference(right.astype(float), usual.astype(float))
    return {"right": float(right.mean()), "commonest": float(usual.mean()), "gain_ci95": apart["ci95"]}
