"""Gaussian noise on the feature (He et al., 2019 and 2020): what everybody tries first.

z = f + sigma n,  n ~ N(0, 1)        cross-entropy
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from siftfunnel.lab.defences.defence import Defence
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.shared.manifest import EdgeStage


class GaussianNoise(nn.Module):
    """Independent Gaussian noise of one size on every value.

    Raises:
        ValueError: sigma is not a positive number.
    """

    stochastic, gain = True, 1.0

    def __init__(self, sigma: float) -> None:
        super().__init__()
        if not 0 < sigma < math.inf:
            raise ValueError(f"sigma must be a positive number, got {sigma}")
        self.sigma = sigma

    def forward(self, z_NCHW: Tensor) -> Tensor:
        """The feature with fresh noise."""
        return z_NCHW + self.sigma * torch.randn_like(z_NCHW)


class FixedChannelNoise(nn.Module):
    """Independent Gaussian noise of a given size for each channel.

    Raises:
        ValueError: a sigma that is not a positive number.
    """

    stochastic, gain = True, 1.0
    sigmas_C: Tensor

    def __init__(self, sigmas: Sequence[float]) -> None:
        super().__init__()
        if not sigmas or not all(0 < sigma < math.inf for sigma in sigmas):
            raise ValueError(f"each channel's sigma must be a positive number, got {tuple(sigmas)}")
        self.register_buffer("sigmas_C", torch.tensor(sigmas))

    def forward(self, z_NCHW: Tensor) -> Tensor:
        """The feature with fresh noise."""
        return z_NCHW + self.sigmas_C[:, None, None] * torch.randn_like(z_NCHW)

    def as_manifest(self) -> EdgeStage:
        """The noise as a manifest names it."""
        return EdgeStage("channel-gaussian-noise", {"sigmas": self.sigmas_C.tolist()})


@dataclass(frozen=True)
class GaussianNoiseDefence(Defence):
    """Independent noise on every value that leaves the device.

    The paper's Table 2 does not say whether its network (74.85 %) trained with the noise; ours does, so that
    it can adapt, which is the defence at its best.

    Attributes:
        sigma: Standard deviation. The paper's value is lost; 0.8 is the default in the released code.
    """

    sigma: float = 0.8

    name: ClassVar[str] = "gaussian-noise"
    label: ClassVar[str] = "Add noise"
    source: ClassVar[str] = "He et al., ACSAC 2019 and IEEE IoT Journal 2020"
    own_weight: ClassVar[tuple[str, ...]] = ("sigma",)
    origins: ClassVar[Mapping[str, str]] = {"sigma": "released code"}

    def furnish(self, network: SplitNetwork) -> None:
        """Put the noise at the cut."""
        network.stage = GaussianNoise(self.sigma)

    def edge_stages(self, network: SplitNetwork) -> tuple[EdgeStage, ...]:
        """The noise as a manifest names it."""
        return (EdgeStage("gaussian-noise", {"sigma": self.sigma}),)
