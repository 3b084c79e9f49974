"""What training adds to the funnel of one tensor: A, B, the network behind D, and a model of the rate."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from siftfunnel.lab.split.linear import Refinement, TensorFunnel, from_maps, from_patches, maps_spec

HIDDEN = 2
"""Times the channels, in the network behind D."""
LEAST_SCALE = 0.03
LEAST_LIKELIHOOD = 1e-7


class Mixing(nn.Module):
    """A, B and the rate model of one tensor's funnel.

    Args:
        part: The funnel to go on from.
        z: Of the pictures that are trained on, N x K x h x w.
        unit: What steps are told in.
        step: The finest, in units.
    """

    gain_K: Tensor
    decode_IK: Tensor
    mean_I: Tensor

    def __init__(self, part: TensorFunnel, z: NDArray[np.float32], unit: float, step: float) -> None:
        super().__init__()
        self.part, self.unit = part, unit
        size = part.channels
        self.a_KK = nn.Parameter(torch.zeros(size, size))
        self.b_KK = nn.Parameter(torch.zeros(size, size))
        scale = torch.from_numpy(np.abs(z).mean(axis=(0, 2, 3)) / unit).clamp_min(LEAST_SCALE)
        self.log_scale_K = nn.Parameter(scale.log())
        deviation = torch.from_numpy(z.std(axis=(0, 2, 3)) / unit)
        maps = maps_spec(part.tensor)
        self.has_places = min(maps.height, maps.width) > 1
        hidden = HIDDEN * maps.channels if self.has_places else 1
        self.map_scale = float((part.decode_IK.square() @ part.variances_K.float()).mean().sqrt())
        self.first = nn.Conv2d(maps.channels, hidden, 3, padding=1)
        self.second = nn.Conv2d(hidden, maps.channels, 3, padding=1)
        self._begin(part.refinement)
        self.register_buffer("gain_K", step / deviation.clamp_min(step / 2))
        self.register_buffer("decode_IK", part.decode_IK * unit)
        self.register_buffer("mean_I", part.mean_I)

    @torch.no_grad()
    def _begin(self, known: Refinement | None) -> None:
        """As nothing, or as what an earlier training left."""
        assert self.first.bias is not None
        assert self.second.bias is not None
        if known is None:
            self.second.weight.zero_()
            self.second.bias.zero_()
            return
        self.first.weight.copy_(known.first_HC33 * self.map_scale)
        self.first.bias.copy_(known.first_H)
        self.second.weight.copy_(known.second_CH33 / self.map_scale)
        self.second.bias.copy_(known.second_C / self.map_scale)

    def sent(self, z_NPK: Tensor) -> Tensor:
        """z', in units."""
        return z_NPK + (z_NPK * self.gain_K) @ self.a_KK.T

    def bits_N(self, sent_NPK: Tensor, step: Tensor) -> Tensor:
        """Of each frame under a Laplace distribution for each channel, convolved with a step."""
        scale = self.log_scale_K.exp()
        upper, lower = (_laplace((sent_NPK + side * step / 2) / scale) for side in (1, -1))
        return -torch.log2((upper - lower).clamp_min(LEAST_LIKELIHOOD)).sum(dim=(1, 2))

    def tensor(self, arrived_NPK: Tensor) -> Tensor:
        """What the cloud half gets."""
        mixed = arrived_NPK + (arrived_NPK * self.gain_K) @ self.b_KK.T
        rows = mixed @ self.decode_IK.T + self.mean_I
        maps = from_patches(rows, self.part.side, maps_spec(self.part.tensor).shape)
        if self.has_places:
            maps = maps + self.map_scale * self.second(self.first(maps / self.map_scale).relu())
        return from_maps(maps, self.part.tensor)

    @torch.no_grad()
    def folded(self, z: NDArray[np.float32]) -> TensorFunnel:
        """The funnel with A and B in its matrices."""
        eye = torch.eye(self.part.channels)
        before, behind = (eye + mixing * self.gain_K for mixing in (self.a_KK, self.b_KK))
        encode, decode = before @ self.part.encode_KI, self.part.decode_IK @ behind
        rows = torch.from_numpy(z).flatten(2).transpose(1, 2).reshape(-1, self.part.channels)
        variances = (rows @ before.T).var(dim=0)
        refinement = self._refinement() if self.has_places else None
        return replace(
            self.part, encode_KI=encode, decode_IK=decode, variances_K=variances, refinement=refinement
        )

    def _refinement(self) -> Refinement:
        first, second = self.first, self.second
        assert first.bias is not None
        assert second.bias is not None
        # the first layer takes maps as they are, the second gives them
        return Refinement(
            first.weight / self.map_scale,
            first.bias.clone(),
            second.weight * self.map_scale,
            second.bias * self.map_scale,
        )


def _laplace(x: Tensor) -> Tensor:
    """Its cumulative distribution, of scale 1."""
    return torch.where(x < 0, 0.5 * x.clamp(max=0).exp(), 1 - 0.5 * (-x.clamp(min=0)).exp())
