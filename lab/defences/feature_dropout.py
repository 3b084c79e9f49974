"""Dropping feature values (He et al., 2020): most of what leaves the device is zero.

z = f b,  b ~ Bernoulli(1 - r)        cross-entropy
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from siftfunnel.lab.defences.none import NoDefence
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.lab.networks.stages import FeatureDropout
from siftfunnel.shared.manifest import EdgeStage


@dataclass(frozen=True)
class FeatureDropoutDefence(NoDefence):
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

    def furnish(self, network: SplitNetwork) -> None:
        """Put the mask at the cut."""
        network.stage = FeatureDropout(self.rate)

    def edge_stages(self, network: SplitNetwork) -> tuple[EdgeStage, ...]:
        """The mask as a manifest names it."""
        return (EdgeStage("feature-dropout", {"rate": self.rate}),)
