"""Features of any shape as maps that inverters can take: their side doubles to the picture's.

A vector becomes maps of one value, the tokens of a transformer become a square of maps. Where the side does
not become the picture's by doubling, values are repeated (never averaged) up to the next side that does, and
what is larger than the picture is folded into channels: nothing is lost, and ``to_own`` undoes it exactly.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class FeatureLayout:
    """The way from a feature's own shape to maps and back.

    Attributes:
        own: Shape of one feature: channels, height, width; or tokens, width; or values.
        image: Height and width of the picture.
    """

    own: tuple[int, ...]
    image: tuple[int, int]

    @property
    def is_identity(self) -> bool:
        """Whether the feature is a map already that doubles to the picture."""
        return len(self.own) == 3 and self._grid == self._target and self._fold == 1

    @property
    def maps(self) -> tuple[int, int, int]:
        """Channels, height, width of the maps."""
        height, width = self._target
        return self._channels * self._fold**2, height // self._fold, width // self._fold

    def to_maps(self, z: Tensor) -> Tensor:
        """N x own to N x maps; differentiable."""
        if self.is_identity:
            return z
        z_NCHW = self._as_grid(z)
        rows, columns = self._repeats()
        wide = z_NCHW[:, :, rows.to(z.device)][:, :, :, columns.to(z.device)]
        return functional.pixel_unshuffle(wide, self._fold) if self._fold > 1 else wide

    def to_own(self, maps_NCHW: Tensor) -> Tensor:
        """The inverse of ``to_maps``."""
        if self.is_identity:
            return maps_NCHW
        wide = functional.pixel_shuffle(maps_NCHW, self._fold) if self._fold > 1 else maps_NCHW
        first = [
            torch.searchsorted(repeats, torch.arange(side)).to(wide.device)
            for repeats, side in zip(self._repeats(), self._grid, strict=True)
        ]
        z_NCHW = wide[:, :, first[0]][:, :, :, first[1]]
        return self._from_grid(z_NCHW)

    @property
    def _token_side(self) -> int:
        """Side of the square that tokens make, with or without a class token; 0 where they make none."""
        tokens = self.own[0]
        for count in (tokens, tokens - 1):
            side = math.isqrt(max(count, 0))
            if side and side * side == count:
                return side
        return 0

    @property
    def _has_class_token(self) -> bool:
        return self._token_side > 0 and self._token_side**2 == self.own[0] - 1

    @property
    def _channels(self) -> int:
        if len(self.own) == 2:
            return self.own[1] * (2 if self._has_class_token else 1)
        return self.own[0]

    @property
    def _grid(self) -> tuple[int, int]:
        if len(self.own) == 3:
            return self.own[1], self.own[2]
        if len(self.own) == 2:
            side = self._token_side
            return (side, side) if side else (self.own[0], 1)
        return 1, 1

    @property
    def _fold(self) -> int:
        return max(
            1, *(math.ceil(side / wanted) for side, wanted in zip(self._grid, self.image, strict=True))
        )

    @property
    def _target(self) -> tuple[int, int]:
        """The smallest sides that hold the grid and become the picture's by doubling."""
        height, width = (side * self._fold for side in self.image)
        while (
            height % 2 == 0
            and width % 2 == 0
            and height // 2 >= self._grid[0]
            and width // 2 >= self._grid[1]
        ):
            height, width = height // 2, width // 2
        return height, width

    def _repeats(self) -> tuple[Tensor, Tensor]:
        rows, columns = (
            torch.arange(wanted) * side // wanted
            for side, wanted in zip(self._grid, self._target, strict=True)
        )
        return rows, columns

    def _as_grid(self, z: Tensor) -> Tensor:
        if len(self.own) == 3:
            return z
        if len(self.own) == 1:
            return z[:, :, None, None]
        tokens_NDT = z.transpose(1, 2)
        if not self._has_class_token:
            return tokens_NDT.reshape(len(z), self.own[1], *self._grid)
        grid = tokens_NDT[:, :, 1:].reshape(len(z), self.own[1], *self._grid)
        return torch.cat([grid, tokens_NDT[:, :, :1, None].expand_as(grid)], dim=1)

    def _from_grid(self, z_NCHW: Tensor) -> Tensor:
        if len(self.own) == 3:
            return z_NCHW
        if len(self.own) == 1:
            return z_NCHW[:, :, 0, 0]
        if not self._has_class_token:
            return z_NCHW.flatten(2).transpose(1, 2)
        grid, token = z_NCHW.chunk(2, dim=1)
        return torch.cat([token[:, :, 0, :1], grid.flatten(2)], dim=2).transpose(1, 2)
