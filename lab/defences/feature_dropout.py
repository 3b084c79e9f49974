"""Dropping feature values (He et al., 2020): most of what leaves the device is zero.

z = f b,  b ~ Bernoulli(1 - r)        cross-entropy
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from siftfunnel.lab.defences.defence import Defence
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.shared.manifest import EdgeStage


class FeatureDropout(nn.Module):
    """Replace each value by 0 with probability ``rate``; those that stay keep their size.

    Raises:
        ValueError: the rate is not in [0, 1).
    """

    stochastic = True

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate is a probability below 1, got {rate}")
        self.rate = rate

    @property
    def gain(self) -> float:
        """``1 / (1 - rate)``: a mean of observations is that much too small."""
        return 1 / (1 - self.rate)

    def forward(self, z_NCHW: Tensor) -> Tensor:
        """The feature with a fresh mask."""
        return z_NCHW * (torch.rand_like(z_NCHW) >= self.rate).to(z_NCHW.dtype)


@dataclass(frozen=True)
class FeatureDropoutDefence(Defence):
    """A fresh random mask on every feature, in training and at inference; values that stay are not scaled up.

    Attributes:
        rate: Probability of a value to be dropped. 0.8 is the paper's: its non-zero counts are in the ratio
            0.2000.
    """

    rate: float = 0.8

    name: ClassVar[str] = "feature-dropout"
    label: ClassVar[str] = "Drop features"
    source: ClassVar[str] = "He et al., IEEE IoT Journal 2020"
    origins: ClassVar[Mapping[str, str]] = {"rate": "paper"}

    def weighted(self, factor: float) -> "FeatureDropoutDefence":
        """With the share that stays divided by the factor."""
        return replace(self, rate=1 - (1 - self.rate) / factor)

    def furnish(self, network: SplitNetwork) -> None:
        """Put the mask at the cut."""
        network.stage = FeatureDropout(self.rate)

    def edge_stages(self, network: SplitNetwork) -> tuple[EdgeStage, ...]:
        """The mask as a manifest names it."""
        return (EdgeStage("feature-dropout", {"rate": self.rate}),)
