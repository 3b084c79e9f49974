"""Coordinates for pictures in which the attacker's own pictures look like white noise.

Neighbouring pixels and colours go together. In the cosine basis of a picture, colours decorrelated and every
coefficient divided by its standard deviation over auxiliary pictures, a descent moves broad structure first
and pays for what pictures rarely do: mean(c^2) is the negative log density of a stationary Gaussian model of
pictures. On trained edges this is worth more than anything else in the attack
(``siftfunnel.lab.attacks.rmle``).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from siftfunnel.lab.attacks.victim import at_once, to_floats

SIGMA_FLOOR = 0.005
"""Least deviation of a coefficient, in picture units: what auxiliary pictures never do stays possible."""


def cosine_matrix(size: int, device: torch.device | None = None) -> Tensor:
    """The orthonormal DCT-II, rows are frequencies.

    Example:
        >>> m = cosine_matrix(8)
        >>> torch.allclose(m @ m.T, torch.eye(8), atol=1e-6)
        True
    """
    frequency = torch.arange(size, dtype=torch.float64)[:, None]
    place = torch.arange(size, dtype=torch.float64)[None] + 0.5
    matrix = torch.cos(math.pi * frequency * place / size) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix.float().to(device)


@dataclass(frozen=True)
class Tensors:
    """What is measured once: a dataclass of tensors."""

    def tensors(self) -> dict[str, Tensor]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        return type(self)(**{name: value.to(device) for name, value in self.tensors().items()})


@dataclass(frozen=True)
class PictureBasis(Tensors):
    """Whitened coordinates of pictures.

    Attributes:
        mean_CHW: The mean picture, the origin.
        sigma_CHW: Standard deviation of each coefficient.
        colours_CC: Columns are decorrelated colours.
    """

    mean_CHW: Tensor
    sigma_CHW: Tensor
    colours_CC: Tensor

    def __post_init__(self) -> None:
        _, height, width = self.mean_CHW.shape
        device = self.mean_CHW.device
        object.__setattr__(self, "_rows", cosine_matrix(height, device))
        object.__setattr__(self, "_columns", cosine_matrix(width, device))

    def coordinates(self, x_NCHW: Tensor) -> Tensor:
        """Pictures to coordinates, same shape."""
        return self._transform(x_NCHW - self.mean_CHW) / self.sigma_CHW

    def pictures(self, c_NCHW: Tensor) -> Tensor:
        """Coordinates to pictures, not confined to [0, 1]."""
        spread = self._rows.T @ (c_NCHW * self.sigma_CHW) @ self._columns  # type: ignore[attr-defined]
        return torch.einsum("dc,nchw->ndhw", self.colours_CC, spread) + self.mean_CHW

    @property
    def deviation(self) -> Tensor:
        """Standard deviation of a pixel, over all of them."""
        return self.sigma_CHW.square().mean().sqrt()

    def pull_back(self, gradient_NCHW: Tensor) -> Tensor:
        """A gradient by pictures to the gradient by coordinates: the adjoint of ``pictures``."""
        return self._transform(gradient_NCHW) * self.sigma_CHW

    def _transform(self, x_NCHW: Tensor) -> Tensor:
        colours = torch.einsum("dc,ndhw->nchw", self.colours_CC, x_NCHW)
        return self._rows @ colours @ self._columns.T  # type: ignore[attr-defined, no-any-return]


@dataclass(frozen=True)
class Coordinates:
    """In which coordinates each picture of a batch steps.

    Attributes:
        basis: Of the whitened ones.
        whitened_N: Whether a picture steps in whitened coordinates or in pixels, the latter in units of the
            deviation of pictures.
    """

    basis: PictureBasis
    whitened_N: Tensor

    def of(self, x_NCHW: Tensor) -> Tensor:
        """Pictures to coordinates."""
        return self._mixed(
            lambda: self.basis.coordinates(x_NCHW),
            lambda: (x_NCHW - self.basis.mean_CHW) / self.basis.deviation,
        )

    def pictures(self, c_NCHW: Tensor) -> Tensor:
        """Coordinates to pictures."""
        return self._mixed(
            lambda: self.basis.pictures(c_NCHW), lambda: c_NCHW * self.basis.deviation + self.basis.mean_CHW
        )

    def pull_back(self, gradient_NCHW: Tensor) -> Tensor:
        """A gradient by pictures to the gradient by coordinates."""
        return self._mixed(
            lambda: self.basis.pull_back(gradient_NCHW), lambda: gradient_NCHW * self.basis.deviation
        )

    def _mixed(self, whitened: Callable[[], Tensor], plain: Callable[[], Tensor]) -> Tensor:
        if bool(self.whitened_N.all()):
            return whitened()
        if not bool(self.whitened_N.any()):
            return plain()
        return torch.where(self.whitened_N.view(-1, 1, 1, 1), whitened(), plain())


def measure_pictures(images_NHWC: Tensor, device: torch.device) -> PictureBasis:
    """The basis of the attacker's own pictures, ``uint8``."""
    parts = torch.split(images_NHWC, at_once(images_NHWC.shape[:3]))
    count = len(images_NHWC)
    mean = sum(to_floats(part.to(device)).double().sum(0) for part in parts) / count
    assert isinstance(mean, Tensor)
    mean_CHW = mean.float()
    covariance = torch.zeros(3, 3, dtype=torch.float64, device=device)
    for part in parts:
        centred = (to_floats(part.to(device)) - mean_CHW).transpose(0, 1).flatten(1).double()
        covariance += centred @ centred.T
    colours = torch.linalg.eigh(covariance.cpu()).eigenvectors.float().to(device)
    plain = PictureBasis(mean_CHW, torch.ones_like(mean_CHW), colours)
    square = sum(plain.coordinates(to_floats(part.to(device))).square().sum(0) for part in parts)
    assert isinstance(square, Tensor)
    return PictureBasis(mean_CHW, (square / count).sqrt().clamp_min(SIGMA_FLOOR), colours)
