"""Features of any shape as maps that inverters can take: their sides double to the picture's, or just beyond.

A vector becomes maps of one value, the tokens of a transformer become a square of maps. Where a side does not
become the picture's by doubling, values are repeated (never averaged) up to the next side that does, and what
is larger is folded into channels: nothing is lost, and ``to_own`` undoes it exactly. Several tensors of one
frame, which travel laid end to end, are brought to one grid and stand one behind the other as channels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

MOST_SIDE = 64
"""Of maps: a larger grid is folded into channels, or an inverter's blocks would cost too much."""
MOST_GROWTH = 2
"""By what factor repeating may multiply the values where several tensors share a grid."""
MOST_DOUBLINGS = 12


def doubled_down(image: tuple[int, int], doublings: int) -> tuple[int, int]:
    """The least sides that become the picture's, or just more, by so many doublings.

    Example:
        >>> doubled_down((227, 224), 3)
        (29, 28)
    """
    height, width = (-(-side // 2**doublings) for side in image)
    return height, width


@dataclass(frozen=True)
class TensorLayout:
    """The way of one tensor from its own shape to maps of a grid and back.

    Attributes:
        own: Its shape: channels, height, width; or tokens, width; or values; more axes count as rows.
        grid: Height and width of the maps.
    """

    own: tuple[int, ...]
    grid: tuple[int, int]

    @property
    def channels(self) -> int:
        """Maps that it becomes."""
        return self._channels * self.fold**2

    @cached_property
    def sides(self) -> tuple[int, int]:
        """Its own grid: what is spatial about it."""
        if len(self.own) == 2:
            side = self._token_side
            return (side, side) if side else (self.own[0], 1)
        return (self.own[1], math.prod(self.own[2:])) if len(self.own) > 2 else (1, 1)

    @cached_property
    def fold(self) -> int:
        """How many rows and columns of it stand in one place of the grid, as channels."""
        return max(1, *(-(-side // wanted) for side, wanted in zip(self.sides, self.grid, strict=True)))

    def to_maps(self, z: Tensor) -> Tensor:
        """N x own to N x channels x grid; differentiable."""
        rows, columns = (repeats.to(z.device) for repeats in self._repeats())
        wide = self._as_grid(z)
        if self._is_repeated:
            wide = wide[:, :, rows][:, :, :, columns]
        return functional.pixel_unshuffle(wide, self.fold) if self.fold > 1 else wide

    def to_own(self, maps_NCHW: Tensor) -> Tensor:
        """The inverse of ``to_maps``."""
        wide = functional.pixel_shuffle(maps_NCHW, self.fold) if self.fold > 1 else maps_NCHW
        if self._is_repeated:
            rows, columns = (
                torch.searchsorted(repeats, torch.arange(side)).to(wide.device)
                for repeats, side in zip(self._repeats(), self.sides, strict=True)
            )
            wide = wide[:, :, rows][:, :, :, columns]
        return self._from_grid(wide)

    @property
    def _wanted(self) -> tuple[int, int]:
        return self.grid[0] * self.fold, self.grid[1] * self.fold

    @property
    def _is_repeated(self) -> bool:
        return self._wanted != self.sides

    def _repeats(self) -> tuple[Tensor, Tensor]:
        rows, columns = (
            torch.arange(wanted) * side // wanted
            for wanted, side in zip(self._wanted, self.sides, strict=True)
        )
        return rows, columns

    @cached_property
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
        return len(self.own) == 2 and self._token_side > 0 and self._token_side**2 == self.own[0] - 1

    @property
    def _channels(self) -> int:
        if len(self.own) == 2:
            return self.own[1] * (2 if self._has_class_token else 1)
        return self.own[0]

    def _as_grid(self, z: Tensor) -> Tensor:
        if len(self.own) != 2:
            return z.reshape(len(z), self.own[0], *self.sides)
        tokens_NDT = z.transpose(1, 2)
        if not self._has_class_token:
            return tokens_NDT.reshape(len(z), self.own[1], *self.sides)
        grid = tokens_NDT[:, :, 1:].reshape(len(z), self.own[1], *self.sides)
        return torch.cat([grid, tokens_NDT[:, :, :1, None].expand_as(grid)], dim=1)

    def _from_grid(self, z_NCHW: Tensor) -> Tensor:
        if len(self.own) != 2:
            return z_NCHW.reshape(len(z_NCHW), *self.own)
        if not self._has_class_token:
            return z_NCHW.flatten(2).transpose(1, 2)
        grid, token = z_NCHW.chunk(2, dim=1)
        return torch.cat([token[:, :, 0, :1], grid.flatten(2)], dim=2).transpose(1, 2)


@dataclass(frozen=True)
class FeatureLayout:
    """The way from a feature's own shape to maps and back.

    Attributes:
        own: Shape of one feature as codecs have it: of its only tensor, or of all of them packed.
        image: Height and width of the picture.
        tensors: Shapes of what the edge half gives, in the order in which they are packed; empty where that
            is ``own`` itself.
    """

    own: tuple[int, ...]
    image: tuple[int, int]
    tensors: tuple[tuple[int, ...], ...] = ()

    @cached_property
    def parts(self) -> tuple[TensorLayout, ...]:
        """One for each tensor, all on one grid."""
        shapes = self.tensors or (self.own,)
        return min(
            (_on_grid(shapes, doubled_down(self.image, count)) for count in range(MOST_DOUBLINGS)),
            key=_cost,
        )

    @property
    def is_identity(self) -> bool:
        """Whether the feature is a map already that doubles to the picture."""
        return len(self.own) == 3 and self.maps == self.own and self.parts[0].own == self.own

    @cached_property
    def maps(self) -> tuple[int, int, int]:
        """Channels, height, width of the maps."""
        return sum(part.channels for part in self.parts), *self.parts[0].grid

    def to_maps(self, z: Tensor) -> Tensor:
        """N x own to N x maps; differentiable."""
        if self.is_identity:
            return z
        split = torch.split(z.flatten(1), [math.prod(part.own) for part in self.parts], dim=1)
        made = [
            part.to_maps(values.reshape(len(z), *part.own))
            for part, values in zip(self.parts, split, strict=True)
        ]
        return made[0] if len(made) == 1 else torch.cat(made, dim=1)

    def to_own(self, maps_NCHW: Tensor) -> Tensor:
        """The inverse of ``to_maps``."""
        if self.is_identity:
            return maps_NCHW
        split = torch.split(maps_NCHW, [part.channels for part in self.parts], dim=1)
        own = [part.to_own(maps).flatten(1) for part, maps in zip(self.parts, split, strict=True)]
        return torch.cat(own, dim=1).reshape(len(maps_NCHW), *self.own)


def _on_grid(shapes: Sequence[tuple[int, ...]], grid: tuple[int, int]) -> tuple[TensorLayout, ...]:
    return tuple(TensorLayout(shape, grid) for shape in shapes)


def _cost(parts: Sequence[TensorLayout]) -> tuple[bool, bool, int]:
    """Least for the grid to choose.

    One tensor takes the coarsest grid that does not fold it, several the finest on which repeating does not
    multiply their values; a grid that is too large comes last.
    """
    height, width = parts[0].grid
    too_large = max(height, width) > MOST_SIDE
    if len(parts) == 1:
        folds = parts[0].fold > 1
        return too_large, folds, -height * width if folds else height * width
    values = sum(part.channels for part in parts) * height * width
    grows = values > MOST_GROWTH * sum(math.prod(part.own) for part in parts)
    return too_large, grows, values if grows else -height * width
