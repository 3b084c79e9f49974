"""A larger inverter, the same for every defence: a U-Net on the feature, then up to the picture.

    z -> standardise -> stem -> blocks at s, s/2, s/4 -> back up with skips -> x2 -> ... -> picture

The coarse levels see the whole picture at little cost and hold most of the weights; the residual inverter
sees a neighbourhood. Several times its parameters. The loss is L1 with a share of 1 - SSIM, as decoders for
image restoration use (Zhao et al., IEEE TCI 2017). *Ours* throughout; the paper has no such attack.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from siftfunnel.lab.attacks.attack import Access
from siftfunnel.lab.attacks.inverter_training import LossName, TrainedInverter, doublings_of, is_point
from siftfunnel.lab.attacks.victim import Victim
from siftfunnel.lab.metrics.pictures import ssim_of_each
from siftfunnel.lab.networks.decoder import Standardise, residual_block, stem, upsample
from siftfunnel.lab.networks.layout import channels_last


class FeatureUNet(nn.Module):
    """Levels of residual blocks at halving sides, joined by skips; the first level's width in and out."""

    def __init__(self, widths: tuple[int, ...], blocks: int) -> None:
        super().__init__()

        def level(width: int) -> nn.Module:
            return nn.Sequential(*(residual_block(width) for _ in range(blocks)))

        self.down = nn.ModuleList(level(width) for width in widths)
        self.narrow = nn.ModuleList(
            nn.Conv2d(a, b, kernel_size=3, stride=2, padding=1) for a, b in pairwise(widths)
        )
        self.widen = nn.ModuleList(nn.Conv2d(a + b, a, kernel_size=3, padding=1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(level(width) for width in widths[:-1])

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """The shape stays; odd sides are rounded up on the way down."""
        h: Tensor = self.down[0](x_NCHW)
        skips: list[Tensor] = []
        for narrow, blocks in zip(self.narrow, list(self.down)[1:], strict=True):
            skips.append(h)
            h = blocks(functional.relu(narrow(h)))
        for widen, blocks, skip in zip(
            reversed(list(self.widen)), reversed(list(self.up)), reversed(skips), strict=True
        ):
            wide = functional.interpolate(h, size=skip.shape[2:], mode="nearest")
            h = blocks(functional.relu(widen(torch.cat([skip, wide], dim=1))))
        return h


@dataclass(frozen=True)
class UNet(TrainedInverter):
    """The larger inverter: 2.4 million parameters on 64 channels, five times the residual one's.

    ``widths=(96, 160, 256), blocks=2`` has 6.5 million, for a GPU.

    Attributes:
        widths: Channels at the feature's side and at each halving of it.
        tail: Channels after each doubling towards the picture; the last repeats.
        blocks: Residual blocks of every level.
        ssim_weight: Share of 1 - SSIM in the loss; the rest is L1. 0 saves its time.
    """

    epochs: int = 20
    batch: int = 16
    learning_rate: float = 1e-3
    widths: tuple[int, ...] = (64, 128, 192)
    tail: tuple[int, ...] = (48, 24, 16)
    blocks: int = 1
    ssim_weight: float = 0.15

    name: ClassVar[str] = "unet"
    label: ClassVar[str] = "U-Net inverter"
    access: ClassVar[Access] = "black-box"
    source: ClassVar[str] = "ours; U-Net after Ronneberger et al., MICCAI 2015"
    loss_name: ClassVar[LossName] = "l1"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.widths or not self.tail or not 0 <= self.ssim_weight <= 1:
            raise ValueError(f"{self.name}: widths and tail must not be empty, and ssim_weight lie in [0, 1]")

    def build(self, victim: Victim, mean_C: Tensor, std_C: Tensor) -> nn.Module:
        """The U-Net at the victim's factor, and a residual block after each doubling to the picture."""
        width = self.widths[0]
        first, doublings = stem(len(mean_C), width, doublings_of(victim), is_point=is_point(victim))
        unet = FeatureUNet(tuple(self.widths), self.blocks)
        layers: list[nn.Module] = [Standardise(mean_C, std_C), *first, unet]
        for level in range(doublings):
            wider = self.tail[min(level, len(self.tail) - 1)]
            layers += [upsample(width, wider), residual_block(wider)]
            width = wider
        last = nn.Conv2d(width, 3, kernel_size=3, padding=1)
        return channels_last(nn.Sequential(*layers, last, nn.Sigmoid()))

    def loss(self, guess_NCHW: Tensor, x_NCHW: Tensor) -> tuple[Tensor, float]:
        """(1 - w) L1 + w (1 - SSIM)."""
        pixels, error = super().loss(guess_NCHW, x_NCHW)
        if not self.ssim_weight:
            return pixels, error
        structure = 1 - ssim_of_each(guess_NCHW, x_NCHW).mean()
        return (1 - self.ssim_weight) * pixels + self.ssim_weight * structure, error
