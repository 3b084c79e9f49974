"""Standard picture metrics, one number per picture, and their summary with bootstrap intervals.

The definitions are those of ``siftfunnel.shared.similarity``, computed for whole sets at once. Averages hide
the most exposed pictures (Aerni, Zhang and Tramer, 2024), so a summary also tells the mean of the worst 5 %
and 1 %. *Worst* means worst for privacy: the pictures that were restored best.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siftfunnel.lab.metrics.arrays import Array, picture_pairs
from siftfunnel.lab.metrics.intervals import ci95_of_mean
from siftfunnel.shared.similarity import PSNR_CAP_DB, SSIM_SIGMA, SSIM_WINDOW

C1, C2 = 0.01**2, 0.03**2
_PICTURES_AT_ONCE = 64

Summary = dict[str, Any]


@dataclass(frozen=True, eq=False)
class PictureScores:
    """Standard scores per picture, float64 arrays of length N.

    Attributes:
        mse_N: Mean squared error over C, H and W; a third of ``paper_mse`` for colour pictures.
        psnr_db_N: -10 log10(MSE), at most 100 dB.
        ssim_N: Wang et al. 2004, Gaussian window of 11 pixels, mean over positions and channels.
    """

    mse_N: NDArray[np.float64]
    psnr_db_N: NDArray[np.float64]
    ssim_N: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.mse_N)


def score_pictures(x_NCHW: Array, y_NCHW: Array) -> PictureScores:
    """Standard MSE, PSNR and SSIM of each restored picture.

    Args:
        x_NCHW: Originals, float in [0, 1].
        y_NCHW: Restored pictures, same shape; the order does not matter, all three are symmetric.

    Raises:
        ValueError: shapes that differ, values outside [0, 1], a side below 11 pixels.

    Example:
        >>> scores = score_pictures(torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), 0.1))
        >>> round(float(scores.mse_N[0]), 6), round(float(scores.psnr_db_N[0]), 4)
        (0.01, 20.0)
    """
    x, y = picture_pairs(x_NCHW, y_NCHW)
    if min(x.shape[2:]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs sides of {SSIM_WINDOW} pixels or more, got {tuple(x.shape[2:])}")
    mse_N = (x - y).square().mean(dim=(1, 2, 3))
    psnr_db_N = (-10 * mse_N.log10()).clamp_max(PSNR_CAP_DB)
    parts = [
        ssim_of_each(a, b)
        for a, b in zip(torch.split(x, _PICTURES_AT_ONCE), torch.split(y, _PICTURES_AT_ONCE), strict=True)
    ]
    return PictureScores(mse_N.numpy(), psnr_db_N.numpy(), torch.cat(parts).numpy())


def ssim_of_each(x_NCHW: Tensor, y_NCHW: Tensor) -> Tensor:
    """SSIM per picture, length N; equals scikit-image's with a Gaussian window and population covariance.

    scikit-image leaves out the 5 pixels at each border, so a filter without padding gives the same numbers.
    """
    height, width = (_gaussian_band(side, x_NCHW.dtype).to(x_NCHW.device) for side in x_NCHW.shape[2:])

    def blur(a_NCHW: Tensor) -> Tensor:
        return height @ a_NCHW @ width.T

    mean_x, mean_y = blur(x_NCHW), blur(y_NCHW)
    variance_x = blur(x_NCHW.square()) - mean_x.square()
    variance_y = blur(y_NCHW.square()) - mean_y.square()
    covariance = blur(x_NCHW * y_NCHW) - mean_x * mean_y
    similarity = ((2 * mean_x * mean_y + C1) * (2 * covariance + C2)) / (
        (mean_x.square() + mean_y.square() + C1) * (variance_x + variance_y + C2)
    )
    return similarity.mean(dim=(1, 2, 3))


def _gaussian_band(side: int, dtype: torch.dtype) -> Tensor:
    """The filter along one axis as a matrix, (side - 10) x side: ten times as fast as a convolution here."""
    taps = torch.arange(SSIM_WINDOW, dtype=dtype) - SSIM_WINDOW // 2
    weights = torch.exp(-taps.square() / (2 * SSIM_SIGMA**2))
    positions = side - SSIM_WINDOW + 1
    columns = torch.arange(positions)[:, None] + torch.arange(SSIM_WINDOW)
    return torch.zeros(positions, side, dtype=dtype).scatter(
        1, columns, (weights / weights.sum()).expand(positions, -1)
    )


def worst_mean(values_N: NDArray[np.float64], share: float) -> float:
    """Mean of the highest ``share`` of the values, of at least one.

    Example:
        >>> worst_mean(np.array([1.0, 2.0, 3.0, 5.0]), 0.5)
        4.0
    """
    # 0.05 * 60 is a little more than 3; without the margin that rounds up to 4
    count = max(1, int(np.ceil(share * len(values_N) - 1e-9)))
    return float(np.sort(values_N)[-count:].mean())


def summarise(scores: PictureScores, *, resamples: int = 1000, seed: int = 0) -> Summary:
    """Means over pictures with 95 % intervals, quantiles, and the most exposed pictures.

    Returns:
        ``{"mse": {"mean", "ci95"}, "psnr_db": {"mean", "median", "p95", "p99", "max", "ci95",
        "worst_5pct_mean", "worst_1pct_mean"}, "ssim": {the same}}``. ``max`` and ``worst_…`` are those of
        the pictures that were restored best. For the mean of standard MSE in dB, convert yourself: the mean
        of PSNR over pictures is another number.
    """

    def ci95(values_N: NDArray[np.float64]) -> list[float]:
        return ci95_of_mean(values_N, resamples=resamples, seed=seed)

    def exposure(values_N: NDArray[np.float64]) -> Summary:
        median, p95, p99 = (float(value) for value in np.percentile(values_N, (50, 95, 99)))
        return {
            "mean": float(values_N.mean()),
            "median": median,
            "p95": p95,
            "p99": p99,
            "max": float(values_N.max()),
            "ci95": ci95(values_N),
            "worst_5pct_mean": worst_mean(values_N, 0.05),
            "worst_1pct_mean": worst_mean(values_N, 0.01),
        }

    return {
        "mse": {"mean": float(scores.mse_N.mean()), "ci95": ci95(scores.mse_N)},
        "psnr_db": exposure(scores.psnr_db_N),
        "ssim": exposure(scores.ssim_N),
    }
