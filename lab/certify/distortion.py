"""Rate-distortion: from what is known of a Gaussian picture to the error that is left, whoever restores it.

    D(I) = sum_k min(lambda_k, theta),    I = sum_k max(0, log(lambda_k / theta)) / 2        (Shannon, 1959)

Any attacker who has y obeys E|x - x^|^2 >= D(I(x; y)): no gradient, no smoothness, no kind of attack enters.
What is needed is an upper bound of I in nats, of the pictures whose distortion is told. Three are here:

``payload_nats``    every bit on the wire, length and checksum included
``channel_nats``    what passes Gaussian noise: the mean divergence from any fixed density of what is received
``upper_limit``     of a mean over pictures, one-sided
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.stats import t as student

SPREAD = 0.05
"""Share of a length's probability that is spread evenly over all possible lengths."""
SHRINKS = (0.1, 0.3, 1.0)
"""Shares of the covariance between received values that are tried as 0; 1 leaves their variances alone."""
MOST_CORRELATED = 4_096
"""Of more values only the variances are fitted."""


def distortion_of(nats: float, spectrum_d: NDArray[np.float64]) -> float:
    """Mean squared error per pixel of the best restoration from so much information.

    Args:
        nats: Information about a picture.
        spectrum_d: Eigenvalues of the pictures' covariance, above 0.

    Example:
        >>> [round(distortion_of(np.log(2) * bits, np.array([4.0, 1.0])), 3) for bits in (0, 1, 2)]
        [2.5, 1.0, 0.5]
    """
    values = np.sort(spectrum_d)[::-1]
    active = np.arange(1, len(values) + 1)
    levels = np.exp((np.cumsum(np.log(values)) - 2 * max(nats, 0.0)) / active)
    # the largest number of active ones whose level lies below each of them; of one it does but for rounding
    found = int(np.flatnonzero(levels[1:] <= values[1:])[-1]) + 1 if (levels[1:] <= values[1:]).any() else 0
    return float((levels[found] * (found + 1) + values[found + 1 :].sum()) / len(values))


def upper_limit(values_N: NDArray[np.float64], confidence: float) -> float:
    """One-sided upper limit of a mean over independent pictures, by Student's t.

    Raises:
        ValueError: fewer than two values.

    Example:
        >>> round(upper_limit(np.array([1.0, 2.0, 3.0]), 0.95), 2)
        3.69
    """
    count = len(values_N)
    if count < 2:
        raise ValueError(f"a limit of a mean needs two pictures or more, got {count}")
    error = float(values_N.std(ddof=1) / np.sqrt(count))
    return float(values_N.mean()) + float(student.ppf(confidence, count - 1)) * error


def payload_nats(
    fitted: Sequence[int], scored: Sequence[int], lengths: tuple[int, int]
) -> NDArray[np.float64]:
    """What a payload can tell, for each scored picture: its bits and what a fixed code takes for its length.

    The mean over pictures is no less than the entropy of payloads, hence than their information.

    Args:
        fitted: Bytes of other pictures' payloads, which give the code of lengths.
        scored: Bytes of payloads.
        lengths: The shortest and the longest possible.
    """
    least, most = lengths
    counts = np.bincount(np.asarray(fitted) - least, minlength=most - least + 1)
    shares = (1 - SPREAD) * counts / max(1, counts.sum()) + SPREAD / len(counts)
    bytes_N = np.asarray(scored)
    return np.asarray(8 * np.log(2) * bytes_N - np.log(shares[bytes_N - least]))


def channel_nats(fitted_Nm: NDArray[np.float64], scored_Nm: NDArray[np.float64]) -> NDArray[np.float64]:
    """What passes noise of deviation 1 on every value: KL(N(f(x), 1) || r) of each scored picture.

    r is one Gaussian, fitted on other pictures; any r bounds the information from above, in the mean.

    Args:
        fitted_Nm: Clean features in units of the noise.
        scored_Nm: Those of the scored pictures.
    """
    if fitted_Nm.shape[1] > MOST_CORRELATED:
        return _divergence(fitted_Nm, scored_Nm, 1.0)
    held_back = max(2, len(fitted_Nm) // 4)
    known, chosen_on = fitted_Nm[held_back:], fitted_Nm[:held_back]
    means = {shrink: float(_divergence(known, chosen_on, shrink).mean()) for shrink in SHRINKS}
    return _divergence(fitted_Nm, scored_Nm, min(means, key=lambda shrink: means[shrink]))


def _divergence(
    fitted_Nm: NDArray[np.float64], scored_Nm: NDArray[np.float64], shrink: float
) -> NDArray[np.float64]:
    mean, size = fitted_Nm.mean(0), fitted_Nm.shape[1]
    if shrink == 1:
        variances = fitted_Nm.var(0) + 1
        from_mean = (np.square(scored_Nm - mean) / variances).sum(1)
        return np.asarray((np.log(variances).sum() - size + (1 / variances).sum() + from_mean) / 2)
    centred = fitted_Nm - mean
    covariance = (1 - shrink) * (centred.T @ centred) / len(fitted_Nm)
    covariance[np.diag_indices(size)] += shrink * centred.var(0) + 1
    root = cholesky(covariance, lower=True)
    inverse = solve_triangular(root, np.eye(size), lower=True)
    from_mean = np.square((scored_Nm - mean) @ inverse.T).sum(1)
    logarithm = 2 * np.log(np.diag(root)).sum()
    return np.asarray((logarithm - size + np.square(inverse).sum() + from_mean) / 2)
