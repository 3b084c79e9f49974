"""MSE, PSNR and SSIM as the paper's tables print them, read from the authors' code.

All three differ from the standard definitions of ``siftfunnel.lab.metrics.pictures``: the squared error is
summed over colours, PSNR is taken of a whole batch's error, and SSIM slides its window over the batch axis
too. They exist to stand beside the paper's numbers, and only there.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siftfunnel.lab.metrics.arrays import Array, picture_pairs
from siftfunnel.shared.extras import how_to_install
from siftfunnel.shared.similarity import PSNR_CAP_DB

PAPER_BATCH = 32
WINDOW = 7


def paper_mse(x_NCHW: Array, y_NCHW: Array) -> float:
    """Squared error summed over C, H and W, divided by N * H * W: C times the standard MSE.

    Raises:
        ValueError: shapes that differ, or values outside [0, 1].

    Example:
        >>> import torch
        >>> paper_mse(torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.5))
        0.75
    """
    x, y = picture_pairs(x_NCHW, y_NCHW)
    return float((x - y).square().mean()) * x.shape[1]


def paper_psnr(x_NCHW: Array, y_NCHW: Array, batch: int = PAPER_BATCH) -> float:
    """``20 log10(1 / sqrt(e))`` of each batch's standard MSE ``e``, averaged over batches, in dB.

    The mean runs over batches, a short last one counting as much as a full one. A batch without error counts
    as 100 dB, which is ours: the authors' expression has no value there.

    Args:
        x_NCHW: Originals, float in [0, 1].
        y_NCHW: Restored pictures, same shape.
        batch: 32 in the paper for the generative attack, 64 for rMLE.

    Example:
        >>> import torch
        >>> round(paper_psnr(torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.1)), 4)
        20.0
    """
    _check_batch(batch)
    x, y = picture_pairs(x_NCHW, y_NCHW)
    return float(
        np.mean(
            [_batch_psnr(a, b) for a, b in zip(torch.split(x, batch), torch.split(y, batch), strict=True)]
        )
    )


def _batch_psnr(x_NCHW: Tensor, y_NCHW: Tensor) -> float:
    error = float((x_NCHW - y_NCHW).square().mean())
    return min(PSNR_CAP_DB, 20 * math.log10(1 / math.sqrt(error))) if error > 0 else PSNR_CAP_DB


def paper_ssim(x_NCHW: Array, y_NCHW: Array, batch: int = PAPER_BATCH) -> float:
    """scikit-image's SSIM of each B x C x H x W batch as if it were a volume, averaged over batches.

    With ``channel_axis=1`` the window of 7 runs over B, H and W: neighbouring pictures are mixed, and
    noise of 0.05 scores 0.97 where each picture alone has 0.7 (measured). A last batch of fewer than 7
    pictures has no window and is left out of the mean (ours: scikit-image refuses it); from 7 pictures on it
    counts as much as a full one.

    Raises:
        ValueError: fewer than 7 pictures, a batch below 7, a side below 7 pixels.
        ModuleNotFoundError: scikit-image is not installed.
    """
    _check_batch(batch)
    x, y = picture_pairs(x_NCHW, y_NCHW)
    if min(batch, *x.shape[2:], len(x)) < WINDOW:
        raise ValueError(
            f"the paper's SSIM needs {WINDOW} pictures or more in a batch and sides of {WINDOW} pixels; "
            f"got {tuple(x.shape)} in batches of {batch}"
        )
    pairs = zip(torch.split(x, batch), torch.split(y, batch), strict=True)
    return float(np.mean([_volume_ssim(a.numpy(), b.numpy()) for a, b in pairs if len(a) >= WINDOW]))


def _volume_ssim(x_NCHW: NDArray[np.float64], y_NCHW: NDArray[np.float64]) -> float:
    try:
        from skimage.metrics import structural_similarity
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the paper's SSIM needs scikit-image: {how_to_install('lab')}", name=error.name
        ) from error
    measure: Callable[..., Any] = structural_similarity
    return float(measure(x_NCHW, y_NCHW, channel_axis=1, win_size=WINDOW, data_range=1.0))


def paper_scores(x_NCHW: Array, y_NCHW: Array, batch: int = PAPER_BATCH) -> dict[str, float]:
    """``{"mse", "psnr_db", "ssim"}`` by the paper's definitions.

    Identical pictures score 0, 100 and 1.
    """
    return {
        "mse": paper_mse(x_NCHW, y_NCHW),
        "psnr_db": paper_psnr(x_NCHW, y_NCHW, batch),
        "ssim": paper_ssim(x_NCHW, y_NCHW, batch),
    }


def _check_batch(batch: int) -> None:
    if batch < 1:
        raise ValueError(f"a batch holds one picture or more, got {batch}")
