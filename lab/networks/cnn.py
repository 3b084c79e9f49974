"""The paper's CNN: four blocks and a head, cut after block 2.

    3xSxS -> block 1 -> n -> block 2 -> 2n x S/4 x S/4  |cut|  block 3 -> block 4 -> head -> K
    funnel: block 1 -> gates -> n/4 -> 12 x S/4 x S/4   |cut|  restore 2n -> block 3 ...

S is the input size, n the width, K the number of classes. Edge parameters at n = 128: 299,520 unprotected and
2,365,056 with the autoencoder, as the paper prints; 16,354 with the funnel. The paper prints 14,911 for that
edge; no layout of its description gives that count (every tensor has an even size), and the released code's
layout, which this is, gives 16,354.
"""

from collections.abc import Mapping

from torch import nn

from siftfunnel.lab.networks.cut import Family, FunnelShape, Make


def block(in_channels: int, out_channels: int) -> nn.Sequential:
    """``Conv3x3 -> normalisation -> MaxPool 2 -> ReLU``: halves the side."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
        nn.BatchNorm2d(out_channels),
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


def stages(n: int, input_size: int, num_classes: int) -> Mapping[str, Make]:
    """All stages in order; n is the width."""
    return {
        "block 1": lambda: block(3, n),
        "block 2": lambda: block(n, 2 * n),
        "block 3": lambda: block(2 * n, 4 * n),
        "block 4": lambda: block(4 * n, 8 * n),
        "head": lambda: head(n, input_size, num_classes),
    }


def narrow(n: int) -> nn.Sequential:
    """To a quarter of the channels, and of half the side."""
    return nn.Sequential(
        nn.Conv2d(n, n // 4, kernel_size=1), nn.BatchNorm2d(n // 4), nn.ReLU(), nn.MaxPool2d(2)
    )


CNN = Family(
    paper_width=128,
    halvings=4,
    cut_after="block 2",
    stages=stages,
    funnel=FunnelShape(
        channels=12,
        entry=lambda n: [lambda: block(3, n)],
        narrow=narrow,
        reduction=32,
        neck_reductions=(4, 6),
    ),
)
