"""A ruler: Gaussian pictures with a data set's mean and covariance, of which everything is known exactly.

    x = mean + B t,    t ~ N(0, 1) in each of d coordinates,    B B' = Sigma

Sigma is that of the data set's pictures and of their mirror images, with the noise of rounding to 8 bits, in
the orthonormal cosine transform: full among the lowest frequencies, as far as there are pictures for it, and
uncorrelated above. Whatever it was estimated from, ``Ruler.draw`` draws from exactly this prior: what is
proved of the ruler needs no assumption about real pictures, and says nothing of them either.

Mirroring flips the sign of odd horizontal frequencies, so that even and odd ones are uncorrelated: two blocks
of half the size.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from torch import Tensor

from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.data.images import DataError

ROUNDING = (1 / 255) ** 2 / 12
"""Variance of rounding to 8 bits: no frequency of the ruler has less."""
LEAST_SIDE, MOST_SIDE = 8, 32
"""Lowest frequencies that are correlated, along each side and in all colours: at least, at most."""
MOST_PICTURES = 20_000
_AT_ONCE, _DRAWN_AT_ONCE = 1_000, 200


@dataclass(frozen=True)
class Block:
    """Frequencies that are correlated with one another.

    Attributes:
        places_m: Where they stand in a picture's transform laid flat.
        values_m: Eigenvalues of their covariance, float64.
        axes_mm: Its eigenvectors, in columns.
    """

    places_m: Tensor
    values_m: NDArray[np.float64]
    axes_mm: Tensor


@dataclass(frozen=True)
class Ruler:
    """The prior.

    Attributes:
        mean_CHW: Of its pictures.
        blocks: Correlated frequencies.
        variances_CHW: Of every frequency, float64; those of blocks are not used.
        side: So many lowest frequencies along each side are correlated.
        pictures: How many it was made of, mirror images not counted.
    """

    mean_CHW: Tensor
    blocks: tuple[Block, ...]
    variances_CHW: NDArray[np.float64]
    side: int
    pictures: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a picture."""
        channels, height, width = self.variances_CHW.shape
        return channels, height, width

    @cached_property
    def spectrum_d(self) -> NDArray[np.float64]:
        """Eigenvalues of Sigma, in the order of coordinates."""
        values = self.variances_CHW.ravel().copy()
        for block in self.blocks:
            values[block.places_m.numpy()] = block.values_m
        return values

    def about(self) -> dict[str, Any]:
        """What a result says of it."""
        return {
            "pictures": self.pictures,
            "correlated_side": self.side,
            "pictures_for_all_correlations": pictures_needed(min(self.shape[1:])),
            "mean_picture_mse": float(self.spectrum_d.mean()),
        }

    def draw(self, count: int, seed: int) -> Tensor:
        """Pictures of the prior, N x 3 x H x W, neither cut to [0, 1] nor rounded."""
        generator, size = torch.Generator().manual_seed(seed), self.variances_CHW.size
        parts = [len(part) for part in torch.split(torch.empty(count), _DRAWN_AT_ONCE)]
        return torch.cat([self.pictures_of(torch.randn(n, size, generator=generator)) for n in parts])

    def pictures_of(self, t_Nd: Tensor) -> Tensor:
        """Pictures at coordinates; differentiable."""
        values = t_Nd * self._deviations_d
        for block in self.blocks:
            values = values.index_copy(1, block.places_m, values[:, block.places_m] @ block.axes_mm.T)
        rows, columns = self._transforms
        return rows.T @ values.view(-1, *self.shape) @ columns + self.mean_CHW

    def coordinates_of(self, x_NCHW: Tensor) -> Tensor:
        """The inverse of ``pictures_of``."""
        values = self.frequencies(x_NCHW - self.mean_CHW).flatten(1)
        for block in self.blocks:
            values = values.index_copy(1, block.places_m, values[:, block.places_m] @ block.axes_mm)
        return values / self._deviations_d

    def frequencies(self, x_NCHW: Tensor) -> Tensor:
        """The orthonormal cosine transform of each colour."""
        rows, columns = self._transforms
        return rows @ x_NCHW @ columns.T

    @cached_property
    def _deviations_d(self) -> Tensor:
        return torch.from_numpy(np.sqrt(self.spectrum_d)).float()

    @cached_property
    def _transforms(self) -> tuple[Tensor, Tensor]:
        return _transforms(self.shape)


