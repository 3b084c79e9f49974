"""The paper's generative inverters (arXiv 2501.00824, section 6.1(4); after Yang et al., CCS 2019).

    black-box, every victim:   z --ConvT 4/2 C->n, BN, Tanh--ConvT 4/2 n->3, Sigmoid--> x^

The gray-box forms are shaped after the victim's edge. Layouts are the released code's where it has them;
those of ResNet and of the AE baseline are rebuilt so that the parameter counts agree exactly (tests), their
activations and order being ours. VGG's counts (1,396,099 unprotected, 385,043 funnel) determine no layout:
VGG gets the CNN's forms at its own factor. *Paper*: Tanh inside, MSE, Adam 2e-4 (0.5, 0.999), batch 128, 100
epochs, no augmentation. *Ours*: one-cycle instead of plateau schedule, no AMSGrad, and the best epoch is
chosen on auxiliary pictures held back, where the authors look at the target's own (LAB.md section 0, item 9).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from siftfunnel.lab.attacks.attack import Access
from siftfunnel.lab.attacks.inverter_training import LossName, TrainedInverter, doublings_of
from siftfunnel.lab.attacks.victim import Victim

FUNNEL_CHANNELS = 16
"""A feature with no more channels is taken for a funnel's: the paper's have 2, 8 and 12."""

Layout = Literal["auto", "unprotected", "funnel", "autoencoder"]


def _same(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=3, padding=1)


def _double(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1)


def two_layer_net(channels: int, width: int, doublings: int) -> list[nn.Module]:
    """The paper's two transposed convolutions; the feature has a quarter of the picture's side.

    Fewer than two doublings keep the side in the first layers (3/1 instead of 4/2); more repeat the first.
    """
    layers: list[nn.Module] = []
    for level in range(max(2, doublings) - 1):
        step = _double if doublings - level >= 2 else _same
        layers += [step(channels if level == 0 else width, width), nn.BatchNorm2d(width), nn.Tanh()]
    last = _double if doublings >= 1 else _same
    return [*layers, last(width, 3), nn.Sigmoid()]


class Shortcut(nn.Module):
    """``body(x) + shortcut(x)`` without an activation after the sum, as in the authors' ResNet inverter."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """The shape stays."""
        total: Tensor = self.body(x_NCHW) + self.shortcut(x_NCHW)
        return total


def _basic_block(channels: int) -> nn.Module:
    body = nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
    )
    return Shortcut(body)


def _full_resolution_tail(width: int, blocks: int) -> list[nn.Module]:
    """ResNet's: basic blocks and a last convolution, for features of the picture's own side."""
    return [*(_basic_block(width) for _ in range(blocks)), _same(width, 3), nn.Sigmoid()]


def unprotected_layout(channels: int, width: int, doublings: int) -> list[nn.Module]:
    """Against an unprotected edge: the two-layer net, or two basic blocks where the side is the picture's.

    Parameters at the paper's sizes: CNN (256 channels, n = 128) 530,819; ResNet (64, n = 64) 149,699.
    """
    if doublings:
        return two_layer_net(channels, width, doublings)
    widen: list[nn.Module] = [] if channels == width else [_same(channels, width)]
    return [*widen, *_full_resolution_tail(width, 2)]


