"""The lab's one interval for each question, without PyTorch: a share, a mean over pictures, a difference.

``accuracy_interval``  of a share of right answers
``ci95_of_mean``       of a mean over pictures
``paired_difference``  of the mean difference of two things over the same pictures
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959964
_INDICES_AT_ONCE = 4_000_000


def accuracy_interval(right: int, total: int) -> list[float]:
    """95 % interval of a share of right answers (Wilson 1927), which holds near 0 and 1 too.

    Args:
        right: Successes.
        total: Trials, at least 1.

    Example:
        >>> [round(end, 4) for end in accuracy_interval(8, 10)]
        [0.4902, 0.9433]
    """
    if not 0 <= right <= total or total < 1:
        raise ValueError(f"a share needs 0 to {total} successes of one trial or more, not {right}")
    share, spread = right / total, Z_95**2 / total
    half = Z_95 * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    middle = share + spread / 2
    # rounding must not put an end of 0 or 1 a hair outside
    return [max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))]


def learned_nothing(right: int, labels_N: NDArray[np.int64]) -> bool:
    """Whether so many right answers are no more than always giving the commonest answer gets.

    So it is where the lower end of ``accuracy_interval`` is not above the largest class's share.

    Args:
        right: Right answers.
        labels_N: The right answers themselves, one or more.

    Example:
        >>> labels = np.repeat([0, 1], [60, 40])
        >>> learned_nothing(65, labels), learned_nothing(80, labels)
        (True, False)
    """
    total = len(labels_N)
    return accuracy_interval(right, total)[0] <= int(np.bincount(labels_N).max()) / total


def bootstrap_means(values_N: NDArray[Any], *, resamples: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    """Means of ``resamples`` samples drawn with replacement; the same seed draws the same pictures.

    Raises:
        ValueError: no values, another rank than one, NaN, or no resamples.
    """
    values = np.asarray(values_N, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all() or resamples < 1:
        raise ValueError(
            f"a bootstrap needs a list of one or more finite values and one or more resamples; "
            f"got shape {values.shape}, {resamples} resamples"
        )
    rng = np.random.default_rng(seed)
    return np.concatenate([values[rows].mean(axis=1) for rows in _drawn(rng, len(values), resamples)])


def _drawn(rng: np.random.Generator, count: int, resamples: int) -> Iterator[NDArray[np.int64]]:
    at_once = max(1, _INDICES_AT_ONCE // count)
    for start in range(0, resamples, at_once):
        yield rng.integers(0, count, (min(at_once, resamples - start), count))


def ci95_of_mean(values_N: NDArray[Any], *, resamples: int = 1000, seed: int = 0) -> list[float]:
    """Percentile bootstrap interval of the mean over pictures, [2.5 %, 97.5 %].

    It tells how the mean would vary over other pictures, not over other trainings of defence or attack. One
    picture gives an interval of no width, which says nothing.

    Example:
        >>> ci95_of_mean(np.array([2.0, 2.0, 2.0]))
        [2.0, 2.0]
    """
    low, high = np.percentile(bootstrap_means(values_N, resamples=resamples, seed=seed), (2.5, 97.5))
    return [float(low), float(high)]


def paired_difference(
    a_N: NDArray[Any], b_N: NDArray[Any], *, resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Mean of ``a - b`` over the same pictures with its 95 % interval; 0 outside means they differ.

    Pairing takes out how hard each picture is, so it separates two attacks or defences that intervals apart
    cannot.

    Returns:
        ``{"mean", "ci95", "pictures"}``.

    Raises:
        ValueError: lists of another length, empty, or with NaN.

    Example:
        >>> paired_difference(np.array([3.0, 5.0]), np.array([1.0, 3.0]))
        {'mean': 2.0, 'ci95': [2.0, 2.0], 'pictures': 2}
    """
    a, b = np.asarray(a_N, dtype=np.float64), np.asarray(b_N, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"a paired difference needs the same pictures in both, got {a.shape} and {b.shape}")
    return {
        "mean": float((a - b).mean()) if a.size else float("nan"),
        "ci95": ci95_of_mean(a - b, resamples=resamples, seed=seed),
        "pictures": len(a),
    }
