"""Layers that open an inverter: a feature's values in another order, and its tensors each in its own way."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Rearranged(nn.Module):
    """Takes value ``index[i]`` of a frame as value ``i``, and gives frames the shape of maps.

    Args:
        index_K: Which value stands where, in the order of the maps.
        maps: Channels, height, width; their product is K.
    """

    index: Tensor

    def __init__(self, index_K: Tensor, maps: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("index", index_K.long())
        self.maps = maps

    def extra_repr(self) -> str:
        """The maps."""
        return " x ".join(map(str, self.maps))

    def forward(self, z: Tensor) -> Tensor:
        """N x anything to N x maps."""
        return z.flatten(1)[:, self.index].reshape(-1, *self.maps)


class Parted(nn.Module):
    """Cuts a frame's values into tensors, sends some of them through a layer, and lays all end to end.

    Args:
        sizes: Values of each tensor.
        ways: For each its shape and its layer, or None where its values go on as they are.
    """

    def __init__(
        self, sizes: Sequence[int], ways: Sequence[tuple[tuple[int, ...], nn.Module] | None]
    ) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.ways = nn.ModuleList(
            nn.Identity() if way is None else nn.Sequential(nn.Unflatten(1, way[0]), way[1], nn.Flatten())
            for way in ways
        )

    def forward(self, z: Tensor) -> Tensor:
        """N x anything to N x values."""
        parts = torch.split(z.flatten(1), self.sizes, dim=1)
        return torch.cat([way(part) for way, part in zip(self.ways, parts, strict=True)], dim=1)
