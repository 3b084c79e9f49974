"""A tensor between the halves as maps, and maps as patches: what a funnel transforms.

tensor [N, ...] -> maps [N, C, H, W] -> patches [N, places, C * side * side]
"""

from collections.abc import Sequence

from torch import Tensor

from siftfunnel.shared.tensors import FeatureSpec, TensorSpec

SIDES = (1, 2, 4, 7, 8)
"""Sides of patches that are tried, where they divide the map."""
MAX_PATCH_VALUES = 1024
"""Of a patch at most: the transform has the square of it."""


def maps_spec(tensor: TensorSpec) -> FeatureSpec:
    """Channels, rows and columns of a tensor's maps.

    Two axes are tokens with their channels last, as transformers have them.

    >>> maps_spec(TensorSpec("t", (196, 64))).shape, maps_spec(TensorSpec("t", (10,))).shape
    ((64, 196, 1), (10, 1, 1))
    """
    if len(tensor.shape) == 2:
        return FeatureSpec(tensor.shape[1], tensor.shape[0], 1)
    return tensor.as_feature


def to_maps(values: Tensor, tensor: TensorSpec) -> Tensor:
    """N x shape -> N x C x H x W."""
    if len(tensor.shape) == 2:
        return values.transpose(1, 2).unsqueeze(3)
    return values.reshape(len(values), *maps_spec(tensor).shape)


def from_maps(maps_NCHW: Tensor, tensor: TensorSpec) -> Tensor:
    """N x C x H x W -> N x shape."""
    if len(tensor.shape) == 2:
        return maps_NCHW.squeeze(3).transpose(1, 2)
    return maps_NCHW.reshape(len(maps_NCHW), *tensor.shape)


def possible_sides(maps: FeatureSpec) -> tuple[int, ...]:
    """The sides of patches that divide the maps and whose patches are not too large; 1 always.

    >>> possible_sides(FeatureSpec(40, 28, 28)), possible_sides(FeatureSpec(2048, 1, 1))
    ((1, 2, 4), (1,))
    """
    channels, height, width = maps.shape
    return tuple(
        side
        for side in SIDES
        if side == 1
        or (height % side == 0 and width % side == 0 and channels * side * side <= MAX_PATCH_VALUES)
    )


def to_patches(maps_NCHW: Tensor, side: int) -> Tensor:
    """N x C x H x W -> N x places x C * side * side, channels slowest."""
    count, channels, height, width = maps_NCHW.shape
    cells = maps_NCHW.reshape(count, channels, height // side, side, width // side, side)
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(count, -1, channels * side * side)


def from_patches(patches_NPI: Tensor, side: int, shape: Sequence[int]) -> Tensor:
    """The inverse of `to_patches`, for maps of C x H x W."""
    channels, height, width = shape
    cells = patches_NPI.reshape(-1, height // side, width // side, channels, side, side)
    return cells.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, height, width)
