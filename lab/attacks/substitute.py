"""A substitute for an edge half that cannot be queried, matched to overheard features (FORA, CVPR 2024).

    own pictures --substitute--> z'  ~  z <-- overheard, pictures unknown

Two terms make z' look like z in distribution: the multi-kernel maximum mean discrepancy (MK-MMD) and a
discriminator that tells z from z', whose gradient reaches the substitute reversed, so that one optimiser
trains both. Features are compared in units of the overheard ones' mean and deviation.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from siftfunnel.lab.attacks.victim import BATCH, Victim, to_floats
from siftfunnel.lab.networks.layout import channels_last
from siftfunnel.lab.networks.reversal import ReversedGradient
from siftfunnel.lab.training.fitting import Task

if TYPE_CHECKING:
    from siftfunnel.lab.attacks.fora import Fora

WIDEST, KERNELS = 4.0, 5
"""Kernel widths in units of the mean squared distance: 4, 2, 1, 1/2, 1/4."""
LEAST_STD = 1e-6
POSITIONS = 512
"""About how many positions of a batch are compared."""
REVERSED_SHARE = 0.1
"""Ours: the discriminator's pull on the substitute; at full strength it drowns MK-MMD's."""


def mk_mmd(a_ND: Tensor, b_ND: Tensor) -> Tensor:
    """Squared maximum mean discrepancy with a mean of Gaussian kernels (Gretton et al., 2012); 0 for a = b.

    The kernels' widths are fractions and multiples of the mean squared distance of the joint sample.

    Example:
        >>> a = torch.eye(4)
        >>> round(float(mk_mmd(a, a)), 6)
        0.0
    """
    both = torch.cat([a_ND, b_ND])
    squares = both.square().sum(dim=1)
    distance = (squares[:, None] + squares[None, :] - 2 * both @ both.T).clamp_min(0)
    width = distance.detach().mean().clamp_min(1e-12)
    narrower = torch.exp(-distance / (width * WIDEST))
    kernel = narrower
    for _ in range(KERNELS - 1):
        narrower = narrower.square()  # half the width: four exponentials fewer
        kernel = kernel + narrower
    kernel = kernel / KERNELS
    n = len(a_ND)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def feature_discrepancy(ours_NCHW: Tensor, heard_NCHW: Tensor) -> Tensor:
    """MK-MMD of whole features and of single positions, halved. The second is *ours*.

    A batch holds few whole features but many positions, which tell how channels go together.
    """
    whole = mk_mmd(ours_NCHW.flatten(1), heard_NCHW.flatten(1))
    step = max(1, ours_NCHW[:, 0].numel() // POSITIONS)
    ours_PC, heard_PC = (
        z.permute(0, 2, 3, 1).flatten(0, 2)[step // 2 :: step] for z in (ours_NCHW, heard_NCHW)
    )
    return (whole + mk_mmd(ours_PC, heard_PC)) / 2


class SubstituteEdge(nn.Module):
    """A convolutional edge of the right shape: blocks as in unprotected edges (conv, norm, max pool, ReLU).

    The last block's normalised output takes the overheard features' mean and deviation per channel and stays
    above the least value that was overheard (0 behind a ReLU).
    """

    mean: Tensor
    std: Tensor
    least: Tensor

    def __init__(self, z_NCHW: Tensor, width: int, doublings: int) -> None:
        super().__init__()
        channels = z_NCHW.shape[1]
        std = z_NCHW.std(dim=(0, 2, 3)).clamp_min(LEAST_STD)
        self.register_buffer("mean", z_NCHW.mean(dim=(0, 2, 3)).view(1, -1, 1, 1).clone())
        self.register_buffer("std", std.view(1, -1, 1, 1).clone())
        self.register_buffer("least", z_NCHW.amin(dim=(0, 2, 3)).view(1, -1, 1, 1).clone())
        layers: list[nn.Module] = []
        inputs, blocks = 3, max(2, doublings)
        for block in range(blocks):
            last = block == blocks - 1
            outputs = channels if last else width
            layers += [nn.Conv2d(inputs, outputs, kernel_size=3, padding=1), nn.BatchNorm2d(outputs)]
            if block < doublings:
                # an odd side is rounded up, as doubling and cropping undoes it
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            if not last:
                layers.append(nn.ReLU())
            inputs = outputs
        self.body = nn.Sequential(*layers)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Features in the victim's own units."""
        z: Tensor = self.body(x_NCHW) * self.std + self.mean
        return torch.maximum(z, self.least)

    def standardise(self, z_NCHW: Tensor) -> Tensor:
        """Features in units of the overheard ones' mean and deviation."""
        return (z_NCHW - self.mean) / self.std


