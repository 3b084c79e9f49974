"""VGG16 with batch normalisation (configuration D): five stages and a head, cut after stage 1.

    3xSxS -> stage 1 -> n x S/2 x S/2                   |cut|  stages 2 to 5 -> head -> K
    funnel: stage 1 -> gates -> n/4 -> 8 x S/2 x S/2    |cut|  restore n -> stage 2 ...

S is the input size, n the width (the channels of stage 1), K the number of classes. A stage ends with a
pooling that halves the side. The funnel is that of the paper's first version, which the authors' code no
longer holds, rebuilt so that its parameters at n = 64 are 52,054; the printed 52,086 counts CBAM's shared
layers twice. Its convolutions before the neck have no bias, which the normalisation behind them makes up for.
The paper prints no count for an unprotected VGG edge. We cut it where the funnel is cut, after the first
pooling (38,976 parameters, 168,288 with the autoencoder; after the second it would be 260,928): both edges
then end at the same side and both clouds go on with stage 2.
"""

from collections.abc import Mapping

from torch import nn

from siftfunnel.lab.networks.cut import Family, FunnelShape, Make


def stage(in_channels: int, out_channels: int, depth: int, *, bias: bool = True) -> nn.Sequential:
    """``depth`` times ``Conv3x3 -> normalisation -> ReLU``, then a maximum over 2 x 2."""
    layers: list[nn.Module] = []
    for position in range(depth):
        arriving = in_channels if position == 0 else out_channels
        layers += [
            nn.Conv2d(arriving, out_channels, kernel_size=3, padding=1, bias=bias),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.MaxPool2d(2))


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


def stages(n: int, input_size: int, num_classes: int) -> Mapping[str, Make]:
    """All stages in order; n is the width."""
    return {
        "stage 1": lambda: stage(3, n, 2),
        "stage 2": lambda: stage(n, 2 * n, 2),
        "stage 3": lambda: stage(2 * n, 4 * n, 3),
        "stage 4": lambda: stage(4 * n, 8 * n, 3),
        "stage 5": lambda: stage(8 * n, 8 * n, 3),
        "head": lambda: head(n, input_size, num_classes),
    }


def narrow(n: int) -> nn.Sequential:
    """To a quarter of the channels."""
    conv = nn.Conv2d(n, n // 4, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n // 4), nn.ReLU())


VGG16 = Family(
    paper_width=64,
    halvings=5,
    cut_after="stage 1",
    stages=stages,
    funnel=FunnelShape(
        channels=8,
        entry=lambda n: [lambda: stage(3, n, 2, bias=False)],
        narrow=narrow,
        reduction=16,
        neck_reductions=(4, 4),
    ),
)
