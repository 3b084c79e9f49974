"""Small convolutional encoders that bring a picture and a feature of any size to one grid.

Used by the estimators of information. Both sides are standardised with the training pairs' statistics: a
funnel's feature has a standard deviation of 0.01, which no optimiser's default settings can work with.
"""

import math
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

DEAD_DEVIATION = 1e-12
LEAST_GRID = 4


@dataclass(frozen=True)
class Standardiser:
    """Mean and standard deviation per channel; a channel that never changes is only centred."""

    mean_C: Tensor
    deviation_C: Tensor

    def __call__(self, values_NCHW: Tensor) -> Tensor:
        """Values with mean 0 and standard deviation 1 on the pairs it was made from."""
        return (values_NCHW - self.mean_C[:, None, None]) / self.deviation_C[:, None, None]


def standardiser(values_NCHW: Tensor) -> Standardiser:
    """The statistics of some pictures or features.

    Example:
        >>> import torch
        >>> scale = standardiser(torch.tensor([1.0, 3.0]).view(2, 1, 1, 1))
        >>> scale(torch.tensor([5.0]).view(1, 1, 1, 1)).item()
        3.0
    """
    deviation = values_NCHW.std(dim=(0, 2, 3), correction=0)
    dead = deviation <= DEAD_DEVIATION
    return Standardiser(values_NCHW.mean(dim=(0, 2, 3)), deviation.masked_fill(dead, 1.0))


class GridEncoder(nn.Module):
    """N x C x H x W to N x width x g x g': a convolution, one of stride 2 per halving, then the exact grid.

    A side below the grid is repeated up to it, one above is averaged down.
    """

    def __init__(self, channels: int, side: int, grid: tuple[int, int], width: int) -> None:
        super().__init__()
        self.grid = grid
        halvings = max(0, math.floor(math.log2(side / max(grid))))
        strides = [2] * halvings or [1]
        layers: list[nn.Module] = []
        for stride in strides:
            layers += [nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1), nn.LeakyReLU(0.1)]
            channels = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, width, kernel_size=1))

    def forward(self, values_NCHW: Tensor) -> Tensor:
        """The encoding on the grid."""
        encoded: Tensor = self.layers(values_NCHW)
        if encoded.shape[2] < self.grid[0] or encoded.shape[3] < self.grid[1]:
            return functional.interpolate(encoded, size=self.grid, mode="nearest")
        return functional.adaptive_avg_pool2d(encoded, self.grid)


def shared_grid(x_NCHW: Tensor) -> tuple[int, int]:
    """A quarter of the picture's sides, but 4 at least if they have them: where both encodings meet.

    Example:
        >>> import torch
        >>> shared_grid(torch.zeros(1, 3, 64, 32))
        (16, 8)
    """
    height, width = (max(min(LEAST_GRID, side), side // 4) for side in x_NCHW.shape[2:])
    return height, width


def encoder_pair(x_NCHW: Tensor, z_NCHW: Tensor, width: int) -> tuple[GridEncoder, GridEncoder]:
    """Encoders for pictures and features like these."""
    grid = shared_grid(x_NCHW)
    return (
        GridEncoder(x_NCHW.shape[1], max(x_NCHW.shape[2:]), grid, width),
        GridEncoder(z_NCHW.shape[1], max(z_NCHW.shape[2:]), grid, width),
    )
