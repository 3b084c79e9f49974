"""The lab's one interval for each question, without PyTorch: a share, a mean over pictures, a difference.

``accuracy_interval``  of a share of right answers
``ci95_of_mean``       of a mean over pictures
``paired_difference``  of the mean difference of two things over the same pictures
``ci95_of_few``        of a mean over trainings or rows, of which there are few
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    # takes a second, which commands that only read their flags need not wait for
    from scipy.stats import binomtest

    interval = binomtest(right, total).proportion_ci(method="wilson")
    return [float(interval.low), float(interval.high)]


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


def ci95_of_mean(values_N: NDArray[Any], *, resamples: int = 1000, seed: int = 0) -> list[float]:
    """Percentile bootstrap interval of the mean over pictures, [2.5 %, 97.5 %].

    It tells how the mean would vary over other pictures, not over other trainings of defence or attack. One
    picture gives an interval of no width, which says nothing. The same seed draws the same pictures.

    Raises:
        ValueError: no values, another rank than one, NaN, or no resamples.

    Example:
        >>> ci95_of_mean(np.array([2.0, 2.0, 2.0]))
        [2.0, 2.0]
    """
    values = np.asarray(values_N, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all() or resamples < 1:
        raise ValueError(
            f"a bootstrap needs a list of one or more finite values and one or more resamples; "
            f"got shape {values.shape}, {resamples} resamples"
        )
    if values.size == 1:
        return [float(values[0])] * 2
    from scipy.stats import bootstrap

    interval = bootstrap(
        (values,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, _INDICES_AT_ONCE // len(values)),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return [float(interval.low), float(interval.high)]


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


def ci95_of_few(values_N: Sequence[float]) -> list[float] | None:
    """Student's interval of a mean over rows or trainings, [2.5 %, 97.5 %]; None with fewer than two.

    A bootstrap over so few is far too narrow.

    Example:
        >>> [round(end, 2) for end in ci95_of_few([1.0, 2.0, 3.0])]
        [-0.48, 4.48]
    """
    if len(values_N) < 2:
        return None
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values_N) - 1) * np.std(values_N, ddof=1) / len(values_N) ** 0.5)
    mean = float(np.mean(values_N))
    return [mean - half, mean + half]
