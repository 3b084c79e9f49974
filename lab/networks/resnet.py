"""ResNet-18 in all its forms, both halves side by side: the cut is visible.

The stem keeps the side (3x3, stride 1, no pooling), as for small pictures. S is the input size, a multiple of
16; n is the width, the channels of the stem (the paper's is 64); K the number of classes.

    unprotected   3xSxS -> stem -> layer 1 -> n x S x S  |cut|  layer 2 -> layer 3 -> layer 4 -> head -> K
    SiftFunnel    3xSxS -> stem -> gates -> block -> gates -> n/4 -> 2 x S x S  |cut|  restore n -> gate
                  -> layer 2 -> ...
    autoencoder   unprotected edge -> encoder -> n/2 x S x S  |cut|  decoder -> layer 2 -> ...
    MID           unprotected, with a stochastic bottleneck before the last linear layer, in the cloud
    groupnorm     unprotected, with group normalisation: DPSGD needs gradients per picture

The funnel is that of the paper's first version, which the authors' code no longer holds: rebuilt so that its
parameters, counted as torchsummary does, are the printed 78,864. The order of gates and block is ours.
"""

from torch import nn

from siftfunnel.lab.networks.attention import CBAM, SqueezeExcite, TripletAttention
from siftfunnel.lab.networks.bottleneck import GaussianBottleneck
from siftfunnel.lab.networks.funnel import restore_channels, squeeze_channels, start_open
from siftfunnel.lab.networks.normalisation import Norm, group_norm
from siftfunnel.lab.networks.residual import ResidualSum, decode_channels, encode_channels
from siftfunnel.lab.networks.split import SplitNetwork

PAPER_WIDTH = 64
FUNNEL_CHANNELS = 2
HEAD_CELLS = 2


def stem(width: int, norm: Norm = nn.BatchNorm2d) -> nn.Sequential:
    """``Conv3x3 -> normalisation -> ReLU``; 1,856 parameters at n = 64."""
    return nn.Sequential(nn.Conv2d(3, width, kernel_size=3, padding=1, bias=False), norm(width), nn.ReLU())


def basic_block(
    in_channels: int, out_channels: int, stride: int = 1, norm: Norm = nn.BatchNorm2d
) -> nn.Sequential:
    """``ReLU(skip(x) + 3x3-norm-ReLU-3x3-norm(x))``; the skip is a 1x1 convolution if the shape changes."""
    skip: nn.Module = nn.Identity()
    if stride != 1 or in_channels != out_channels:
        skip = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False), norm(out_channels)
        )
    body = nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False),
        norm(out_channels),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
        norm(out_channels),
    )
    return nn.Sequential(ResidualSum(skip, body), nn.ReLU())


def layer(in_channels: int, out_channels: int, stride: int, norm: Norm = nn.BatchNorm2d) -> nn.Sequential:
    """Two basic blocks, the first with the stride."""
    return nn.Sequential(
        basic_block(in_channels, out_channels, stride, norm), basic_block(out_channels, out_channels, 1, norm)
    )


def later_layers(width: int, input_size: int, norm: Norm = nn.BatchNorm2d) -> tuple[nn.Sequential, ...]:
    """Layers 2 to 4: n to 8n channels, three halvings, then the average over each of 2 x 2 cells.

    At 64 pixels the average's window is the paper's 4.
    """
    n, window = width, input_size // 8 // HEAD_CELLS
    return (
        layer(n, 2 * n, 2, norm),
        layer(2 * n, 4 * n, 2, norm),
        nn.Sequential(layer(4 * n, 8 * n, 2, norm), nn.AvgPool2d(window)),
    )


def head(width: int, num_classes: int) -> nn.Sequential:
    """One linear layer on the 2 x 2 cells."""
    return nn.Sequential(nn.Flatten(), nn.Linear(8 * width * HEAD_CELLS**2, num_classes))


