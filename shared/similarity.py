"""How alike two pictures are, by the standard measures, one picture at a time.

All three take float pictures in [0, 1], shape (height, width, channels), and give one number
per pair. The means that reports quote are means of these numbers, never of pooled pixels.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.extras import how_to_install

Image = NDArray[np.floating[Any]]

PSNR_CAP_DB = 100.0
SSIM_SIGMA = 1.5
SSIM_WINDOW = 11


def mse(a_HWC: Image, b_HWC: Image) -> float:
    """Mean squared error: the mean of (a - b)^2 over all values.

    Raises:
        ValueError: shapes that differ, no float type, or values outside [0, 1].

    >>> mse(np.zeros((16, 16, 3)), np.full((16, 16, 3), 0.5))
    0.25
    """
    _check(a_HWC, b_HWC)
    difference = a_HWC.astype(np.float64) - b_HWC.astype(np.float64)
    return float(np.mean(np.square(difference)))


def psnr(a_HWC: Image, b_HWC: Image) -> float:
    """Peak signal-to-noise ratio, -10 log10(MSE) for a peak of 1, in dB, at most 100.

    Raises:
        ValueError: see `mse`.

    >>> round(psnr(np.zeros((16, 16, 3)), np.full((16, 16, 3), 0.1)), 9)   # MSE 0.01
    20.0
    >>> psnr(np.zeros((16, 16, 3)), np.zeros((16, 16, 3)))                 # equal: the cap
    100.0
    """
    error = mse(a_HWC, b_HWC)
    if error <= 0.0:
        return PSNR_CAP_DB
    return min(PSNR_CAP_DB, -10.0 * math.log10(error))


def ssim(a_HWC: Image, b_HWC: Image) -> float:
    """Structural similarity of Wang et al. 2004, mean over positions and channels, at most 1.

    Gaussian window of 11 pixels with sigma 1.5, data range 1, K1 0.01, K2 0.03, population
    covariance, as `skimage.metrics.structural_similarity` computes it.

    Raises:
        ValueError: see `mse`; or a side below 11 pixels.
        ModuleNotFoundError: scikit-image is not installed; the text names the extra.

    >>> ssim(np.full((16, 16, 3), 0.5), np.full((16, 16, 3), 0.5))   # equal pictures
    1.0
    >>> round(ssim(np.zeros((16, 16, 3)), np.ones((16, 16, 3))), 6)  # C1 / (1 + C1), C1 = 0.01^2
    0.0001
    """
    _check(a_HWC, b_HWC)
    if min(a_HWC.shape[:2]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs sides of {SSIM_WINDOW} pixels or more, not {a_HWC.shape[:2]}")
    try:
        from skimage.metrics import structural_similarity
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"SSIM needs scikit-image: {how_to_install('attacker')}", name=error.name
        ) from error
    measure: Callable[..., Any] = structural_similarity
    value = measure(
        a_HWC.astype(np.float64),
        b_HWC.astype(np.float64),
        channel_axis=2,
        data_range=1.0,
        gaussian_weights=True,
        sigma=SSIM_SIGMA,
        use_sample_covariance=False,
    )
    return float(value)


def _check(a_HWC: Image, b_HWC: Image) -> None:
    if a_HWC.shape != b_HWC.shape or a_HWC.ndim != 3 or a_HWC.size == 0:
        raise ValueError(f"expected two pictures of one shape (H, W, C), not {a_HWC.shape} and {b_HWC.shape}")
    for picture in (a_HWC, b_HWC):
        if not np.issubdtype(picture.dtype, np.floating):
            raise ValueError(f"expected float pictures in [0, 1], not {picture.dtype}; divide bytes by 255")
        # written so that NaN fails too
        if not (picture.min() >= 0.0 and picture.max() <= 1.0):
            raise ValueError("expected float pictures in [0, 1]; values lie outside, or are NaN")
