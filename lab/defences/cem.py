"""CEM (Xia et al., CVPR 2025): noise at the cut, and a price on what the feature tells beyond it.

    z = f(x) + sigma n        L = cross-entropy + weight L_C
    L_C = mean over classes  sum_j  share_j relu(ln(v_j + gamma) - ln(tau sigma^2 + gamma))

Each class's features are a mixture of M Gaussians; v_j is the mean variance round centre j. A mixture's
information through the noise is at most sum_j share_j d/2 ln(1 + v_j / sigma^2) nats and the centre's name
(their theorem bounds the entropy h(x|z), hence the error of any attacker, by that), so L_C prices it.

Known from the released code (github xiasong0501/CEM at 7813a63): gamma 0.01, tau 0.125, weight 8 or 16, sigma
0.01 to 0.15, ten centres a class by k-means on the clean features, the batch's variance mixed with the stored
one by ten times the share of a centre's pictures that the batch holds, and a weight held down by 0.001 /
learning rate while that is high: a fiftieth at first. Ours: the neck (``necks.slim``, theirs is VGG11 with a
sigmoid and 8 linear channels), centres that follow the features batch by batch instead of once an epoch, and
a weight that climbs geometrically, since our schedule has no steps.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from siftfunnel.lab.defences.defence import Defence, Step
from siftfunnel.lab.defences.gaussian_noise import FixedChannelNoise
from siftfunnel.lab.defences.losses import Loss
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.shared.manifest import EdgeStage

GAMMA, TAU = 0.01, 0.125
FORGETTING = 0.99
BATCH_SHARE = 10.0
"""How much more a centre's pictures of the batch count than those it remembers."""


class ClassMixtures(nn.Module):
    """Centres of each class's features, their variances and shares, followed batch by batch.

    Args:
        classes: K.
        centres: M, of each class.
        size: D, values of a feature.
    """

    centre_KMD: Tensor
    variance_KM: Tensor
    mass_KM: Tensor

    def __init__(self, classes: int, centres: int, size: int) -> None:
        super().__init__()
        self.centres = centres
        self.register_buffer("centre_KMD", torch.zeros(classes, centres, size))
        self.register_buffer("variance_KM", torch.zeros(classes, centres))
        self.register_buffer("mass_KM", torch.zeros(classes, centres))

    def forward(self, z_ND: Tensor, labels_N: Tensor, noise: float) -> Tensor:
        """L_C of a batch of clean features against noise of a deviation; the centres follow them first."""
        near_N = self.follow(z_ND.detach(), labels_N)
        cells = labels_N * self.centres + near_N
        squared_N = (z_ND - self.centre_KMD[labels_N, near_N]).square().mean(dim=1)
        count = torch.zeros_like(self.mass_KM).view(-1).index_add(0, cells, torch.ones_like(squared_N))
        batch = torch.zeros_like(count).index_add(0, cells, squared_N) / count.clamp_min(1)
        mixed = (BATCH_SHARE * count / self.mass_KM.view(-1).clamp_min(1e-6)).clamp_max(0.99)
        variance = mixed * batch + (1 - mixed) * self.variance_KM.view(-1)
        told = functional.relu((variance + GAMMA).log() - math.log(TAU * noise**2 + GAMMA))
        share = (self.mass_KM / self.mass_KM.sum(dim=1, keepdim=True).clamp_min(1e-6)).view(-1)
        classes = (count.view_as(self.mass_KM).sum(dim=1) > 0).sum()
        return (share * told * (count > 0)).sum() / classes

    @torch.no_grad()
    def follow(self, z_ND: Tensor, labels_N: Tensor) -> Tensor:
        """Move the centres towards a batch and return each picture's; a class's first pictures found them."""
        self._found(z_ND, labels_N)
        distance_NM = (z_ND[:, None] - self.centre_KMD[labels_N]).square().mean(dim=2)
        near_N = distance_NM.masked_fill(self.mass_KM[labels_N] == 0, math.inf).argmin(dim=1)
        cells = labels_N * self.centres + near_N
        mass, variance = self.mass_KM.view(-1), self.variance_KM.view(-1)
        centre = self.centre_KMD.view(len(mass), -1)
        mass.mul_(FORGETTING).index_add_(0, cells, torch.ones_like(z_ND[:, 0]))
        per_N = 1 / mass[cells]
        # the centre moves towards the picture by the same share (Welford)
        moved_N = distance_NM.gather(1, near_N[:, None])[:, 0] * (1 - per_N) - variance[cells]
        step_ND = z_ND - centre[cells]
        variance.index_add_(0, cells, moved_N * per_N)
        centre.index_add_(0, cells, step_ND * per_N[:, None])
        return near_N

    def _found(self, z_ND: Tensor, labels_N: Tensor) -> None:
        own_NK = functional.one_hot(labels_N, len(self.mass_KM))
        place_N = (own_NK.cumsum(dim=0) * own_NK).sum(dim=1) - 1
        place_N += (self.mass_KM > 0).sum(dim=1)[labels_N]
        new_N = (place_N < self.centres).to(z_ND.dtype)
        cells = labels_N * self.centres + place_N.clamp_max(self.centres - 1)
        # a centre that nobody has founded is at 0
        self.centre_KMD.view(-1, z_ND.shape[1]).index_add_(0, cells, new_N[:, None] * z_ND)
        self.mass_KM.view(-1).index_add_(0, cells, 1e-3 * new_N)


