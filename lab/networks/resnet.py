"""ResNet-18: a stem, four layers and a head, cut after layer 1.

    3xSxS -> stem -> layer 1 -> n x S x S                         |cut|  layer 2 -> 3 -> 4 -> head -> K
    funnel: stem -> gates -> block -> gates -> n/4 -> 2 x S x S   |cut|  restore n -> layer 2 ...

The stem keeps the side (3x3, stride 1, no pooling), as for small pictures. S is the input size, n the width
(the channels of the stem), K the number of classes. Edge parameters at n = 64: 149,824 unprotected and
279,136 with the autoencoder, as the paper prints; 78,860 with the funnel, of which the paper's 78,864 counts
CBAM's shared layers twice. The funnel is that of the paper's first version, which the authors' code no longer
holds, rebuilt from that count; the order of gates and block is ours.
"""

from collections.abc import Mapping

from torch import nn

from siftfunnel.lab.networks.cut import Family, FunnelShape, Make
from siftfunnel.lab.networks.residual import ResidualSum

HEAD_CELLS = 2


def stem(width: int) -> nn.Sequential:
    """``Conv3x3 -> normalisation -> ReLU``; 1,856 parameters at n = 64."""
    conv = nn.Conv2d(3, width, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


def basic_block(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """``ReLU(skip(x) + 3x3-norm-ReLU-3x3-norm(x))``; the skip is a 1x1 convolution if the shape changes."""
    skip: nn.Module = nn.Identity()
    if stride != 1 or in_channels != out_channels:
        skip = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False),
            nn.BatchNorm2d(out_channels),
        )
    body = nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
    )
    return nn.Sequential(ResidualSum(skip, body), nn.ReLU())


def layer(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Two basic blocks, the first with the stride."""
    return nn.Sequential(
        basic_block(in_channels, out_channels, stride), basic_block(out_channels, out_channels)
    )


def stages(n: int, input_size: int, num_classes: int) -> Mapping[str, Make]:
    """All stages in order; n is the width.

    Layer 4 ends with the average over each of 2 x 2 cells; at 64 pixels its window is the paper's 4.
    """
    window = input_size // 8 // HEAD_CELLS
    return {
        "stem": lambda: stem(n),
        "layer 1": lambda: layer(n, n, 1),
        "layer 2": lambda: layer(n, 2 * n, 2),
        "layer 3": lambda: layer(2 * n, 4 * n, 2),
        "layer 4": lambda: nn.Sequential(layer(4 * n, 8 * n, 2), nn.AvgPool2d(window)),
        "head": lambda: nn.Sequential(nn.Flatten(), nn.Linear(8 * n * HEAD_CELLS**2, num_classes)),
    }


def narrow(n: int) -> nn.Sequential:
    """To a quarter of the channels."""
    return nn.Sequential(nn.Conv2d(n, n // 4, kernel_size=1), nn.BatchNorm2d(n // 4), nn.ReLU())


RESNET18 = Family(
    paper_width=64,
    halvings=4,
    cut_after="layer 1",
    stages=stages,
    funnel=FunnelShape(
        channels=2,
        entry=lambda n: [lambda: stem(n), lambda: basic_block(n, n)],
        narrow=narrow,
        reduction=16,
        neck_reductions=(2, 2),
        starts_open=True,
    ),
)
