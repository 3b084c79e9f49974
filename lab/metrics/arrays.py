"""Torch tensors and NumPy arrays at the door of every metric: converted once, refused with a reason."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = Tensor | NDArray[Any]


def to_tensor(values: Array) -> Tensor:
    """A detached tensor on the CPU that holds the same values; memory is shared where possible.

    Example:
        >>> to_tensor(np.array([1.5])).tolist()
        [1.5]
    """
    if isinstance(values, Tensor):
        return values.detach().cpu()
    return torch.from_numpy(np.ascontiguousarray(values))


def to_numpy(values: Array) -> NDArray[Any]:
    """The same values as a NumPy array."""
    array: NDArray[Any] = to_tensor(values).numpy()
    return array


def pictures_tensor(pictures_NCHW: Array, what: str = "pictures") -> Tensor:
    """Pictures as float64 on the CPU.

    Args:
        pictures_NCHW: float values in [0, 1], N x C x H x W.
        what: Names them in an error.

    Raises:
        ValueError: another rank, no pictures, no float type, values outside [0, 1] or NaN.
    """
    tensor = to_tensor(pictures_NCHW)
    if tensor.dim() != 4 or tensor.numel() == 0:
        raise ValueError(f"{what} must be N x C x H x W with one or more pictures, got {tuple(tensor.shape)}")
    if not tensor.is_floating_point():
        raise ValueError(f"{what} must be float values in [0, 1], not {tensor.dtype}; divide bytes by 255")
    # written so that NaN fails too
    if not (float(tensor.min()) >= 0.0 and float(tensor.max()) <= 1.0):
        raise ValueError(f"{what} must lie in [0, 1]; values lie outside (clamp them), or are NaN")
    return tensor.double()


def picture_pairs(x_NCHW: Array, y_NCHW: Array) -> tuple[Tensor, Tensor]:
    """Originals and restored pictures as float64 tensors of one shape.

    Raises:
        ValueError: shapes that differ, or see ``pictures_tensor``.
    """
    x, y = pictures_tensor(x_NCHW, "originals"), pictures_tensor(y_NCHW, "restored pictures")
    if x.shape != y.shape:
        raise ValueError(
            f"originals and restored pictures must have one shape, got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    return x, y


def check_paired(x_NCHW: Tensor, z_NCHW: Tensor, *, least: int, what: str) -> None:
    """Refuse pictures and features that are not N x C x H x W, not paired, or too few.

    Raises:
        ValueError: the text says what is wrong with ``what``.
    """
    if x_NCHW.dim() != 4 or z_NCHW.dim() != 4:
        raise ValueError(
            f"{what}: pictures and features must be N x C x H x W, "
            f"got {tuple(x_NCHW.shape)} and {tuple(z_NCHW.shape)}"
        )
    if len(x_NCHW) != len(z_NCHW) or len(x_NCHW) < least:
        raise ValueError(
            f"{what}: need as many features as pictures, {least} or more; "
            f"got {len(x_NCHW)} pictures and {len(z_NCHW)} features"
        )
    if not (bool(torch.isfinite(x_NCHW).all()) and bool(torch.isfinite(z_NCHW).all())):
        raise ValueError(f"{what}: pictures or features hold NaN or infinity; check the edge half")
