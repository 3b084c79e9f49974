"""The paper's CNN in all its forms, both halves side by side: the cut is visible.

``edge`` runs on the device and maps normalised pictures N x 3 x S x S to features; ``cloud`` maps features to
class scores (logits). S is the input size, a multiple of 16; n is the width (the paper's is 128); K the
number of classes.

    unprotected   3xSxS -> block 1 -> n -> block 2 -> 2n x S/4 x S/4  |cut|  block 3 -> block 4 -> head -> K
    SiftFunnel    3xSxS -> block 1 -> gates -> n/4 -> 12 x S/4 x S/4  |cut|  restore 2n -> block 3 -> block 4
    -> head
    autoencoder   unprotected edge -> encoder -> n x S/4 x S/4        |cut|  decoder -> block 3 -> ...
    MID           unprotected, with a stochastic bottleneck before the head, in the cloud
    groupnorm     unprotected, with group normalisation: DPSGD needs gradients per picture
"""

from torch import nn

from siftfunnel.lab.networks.attention import CBAM, SqueezeExcite, TripletAttention
from siftfunnel.lab.networks.bottleneck import GaussianBottleneck
from siftfunnel.lab.networks.funnel import restore_channels, squeeze_channels
from siftfunnel.lab.networks.normalisation import Norm, group_norm
from siftfunnel.lab.networks.residual import decode_channels, encode_channels
from siftfunnel.lab.networks.split import SplitNetwork

PAPER_WIDTH = 128
FUNNEL_CHANNELS = 12


def block(in_channels: int, out_channels: int, norm: Norm = nn.BatchNorm2d) -> nn.Sequential:
    """``Conv3x3 -> normalisation -> MaxPool 2 -> ReLU``: halves the side."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
        norm(out_channels),
        nn.MaxPool2d(2),
        nn.ReLU(),
    )


def head(width: int, input_size: int, num_classes: int) -> nn.Sequential:
    """Two linear layers without an activation between them; dropout 0.5 only acts in training."""
    side = input_size // 16
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(8 * width * side * side, 5 * num_classes),
        nn.Dropout(0.5),
        nn.Linear(5 * num_classes, num_classes),
    )


class UnprotectedCNN(SplitNetwork):
    """Four blocks and a head, cut after block 2; edge parameters 299,520 at n = 128, 76,032 at n = 64."""

    norm: Norm = nn.BatchNorm2d

    def __init__(self, *, width: int, input_size: int, num_classes: int) -> None:
        super().__init__(width=width, input_size=input_size, num_classes=num_classes)
        n, norm = width, type(self).norm
        self.edge = nn.Sequential(block(3, n, norm), block(n, 2 * n, norm))
        self.cloud = nn.Sequential(
            block(2 * n, 4 * n, norm), block(4 * n, 8 * n, norm), head(n, input_size, num_classes)
        )

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """2n channels at a quarter of the side."""
        return 2 * self.width, self.input_size // 4, self.input_size // 4

    @property
    def split_point(self) -> str:
        """Where the cut is."""
        return "after block 2"


class GroupNormCNN(UnprotectedCNN):
    """The unprotected network with group normalisation instead of batch normalisation, for DPSGD."""

    norm = staticmethod(group_norm)


class BottleneckCNN(UnprotectedCNN):
    """The unprotected network with MID's stochastic layer before the head.

    The layer halves the flattened size. It stands behind the cut, where the authors put it: the feature on
    the wire passes no noise.
    """

    def __init__(self, *, width: int, input_size: int, num_classes: int) -> None:
        super().__init__(width=width, input_size=input_size, num_classes=num_classes)
        flat = 8 * width * (input_size // 16) ** 2
        flatten, _, *rest = self.cloud[-1].children()
        self.cloud[-1] = nn.Sequential(
            flatten, GaussianBottleneck(flat, flat // 2), nn.Linear(flat // 2, 5 * num_classes), *rest
        )


class AutoencoderCNN(SplitNetwork):
    """The unprotected network with an encoder before and a decoder after the cut; half the channels cross.

    Edge parameters 2,365,056 at n = 128, as the paper prints.
    """

    def __init__(self, *, width: int, input_size: int, num_classes: int) -> None:
        super().__init__(width=width, input_size=input_size, num_classes=num_classes)
        n = width
        self.edge = nn.Sequential(block(3, n), block(n, 2 * n), encode_channels(2 * n))
        self.cloud = nn.Sequential(
            decode_channels(2 * n),
            block(2 * n, 4 * n),
            block(4 * n, 8 * n),
            head(n, input_size, num_classes),
        )

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """As many channels as the width, at a quarter of the side."""
        return self.width, self.input_size // 4, self.input_size // 4

    @property
    def split_point(self) -> str:
        """Where the cut is."""
        return f"after the encoder ({self.width} channels)"


class SiftFunnelCNN(SplitNetwork):
    """The paper's protected CNN: attention and a 12-channel neck before the cut.

    The edge has 16,354 parameters at n = 128. The paper prints 14,911 for this edge; no layout of its
    description gives that count (every tensor has an even size), and the released code's layout, which this
    is, gives 16,354.
    """

    attention = True

    def __init__(self, *, width: int, input_size: int, num_classes: int) -> None:
        super().__init__(width=width, input_size=input_size, num_classes=num_classes)
        if width < 32 or width % 4:
            raise ValueError(
                f"the funnel's first gate reduces by 32: width must be a multiple of 4 from 32, got {width}"
            )
        n, k = width, FUNNEL_CHANNELS
        attend = type(self).attention
        self.edge = nn.Sequential(
            block(3, n),
            *((SqueezeExcite(n, reduction=32), TripletAttention()) if attend else ()),
            nn.Sequential(
                nn.Conv2d(n, n // 4, kernel_size=1), nn.BatchNorm2d(n // 4), nn.ReLU(), nn.MaxPool2d(2)
            ),
            squeeze_channels(n // 4, k),
            *((SqueezeExcite(k, reduction=4), CBAM(k, reduction=6)) if attend else ()),
        )
        self.cloud = nn.Sequential(
            restore_channels(k, 2 * n),
            *((TripletAttention(),) if attend else ()),
            block(2 * n, 4 * n),
            block(4 * n, 8 * n),
            head(n, input_size, num_classes),
        )

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """12 channels at a quarter of the side."""
        return FUNNEL_CHANNELS, self.input_size // 4, self.input_size // 4

    @property
    def split_point(self) -> str:
        """Where the cut is."""
        return f"after the funnel ({FUNNEL_CHANNELS} channels)"


class PlainFunnelCNN(SiftFunnelCNN):
    """The funnel without any of its attention blocks, for the ablation; ours."""

    attention = False
