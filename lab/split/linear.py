"""The funnel in closed form: a linear transform of patches, weighted by what the outputs ask for.

    M = ridge of E[g g^T],  R = M^1/2,  R S R^T = U L U^T        S = covariance of patches x
    z = E (x - mean)        E = U^T R                            a strided convolution
    x = D z + mean          D = R^-1 U                           a transposed one

An error in z costs the outputs the same in every direction, so equal steps for all channels are right, and
channels that are zero at the finest step need no convolution. Steps of several tensors are one step: their z
live in the same space. What it transforms are patches of maps:

    tensor [N, ...] -> maps [N, C, H, W] -> patches [N, places, C * side * side]
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from siftfunnel.shared.tensors import FeatureSpec, TensorSpec

POOLED = 0.5
"""Share of M that is pooled over the places within a patch: few pictures tell channels apart, not places."""
RIDGE = 0.03
"""Of the mean importance, added to every direction."""
BATCH = 32
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


@dataclass(frozen=True)
class Refinement:
    """What a trained funnel adds to the decoded maps, in the cloud: conv 3x3, ReLU, conv 3x3.

    It mends what patches that were rounded apart from one another do to their borders.

    Attributes:
        first_HC33: Weights of the first convolution.
        first_H: Its bias.
        second_CH33: Weights of the second.
        second_C: Its bias.
    """

    first_HC33: Tensor
    first_H: Tensor
    second_CH33: Tensor
    second_C: Tensor

    def __call__(self, maps_NCHW: Tensor) -> Tensor:
        """Maps with what is added."""
        hidden = functional.conv2d(maps_NCHW, self.first_HC33, self.first_H, padding=1).relu()
        return maps_NCHW + functional.conv2d(hidden, self.second_CH33, self.second_C, padding=1)


@dataclass(frozen=True)
class TensorFunnel:
    """The transform of one tensor.

    Attributes:
        tensor: What it transforms.
        side: Of its patches.
        encode_KI: E.
        decode_IK: D.
        mean_I: Of patches.
        variances_K: Of z over the pictures it was fitted to, falling.
        refinement: Of the decoded maps; None in closed form.
    """

    tensor: TensorSpec
    side: int
    encode_KI: Tensor
    decode_IK: Tensor
    mean_I: Tensor
    variances_K: Tensor
    refinement: Refinement | None = None

    @property
    def channels(self) -> int:
        """Channels that are sent."""
        return len(self.encode_KI)

    @property
    def sent(self) -> TensorSpec:
        """What crosses the wire in this tensor's place, under its name."""
        maps = maps_spec(self.tensor)
        return TensorSpec(
            self.tensor.name, (self.channels, maps.height // self.side, maps.width // self.side)
        )

    @property
    def macs(self) -> int:
        """Multiply-adds of the convolution on the device, for a picture."""
        return self.channels * maps_spec(self.tensor).size

    def encode(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Tensors N x shape -> z, N x K x h x w."""
        maps = maps_spec(self.tensor)
        kernel = self.encode_KI.reshape(-1, maps.channels, self.side, self.side)
        bias = -self.encode_KI @ self.mean_I
        rows = [
            functional.conv2d(
                to_maps(torch.from_numpy(values[start : start + BATCH]), self.tensor),
                kernel,
                bias,
                stride=self.side,
            )
            for start in range(0, len(values), BATCH)
        ]
        return torch.cat(rows).numpy()

    def decode(self, z_NKhw: NDArray[np.float32]) -> NDArray[np.float32]:
        """The inverse of `encode`."""
        parts = [
            self._decoded(torch.from_numpy(z_NKhw[start : start + BATCH]))
            for start in range(0, len(z_NKhw), BATCH)
        ]
        return np.ascontiguousarray(torch.cat(parts).numpy())

    def _decoded(self, z_NKhw: Tensor) -> Tensor:
        rows = z_NKhw.flatten(2).transpose(1, 2) @ self.decode_IK.T + self.mean_I
        maps = from_patches(rows, self.side, maps_spec(self.tensor).shape)
        return from_maps(self.refinement(maps) if self.refinement else maps, self.tensor)

    def keep(self, channels: NDArray[np.bool_]) -> "TensorFunnel":
        """The same with some channels only; one at least is kept."""
        kept = np.flatnonzero(channels) if channels.any() else np.array([0])
        index = torch.from_numpy(kept)
        return replace(
            self,
            encode_KI=self.encode_KI[index].contiguous(),
            decode_IK=self.decode_IK[:, index].contiguous(),
            variances_K=self.variances_K[index],
        )


def moments(values: NDArray[np.float32], tensor: TensorSpec, side: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance of a tensor's patches, in double precision."""
    count, total, products = 0, torch.zeros(1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    shift = to_patches(to_maps(torch.from_numpy(values[:BATCH]), tensor), side).flatten(0, 1).mean(0)
    for start in range(0, len(values), BATCH):
        maps = to_maps(torch.from_numpy(values[start : start + BATCH]), tensor)
        rows = to_patches(maps, side).flatten(0, 1) - shift
        count, total = count + len(rows), total + rows.sum(0).double()
        products = products + (rows.T @ rows).double()
    mean = total / count
    return (mean + shift).float(), products / count - torch.outer(mean, mean)


def steadied(importance: Tensor, side: int) -> Tensor:
    """M that few pictures can tell: half of it pooled over a patch's places, with a ridge."""
    size = len(importance)
    channels = size // side**2
    by_place = importance.reshape(channels, side**2, channels, side**2)
    pooled = torch.einsum("aibi->ab", by_place) / side**2
    eye = torch.eye(side**2, dtype=importance.dtype)
    mixed = (1 - POOLED) * importance + POOLED * torch.kron(pooled.contiguous(), eye)
    return mixed + RIDGE * mixed.trace() / size * torch.eye(size, dtype=importance.dtype)


def fit_tensor(
    values: NDArray[np.float32], tensor: TensorSpec, side: int, importance: Tensor
) -> TensorFunnel:
    """The funnel of one tensor, with all its channels.

    Args:
        values: Of the pictures to fit to, N x shape.
        tensor: What they are.
        side: Of patches.
        importance: M of such patches, as it was summed up.
    """
    mean, covariance = moments(values, tensor, side)
    eigenvalues, vectors = torch.linalg.eigh(steadied(importance, side))
    roots = eigenvalues.clamp_min(1e-30).sqrt()
    root, inverse = (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T
    variances, basis = torch.linalg.eigh(root @ covariance @ root)
    order = torch.arange(len(variances) - 1, -1, -1)
    basis = basis[:, order]
    return TensorFunnel(
        tensor,
        side,
        (basis.T @ root).float(),
        (inverse @ basis).float(),
        mean,
        variances[order].clamp_min(0),
    )


def unit_of(funnels: Sequence[TensorFunnel]) -> float:
    """The deviation of z over all tensors: steps are told in it."""
    variances = torch.cat([funnel.variances_K for funnel in funnels])
    return float(variances.mean().sqrt()) or 1.0