def _transforms(shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    rows, columns = (torch.from_numpy(dct(np.eye(side), axis=0, norm="ortho")).float() for side in shape[1:])
    return rows, columns


def pictures_needed(side: int) -> int:
    """Pictures from which the correlations of so many lowest frequencies are estimated: as many as there are.

    Each of the two blocks then has half as many frequencies as pictures.

    Example:
        >>> pictures_needed(32)
        3072
    """
    return 3 * side * side


def fit_ruler(images_NHWC: NDArray[np.uint8]) -> Ruler:
    """The ruler of a data set.

    Args:
        images_NHWC: Its pictures; the first ``MOST_PICTURES`` are taken.

    Raises:
        DataError: too few for a covariance; says how many are needed.
    """
    taken = images_NHWC[:MOST_PICTURES]
    count, height, width = taken.shape[:3]
    side = min(height, width, MOST_SIDE, int((count / 3) ** 0.5))
    if side < min(LEAST_SIDE, height, width):
        least = pictures_needed(min(LEAST_SIDE, height, width))
        raise DataError(
            f"{count} pictures are too few for the covariance of a ruler: {least} are needed for its "
            f"{LEAST_SIDE}x{LEAST_SIDE} lowest frequencies, {pictures_needed(min(height, width))} for all "
            f"of {height}x{width} pixels; give more of the attacker's pictures"
        )
    shape = (3, height, width)
    low = np.zeros(shape, dtype=bool)
    low[:, :side, :side] = True
    is_odd = np.broadcast_to(np.arange(width) % 2 == 1, shape)
    places = [torch.from_numpy(np.flatnonzero(low & (is_odd == odd))) for odd in (False, True)]
    mean, squares, products = _moments(taken, shape, places)
    # mirror images cancel what is odd
    mean[is_odd] = 0
    variances = squares - mean**2 + ROUNDING
    blocks = tuple(
        _block(place, product, mean.ravel()) for place, product in zip(places, products, strict=True)
    )
    rows, columns = _transforms(shape)
    mean_CHW = rows.T @ torch.from_numpy(mean).float() @ columns + 0.5
    return Ruler(mean_CHW, blocks, variances, side, count)


def _moments(
    images_NHWC: NDArray[np.uint8], shape: tuple[int, int, int], places: list[Tensor]
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[NDArray[np.float64]]]:
    """First and second moments of frequencies, and second ones among those that are correlated."""
    rows, columns = _transforms(shape)
    mean, squares = np.zeros(shape), np.zeros(shape)
    products = [np.zeros((len(place), len(place))) for place in places]
    for start in range(0, len(images_NHWC), _AT_ONCE):
        part = to_floats(torch.from_numpy(np.ascontiguousarray(images_NHWC[start : start + _AT_ONCE])))
        values = rows @ (part - 0.5) @ columns.T
        mean += values.sum(0, dtype=torch.float64).numpy()
        squares += values.double().square().sum(0).numpy()
        flat = values.flatten(1)
        for place, product in zip(places, products, strict=True):
            some = flat[:, place]
            product += (some.T @ some).numpy()
    count = len(images_NHWC)
    return mean / count, squares / count, [product / count for product in products]


def _block(places: Tensor, product: NDArray[np.float64], mean_d: NDArray[np.float64]) -> Block:
    own = mean_d[places.numpy()]
    values, axes = np.linalg.eigh(product - np.outer(own, own))
    return Block(places, np.maximum(values, 0) + ROUNDING, torch.from_numpy(axes).float())