class UnprotectedResNet18(SplitNetwork):
    """Stem and four layers, cut after layer 1; edge parameters 149,824 at n = 64, as the paper prints."""

    norm: Norm = nn.BatchNorm2d

    def __init__(self, *, width: int, input_size: int, num_classes: int) -> None:
        super().__init__(width=width, input_size=input_size, num_classes=num_classes)
        n, norm = width, type(self).norm
        self.edge = nn.Sequential(stem(n, norm), layer(n, n, 1, norm))
        self.cloud = nn.Sequential(*later_layers(n, input_size, norm), head(n, num_classes))

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """As many channels as the width, at the full side."""
        return self.width, self.input_size, self.input_size

    @property
    def split_point(self) -> str:
        """Where the cut is."""
        return "after layer 1"


class GroupNormResNet18(UnprotectedResNet18):
    """The unprotected network with group normalisation instead of batch normalisation, for DPSGD."""

    norm = staticmethod(group_norm)


class BottleneckResNet18(UnprotectedResNet18):
    """The unprotected network with MID's stochastic layer, half the flattened size, before the last layer."""

    def __init__(self, *, width: int, input_size: int, num_classes: int) -> None:
        super().__init__(width=width, input_size=input_size, num_classes=num_classes)
        flat = 8 * width * HEAD_CELLS**2
        self.cloud[-1] = nn.Sequential(
            nn.Flatten(), GaussianBottleneck(flat, flat // 2), nn.Linear(flat // 2, num_classes)
        )


class AutoencoderResNet18(SplitNetwork):
    """The unprotected network with an encoder before and a decoder after the cut; half the channels cross.

    Edge parameters 279,136 at n = 64, as the paper prints.
    """

    def __init__(self, *, width: int, input_size: int, num_classes: int) -> None:
        super().__init__(width=width, input_size=input_size, num_classes=num_classes)
        n = width
        self.edge = nn.Sequential(stem(n), layer(n, n, 1), encode_channels(n))
        self.cloud = nn.Sequential(decode_channels(n), *later_layers(n, input_size), head(n, num_classes))

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """n/2 channels at the full side."""
        return self.width // 2, self.input_size, self.input_size

    @property
    def split_point(self) -> str:
        """Where the cut is."""
        return f"after the encoder ({self.width // 2} channels)"


class SiftFunnelResNet18(SplitNetwork):
    """The paper's protected ResNet-18: one basic block between two pairs of gates, then a 2-channel neck.

    The edge has 78,860 parameters at n = 64; the paper's 78,864 counts CBAM's shared layers twice.
    """

    attention = True

    def __init__(self, *, width: int, input_size: int, num_classes: int) -> None:
        super().__init__(width=width, input_size=input_size, num_classes=num_classes)
        if width < 16 or width % 4:
            raise ValueError(
                f"the funnel's first gate reduces by 16: width must be a multiple of 4 from 16, got {width}"
            )
        n, k = width, FUNNEL_CHANNELS
        attend = type(self).attention
        self.edge = nn.Sequential(
            stem(n),
            *((SqueezeExcite(n, reduction=16), TripletAttention()) if attend else ()),
            basic_block(n, n),
            *((SqueezeExcite(n, reduction=16), TripletAttention()) if attend else ()),
            nn.Sequential(nn.Conv2d(n, n // 4, kernel_size=1), nn.BatchNorm2d(n // 4), nn.ReLU()),
            start_open(squeeze_channels(n // 4, k)),
            *((SqueezeExcite(k, reduction=2), CBAM(k, reduction=2)) if attend else ()),
        )
        self.cloud = nn.Sequential(
            restore_channels(k, n),
            *((TripletAttention(),) if attend else ()),
            *later_layers(n, input_size),
            head(n, num_classes),
        )

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """2 channels at the full side."""
        return FUNNEL_CHANNELS, self.input_size, self.input_size

    @property
    def split_point(self) -> str:
        """Where the cut is."""
        return f"after the funnel ({FUNNEL_CHANNELS} channels)"


class PlainFunnelResNet18(SiftFunnelResNet18):
    """The funnel without any of its attention blocks, for the ablation; ours."""

    attention = False
