"""MID (Wang et al., AAAI 2021): a variational bottleneck before the head.

    L = cross-entropy + beta KL(N(mu, sigma^2) || N(0, 1)),   h = mu + sigma n

The bottleneck stands at the penultimate layer, in the cloud, where the released code has it. It cannot
protect the feature on the wire, which never passes it, except by what the gradient teaches the edge.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from siftfunnel.lab.defences.defence import Defence, Step
from siftfunnel.lab.defences.losses import Loss, standard_normal_divergence
from siftfunnel.lab.networks.necks import GaussianBottleneck


@dataclass(frozen=True)
class MID(Defence):
    """Cross-entropy through a stochastic layer whose information costs ``beta`` per nat.

    Attributes:
        beta: Weight of the divergence, summed over the layer's units and averaged over the batch.
    """

    beta: float = 1e-2

    name: ClassVar[str] = "mid"
    label: ClassVar[str] = "MID"
    source: ClassVar[str] = "Wang et al., Improving robustness to model inversion attacks, AAAI 2021"
    variant: ClassVar[str] = "bottleneck"
    own_weight: ClassVar[tuple[str, ...]] = ("beta",)
    origins: ClassVar[Mapping[str, str]] = {"beta": "paper"}

    def loss(self, step: Step) -> Loss:
        """Cross-entropy and divergence."""
        bottleneck = step.network.cloud[-1][1]  # type: ignore[index]
        assert isinstance(bottleneck, GaussianBottleneck)
        mu_ND, sigma_ND = bottleneck.moments(step.hidden[-1].flatten(1))
        divergence = standard_normal_divergence(mu_ND, sigma_ND).sum(dim=1).mean()
        entropy = step.cross_entropy
        return Loss(entropy + self.beta * divergence, {"cross_entropy": entropy, "bottleneck": divergence})