@dataclass(frozen=True)
class CEM(Defence):
    """Conditional entropy maximisation, on one path or on several.

    With several ``sigmas`` the channels are divided evenly: each path has its own noise and its own mixture,
    and what both tell is at most the sum (ours; a path of little noise for what the label needs, one of much
    for the rest).

    Attributes:
        sigmas: Deviation of each path's noise; the feature's channels have one of about 1 at first.
        weight: Weight of L_C at the end of training.
        first_share: Share of it that training begins with.
        centres: Gaussians of a class.
    """

    sigmas: tuple[float, ...] = (0.15,)
    weight: float = 16.0
    first_share: float = 0.02
    centres: int = 10

    name: ClassVar[str] = "cem"
    label: ClassVar[str] = "CEM"
    source: ClassVar[str] = "Xia et al., CVPR 2025, arXiv 2503.00383, and its released code; see cem.py"
    variant: ClassVar[str] = "slim"
    own_weight: ClassVar[tuple[str, ...]] = ("weight",)
    origins: ClassVar[Mapping[str, str]] = {
        "sigmas": "released code",
        "weight": "released code",
        "first_share": "released code",
        "centres": "released code",
    }

    def __post_init__(self) -> None:
        if not 0 < self.first_share <= 1 or self.weight < 0 or self.centres < 1:
            raise ValueError("CEM's weight is 0 or more, its first share in (0, 1], its centres 1 or more")

    @classmethod
    def variations(cls) -> Mapping[str, Defence]:
        """Two paths, and the noise alone."""
        return {"cem-two-paths": cls(sigmas=(0.05, 0.5)), "cem-without-price": cls(weight=0.0)}

    def furnish(self, network: SplitNetwork) -> None:
        """Put the noise at the cut and a mixture beside the network for each path."""
        channels, height, width = network.feature_shape
        each, rest = divmod(channels, len(self.sigmas))
        if rest:
            raise ValueError(f"{channels} channels cannot be divided evenly into {len(self.sigmas)} paths")
        network.stage = FixedChannelNoise([sigma for sigma in self.sigmas for _ in range(each)])
        network.companion = nn.ModuleList(
            ClassMixtures(network.num_classes, self.centres, each * height * width) for _ in self.sigmas
        )

    def edge_stages(self, network: SplitNetwork) -> tuple[EdgeStage, ...]:
        """The noise as a manifest names it."""
        assert isinstance(network.stage, FixedChannelNoise)
        return (network.stage.as_manifest(),)

    def loss(self, step: Step) -> Loss:
        """Cross-entropy, and what each path tells beyond its noise."""
        assert isinstance(step.network.companion, nn.ModuleList)
        clean_NCHW = step.hidden[len(step.network.edge) - 1]
        paths = clean_NCHW.contiguous().chunk(len(self.sigmas), dim=1)
        told = torch.stack(
            [
                mixture(path.flatten(1), step.labels_N, sigma)
                for mixture, path, sigma in zip(step.network.companion, paths, self.sigmas, strict=True)
            ]
        ).sum()
        weight = self.weight * self.first_share ** (1 - step.share_done)
        entropy = step.cross_entropy
        return Loss(entropy + weight * told, {"cross_entropy": entropy, "told": told})
