"""VGG16 with batch normalisation (configuration D) in all its forms, both halves side by side.

S is the input size, a multiple of 32; n is the width, the channels of the first stage (the paper's is 64); K
the number of classes. A stage ends with a pooling that halves the side.

    unprotected   3xSxS -> stage 1 -> n x S/2 x S/2  |cut|  stages 2 to 5 -> head -> K
    SiftFunnel    3xSxS -> stage 1 -> gates -> n/4 -> 8 x S/2 x S/2  |cut|  restore n -> gate -> stage 2 ...
    autoencoder   unprotected edge -> encoder -> n/2 x S/2 x S/2  |cut|  decoder -> stage 2 -> ...
    MID           unprotected, with a stochastic bottleneck at the head's entry, in the cloud
    groupnorm     unprotected, with group normalisation: DPSGD needs gradients per picture

The funnel is that of the paper's first version, which the authors' code no longer holds: rebuilt so that its
parameters, counted as torchsummary does, are the printed 52,086. The paper prints no count for an unprotected
VGG edge. We cut it where the funnel is cut, after the first pooling (38,976 parameters; after the second it
would be 260,928): both edges then end at the same side and both clouds go on with stage 2.
"""

from torch import nn

from siftfunnel.lab.networks.attention import CBAM, SqueezeExcite, TripletAttention
from siftfunnel.lab.networks.bottleneck import GaussianBottleneck
from siftfunnel.lab.networks.funnel import restore_channels, squeeze_channels
from siftfunnel.lab.networks.normalisation import Norm, group_norm
from siftfunnel.lab.networks.residual import decode_channels, encode_channels
from siftfunnel.lab.networks.split import SplitNetwork

PAPER_WIDTH = 64
FUNNEL_CHANNELS = 8


def stage(
    in_channels: int, out_channels: int, depth: int, norm: Norm = nn.BatchNorm2d, *, bias: bool = True
) -> nn.Sequential:
    """``depth`` times ``Conv3x3 -> normalisation -> ReLU``, then a maximum over 2 x 2."""
    layers: list[nn.Module] = []
    for position in range(depth):
        arriving = in_channels if position == 0 else out_channels
        layers += [
            nn.Conv2d(arriving, out_channels, kernel_size=3, padding=1, bias=bias),
            norm(out_channels),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.MaxPool2d(2))


def later_stages(width: int, norm: Norm = nn.BatchNorm2d) -> tuple[nn.Sequential, ...]:
    """Stages 2 to 5: n to 8n channels, four halvings."""
    n = width
    return (
        stage(n, 2 * n, 2, norm),
        stage(2 * n, 4 * n, 3, norm),
        stage(4 * n, 8 * n, 3, norm),
        stage(8 * n, 8 * n, 3, norm),
    )


def head(width: int, input_size: int, num_classes: int) -> nn.Sequential:
    """Two hidden layers of 64n (the paper's 4,096), dropout 0.3 and 0.2, and the classes."""
    side, hidden = input_size // 32, 64 * width
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(8 * width * side * side, hidden),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(hidden, num_classes),
    )


class UnprotectedVGG16(SplitNetwork):
    """Five stages and a head, cut after stage 1; edge parameters 38,976 at n = 64."""

    halvings = 5
    norm: Norm = nn.BatchNorm2d

    def __init__(self, *, width: int, input_size: int, num_classes: int) -> None:
        super().__init__(width=width, input_size=input_size, num_classes=num_classes)
        n, norm = width, type(self).norm
        self.edge = nn.Sequential(stage(3, n, 2, norm))
        self.cloud = nn.Sequential(*later_stages(n, norm), head(n, input_size, num_classes))

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """As many channels as the width, at half the side."""
        return self.width, self.input_size // 2, self.input_size // 2

    @property
    def split_point(self) -> str:
        """Where the cut is."""
        return "after stage 1"


class GroupNormVGG16(UnprotectedVGG16):
    """The unprotected network with group normalisation instead of batch normalisation, for DPSGD."""

    norm = staticmethod(group_norm)


class BottleneckVGG16(UnprotectedVGG16):
    """The unprotected network with MID's stochastic layer, half the flattened size, at the head's entry."""

    def __init__(self, *, width: int, input_size: int, num_classes: int) -> None:
        super().__init__(width=width, input_size=input_size, num_classes=num_classes)
        flat, hidden = 8 * width * (input_size // 32) ** 2, 64 * width
        flatten, _, *rest = self.cloud[-1].children()
        self.cloud[-1] = nn.Sequential(
            flatten, GaussianBottleneck(flat, flat // 2), nn.Linear(flat // 2, hidden), *rest
        )


class AutoencoderVGG16(SplitNetwork):
    """The unprotected network with an encoder before and a decoder after the cut; half the channels cross.

    Edge parameters 168,288 at n = 64; the paper has no such row.
    """

    halvings = 5

    def __init__(self, *, width: int, input_size: int, num_classes: int) -> None:
        super().__init__(width=width, input_size=input_size, num_classes=num_classes)
        n = width
        self.edge = nn.Sequential(stage(3, n, 2), encode_channels(n))
        self.cloud = nn.Sequential(decode_channels(n), *later_stages(n), head(n, input_size, num_classes))

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """n/2 channels at half the side."""
        return self.width // 2, self.input_size // 2, self.input_size // 2

    @property
    def split_point(self) -> str:
        """Where the cut is."""
        return f"after the encoder ({self.width // 2} channels)"


class SiftFunnelVGG16(SplitNetwork):
    """The paper's protected VGG16: stage 1, one pair of gates and an 8-channel neck before the cut.

    The edge has 52,054 parameters at n = 64; the paper's 52,086 counts CBAM's shared layers twice. Its
    convolutions before the neck have no bias, which the normalisation behind them makes up for.
    """

    halvings = 5
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
            stage(3, n, 2, bias=False),
            *((SqueezeExcite(n, reduction=16), TripletAttention()) if attend else ()),
            nn.Sequential(
                nn.Conv2d(n, n // 4, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(n // 4), nn.ReLU()
            ),
            squeeze_channels(n // 4, k),
            *((SqueezeExcite(k, reduction=4), CBAM(k, reduction=4)) if attend else ()),
        )
        self.cloud = nn.Sequential(
            restore_channels(k, n),
            *((TripletAttention(),) if attend else ()),
            *later_stages(n),
            head(n, input_size, num_classes),
        )

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """8 channels at half the side."""
        return FUNNEL_CHANNELS, self.input_size // 2, self.input_size // 2

    @property
    def split_point(self) -> str:
        """Where the cut is."""
        return f"after the funnel ({FUNNEL_CHANNELS} channels)"


class PlainFunnelVGG16(SiftFunnelVGG16):
    """The funnel without any of its attention blocks, for the ablation; ours."""

    attention = False