def funnel_layout(channels: int, width: int, doublings: int) -> list[nn.Module]:
    """Against a funnel: five 3x3 layers, three of them without an activation between, then up to the picture.

    Parameters at the paper's sizes: CNN (12 channels, n = 128) 80,555; ResNet (2, n = 64) 92,291.
    """
    quarter = max(1, width // 4)
    inner = channels if doublings else quarter
    layers: list[nn.Module] = [
        _same(channels, inner),
        nn.BatchNorm2d(inner),
        nn.Tanh(),
        _same(inner, inner),
        _same(inner, inner),
        nn.Tanh(),
        _same(inner, inner),
    ]
    if not doublings:
        return [*layers, _same(quarter, width), *_full_resolution_tail(width, 1)]
    layers.append(_same(inner, quarter))
    for level in range(max(2, doublings) - 1):
        step = _double if doublings - level >= 2 else _same
        layers.append(step(quarter if level == 0 else width, width))
    return [*layers, _double(width, 3), nn.Sigmoid()]


def autoencoder_layout(channels: int, width: int, doublings: int) -> list[nn.Module]:
    """Against the AE baseline: widen to twice the channels, a residual block, then the unprotected form.

    Parameters at the paper's sizes: CNN (128 channels, n = 128) 2,006,659; ResNet (32, n = 64) 279,107. The
    counts fit a plain shortcut for the CNN and a convolution in it for ResNet.
    """
    wide = 2 * channels
    residual = Shortcut(
        nn.Sequential(_same(wide, wide), nn.SiLU(), _same(wide, wide)),
        None if doublings else _same(wide, wide),
    )
    head: list[nn.Module] = [_same(channels, wide), nn.BatchNorm2d(wide), nn.Tanh(), residual]
    return [*head, *unprotected_layout(wide, width, doublings)]


LAYOUTS = {
    "unprotected": unprotected_layout,
    "funnel": funnel_layout,
    "autoencoder": autoencoder_layout,
}


def guess_layout(channels: int, doublings: int, victim_width: int) -> str:
    """Which edge a feature comes from, by its channels.

    An unprotected CNN of width n sends 2n channels at a quarter of the side, VGG and ResNet n at half and
    full side; the AE baseline sends half of that; funnels send few.

    Example:
        >>> [guess_layout(channels, 2, 128) for channels in (256, 128, 12)]
        ['unprotected', 'autoencoder', 'funnel']
    """
    unprotected = victim_width * (2 if doublings >= 2 else 1)
    if channels == unprotected:
        return "unprotected"
    if 2 * channels == unprotected:
        return "autoencoder"
    return "funnel" if channels <= FUNNEL_CHANNELS else "unprotected"


@dataclass(frozen=True)
class GenerativeBlackBox(TrainedInverter):
    """The paper's two-layer inverter, the same for every victim; needs queries only.

    At n = 128: 530,819 parameters for the unprotected CNN's 256 channels, 31,107 for the funnel's 12.

    Attributes:
        width: n, the channels between the two layers.
    """

    epochs: int = 100
    batch: int = 128
    learning_rate: float = 2e-4
    beta1: float = 0.5
    flip: bool = False
    width: int = 128

    name: ClassVar[str] = "generative-black-box"
    label: ClassVar[str] = "Generative, black-box"
    access: ClassVar[Access] = "black-box"
    source: ClassVar[str] = "arXiv 2501.00824 section 6.1(4); Yang et al., CCS 2019"
    as_the_paper: ClassVar[bool] = True
    loss_name: ClassVar[LossName] = "mse"
    lifts: ClassVar[bool] = False

    def build(self, victim: Victim, mean_C: Tensor, std_C: Tensor) -> nn.Module:
        """The two-layer net on raw features, as the authors feed it."""
        return nn.Sequential(*two_layer_net(victim.feature_shape[0], self.width, doublings_of(victim)))


@dataclass(frozen=True)
class GenerativeGrayBox(GenerativeBlackBox):
    """The paper's inverter in the shape of the victim's edge.

    Its sizes are unequal by the paper's own choice (80,555 parameters against the funnel, 2,006,659 against
    the AE baseline): compare defences by the attacks that are the same for all of them.

    Attributes:
        layout: ``unprotected``, ``funnel`` or ``autoencoder``; ``auto`` decides by the feature's channels.
        victim_width: The victim's n, by which ``auto`` decides; 0 takes ``width``.
    """

    layout: Layout = "auto"
    victim_width: int = 0

    name: ClassVar[str] = "generative-gray-box"
    label: ClassVar[str] = "Generative, gray-box"
    access: ClassVar[Access] = "gray-box"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layout not in ("auto", *LAYOUTS):
            raise ValueError(f"unknown layout {self.layout!r}; known: auto, {', '.join(LAYOUTS)}")

    def build(self, victim: Victim, mean_C: Tensor, std_C: Tensor) -> nn.Module:
        """The layout's net on raw features."""
        channels, doublings = victim.feature_shape[0], doublings_of(victim)
        layout = self.layout
        if layout == "auto":
            layout = guess_layout(channels, doublings, self.victim_width or self.width)  # type: ignore[assignment]
        return nn.Sequential(*LAYOUTS[layout](channels, self.width, doublings))
