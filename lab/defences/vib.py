"""VIB (after Wang et al., 2024): noise at the cut, and a price on the information that gets through it.

    L = cross-entropy + beta mean KL(N(f(x), sigma_c^2) || N(0, 1)),   z = f(x) + sigma_c n

The divergence, summed over the values, bounds I(x; z) from above. The source's code is not public; its
adversarial part is left out, as the paper leaves out adversarial training everywhere. One learned sigma for
each channel is ours.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from siftfunnel.lab.defences.defence import Defence, Step
from siftfunnel.lab.defences.losses import Loss, standard_normal_divergence
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.shared.manifest import EdgeStage


class ChannelGaussianNoise(nn.Module):
    """Gaussian noise whose size is learned for each channel, ``sigma_c = softplus(raw_c)``.

    Raises:
        ValueError: the first sigma is not a positive number.
    """

    stochastic, gain = True, 1.0

    def __init__(self, channels: int, initial_sigma: float) -> None:
        super().__init__()
        if not 0 < initial_sigma < math.inf:
            raise ValueError(f"the first sigma must be a positive number, got {initial_sigma}")
        # the inverse of softplus
        self.raw = nn.Parameter(torch.full((channels,), math.log(math.expm1(initial_sigma))))

    @property
    def sigmas_C(self) -> Tensor:
        """Standard deviation of each channel's noise, above 0."""
        sigmas: Tensor = functional.softplus(self.raw)
        return sigmas

    def forward(self, z_NCHW: Tensor) -> Tensor:
        """The feature with fresh noise."""
        return z_NCHW + self.sigmas_C[:, None, None] * torch.randn_like(z_NCHW)


@dataclass(frozen=True)
class VIB(Defence):
    """A variational information bottleneck at the cut.

    Attributes:
        beta: Weight of the divergence's mean over the feature's values. The paper's is lost. At 0.1 the noise
            costs the labels about what it saves: much more drives every channel into the noise, much less
            leaves sigma where it began.
        initial_sigma: Deviation of the noise at the start of training, small beside features of about 1.
    """

    beta: float = 0.1
    initial_sigma: float = 0.1

    name: ClassVar[str] = "vib"
    label: ClassVar[str] = "VIB"
    source: ClassVar[str] = "Wang et al., arXiv 2312.03252 (likely the paper's source), without its adversary"
    own_weight: ClassVar[tuple[str, ...]] = ("beta",)
    origins: ClassVar[Mapping[str, str]] = {"beta": "ours", "initial_sigma": "ours"}

    def furnish(self, network: SplitNetwork) -> None:
        """Put the learned noise at the cut."""
        network.stage = ChannelGaussianNoise(network.feature_shape[0], self.initial_sigma)

    def edge_stages(self, network: SplitNetwork) -> tuple[EdgeStage, ...]:
        """The noise as a manifest names it, with what was learned."""
        sigmas = _stage(network).sigmas_C.detach().cpu().tolist()
        return (EdgeStage("channel-gaussian-noise", {"sigmas": sigmas}),)

    def loss(self, step: Step) -> Loss:
        """Cross-entropy and divergence in nats per value."""
        clean_NCHW = step.hidden[len(step.network.edge) - 1]
        sigmas = _stage(step.network).sigmas_C[:, None, None]
        divergence = standard_normal_divergence(clean_NCHW, sigmas).mean()
        entropy = step.cross_entropy
        return Loss(entropy + self.beta * divergence, {"cross_entropy": entropy, "information": divergence})


def _stage(network: SplitNetwork) -> ChannelGaussianNoise:
    assert isinstance(network.stage, ChannelGaussianNoise)
    return network.stage