def build_discriminator(channels: int, width: int) -> nn.Sequential:
    """Logit N x 1: is a standardised feature an overheard one."""
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel_size=3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, width, kernel_size=3, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * width, 1),
    )


class SubstituteTask(Task):
    """What the fitting loop runs: it sees own pictures and overheard features, never a pair.

    Args:
        attack: Whose settings; a share of both kinds is held back to choose the epoch.
        victim: Whose stage is public.
        own_NHWC: The attacker's own pictures.
        z_NCHW: Overheard features.
        doublings: From the feature's side to the picture's.
    """

    def __init__(
        self, attack: "Fora", victim: Victim, own_NHWC: Tensor, z_NCHW: Tensor, doublings: int
    ) -> None:
        torch.manual_seed(attack.seed)
        self._mmd_weight = attack.mmd_weight
        self._victim = victim
        self.batch_size, width = attack.substitute_batch, attack.substitute_width
        held_own, held_heard = (
            max(2, round(len(values) * attack.held_back_share)) for values in (own_NHWC, z_NCHW)
        )
        own = own_NHWC.to(victim.device)
        self._own, self._held_own = own[:-held_own], own[-held_own:]
        self._heard, self._held_heard = z_NCHW[:-held_heard], z_NCHW[-held_heard:]
        self._mean = torch.tensor(victim.mean, device=victim.device).view(1, -1, 1, 1)
        self._std = torch.tensor(victim.std, device=victim.device).view(1, -1, 1, 1)
        self.substitute = SubstituteEdge(self._heard, width, doublings)
        self.discriminator = build_discriminator(z_NCHW.shape[1], width)
        pair = nn.ModuleDict({"substitute": self.substitute, "discriminator": self.discriminator})
        self.model: nn.Module = channels_last(pair.to(victim.device))

    @property
    def samples_per_epoch(self) -> int:
        """Own pictures without those held back."""
        return len(self._own)

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Own pictures, normalised, and as many overheard features, drawn independently."""
        order = torch.randperm(len(self._own), generator=generator)
        for part in torch.split(order, self.batch_size):
            mirrored = torch.rand(len(part), generator=generator) < 0.5
            images = self._own[part.to(self._own.device)]
            images = torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(2), images)
            heard = torch.randint(len(self._heard), (len(part),), generator=generator)
            yield self._normalised(images), self._heard[heard.to(self._heard.device)]

    def _normalised(self, images_NHWC: Tensor) -> Tensor:
        return (to_floats(images_NHWC) - self._mean) / self._std

    def _transmitted(self, x_NCHW: Tensor) -> Tensor:
        """The substitute's features after the device's stage, which is public, standardised."""
        return self.substitute.standardise(self._victim.transmit(self.substitute(x_NCHW)))

    def loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Share w of MK-MMD and 1 - w of the discriminator's cross-entropy, reversed for the substitute."""
        x_NCHW, heard_NCHW = batch
        ours = self._transmitted(x_NCHW)
        heard = self.substitute.standardise(heard_NCHW)
        mmd = feature_discrepancy(ours, heard)
        reversed_ours: Tensor = ReversedGradient.apply(ours, REVERSED_SHARE)  # type: ignore[no-untyped-call]
        told = self.discriminator(torch.cat([reversed_ours, heard]))
        truth = torch.cat([torch.zeros(len(ours), 1), torch.ones(len(heard), 1)]).to(told.device)
        adversary = functional.binary_cross_entropy_with_logits(told, truth)
        weight = self._mmd_weight
        return weight * mmd + (1 - weight) * adversary, {
            "mmd": float(mmd.detach()),
            "discriminator": float(adversary.detach()),
        }

    def validate(self) -> dict[str, float]:
        """MK-MMD between the two kinds held back, negated for the score."""
        count = min(len(self._held_own), len(self._held_heard), 2 * BATCH)
        ours = torch.cat(
            [self._transmitted(self._normalised(p)) for p in torch.split(self._held_own[:count], BATCH)]
        )
        heard = self.substitute.standardise(self._held_heard[:count])
        mmd = float(feature_discrepancy(ours, heard))
        return {"held_back_mmd": mmd, "score": -mmd}
