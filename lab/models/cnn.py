"""The paper's CNN, unprotected and as SiftFunnel, with both halves side by side: the cut is visible.

``edge`` runs on the device and maps normalised pictures N x 3 x S x S to features; ``cloud`` maps features to
class scores (logits). S is the input size, a multiple of 16; n is the width (the paper's is 128); K the
number of classes.

    unprotected   3xSxS -> block 1 -> n -> block 2 -> 2n x S/4 x S/4  |cut|  block 3 -> block 4 -> head -> K
    SiftFunnel    3xSxS -> block 1 -> gates -> n/4 -> 12 x S/4 x S/4  |cut|  restore 2n -> block 3 -> block 4
    -> head
"""

from collections.abc import Callable

from torch import Tensor, nn

from lab.models.attention import CBAM, SqueezeExcite, TripletAttention

FUNNEL_CHANNELS = 12


def block(in_channels: int, out_channels: int) -> nn.Sequential:
    """``Conv3x3 -> BatchNorm -> MaxPool 2 -> ReLU``: halves the side."""
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


class SplitNetwork(nn.Module):
    """A classifier cut into ``edge`` and ``cloud``; ``forward`` runs both."""

    edge: nn.Sequential
    cloud: nn.Sequential

    def __init__(self, *, width: int, input_size: int, num_classes: int) -> None:
        super().__init__()
        if input_size < 16 or input_size % 16:
            raise ValueError(f"input size must be a multiple of 16 (four halvings), got {input_size}")
        if num_classes < 2:
            raise ValueError(f"a classifier needs two classes or more, got {num_classes}")
        self.width = width
        self.input_size = input_size
        self.num_classes = num_classes

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of one feature."""
        raise NotImplementedError

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Logits N x K of normalised pictures."""
        logits: Tensor = self.cloud(self.edge(x_NCHW))
        return logits


class UnprotectedCNN(SplitNetwork):
    """Four blocks and a head, cut after block 2; edge parameters 299,520 at n = 128, 76,032 at n = 64."""

    def __init__(self, *, width: int, input_size: int, num_classes: int) -> None:
        super().__init__(width=width, input_size=input_size, num_classes=num_classes)
        n = width
        self.edge = nn.Sequential(block(3, n), block(n, 2 * n))
        self.cloud = nn.Sequential(block(2 * n, 4 * n), block(4 * n, 8 * n), head(n, input_size, num_classes))

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """2n channels at a quarter of the side."""
        return 2 * self.width, self.input_size // 4, self.input_size // 4


def squeeze_channels(in_channels: int, out_channels: int) -> nn.Sequential:
    """The funnel's neck: 1x1, 3x3, SiLU, 1x1, 3x3, 5x5, ReLU; 6,780 parameters from 32 to 12 channels."""
    k = out_channels
    return nn.Sequential(
        nn.Conv2d(in_channels, k, kernel_size=1),
        nn.Conv2d(k, k, kernel_size=3, padding=1),
        nn.SiLU(),
        nn.Conv2d(k, k, kernel_size=1),
        nn.Conv2d(k, k, kernel_size=3, padding=1),
        nn.Conv2d(k, k, kernel_size=5, padding=2),
        nn.ReLU(),
    )


def restore_channels(in_channels: int, out_channels: int) -> nn.Sequential:
    """The cloud's first step: bring the channels back; 617,984 parameters from 12 to 256."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class SiftFunnelCNN(SplitNetwork):
    """The paper's protected CNN: attention and a 12-channel neck before the cut.

    The edge has 16,354 parameters at n = 128. The paper prints 14,911 for this edge; no layout of its
    description gives that count (every tensor has an even size), and the released code's layout, which this
    is, gives 16,354.
    """

    def __init__(self, *, width: int, input_size: int, num_classes: int) -> None:
        super().__init__(width=width, input_size=input_size, num_classes=num_classes)
        if width < 32 or width % 4:
            raise ValueError(
                f"the funnel's first gate reduces by 32: width must be a multiple of 4 from 32, got {width}"
            )
        n, k = width, FUNNEL_CHANNELS
        self.edge = nn.Sequential(
            block(3, n),
            SqueezeExcite(n, reduction=32),
            TripletAttention(),
            nn.Sequential(
                nn.Conv2d(n, n // 4, kernel_size=1), nn.BatchNorm2d(n // 4), nn.ReLU(), nn.MaxPool2d(2)
            ),
            squeeze_channels(n // 4, k),
            SqueezeExcite(k, reduction=4),
            CBAM(k, reduction=6),
        )
        self.cloud = nn.Sequential(
            restore_channels(k, 2 * n),
            TripletAttention(),
            block(2 * n, 4 * n),
            block(4 * n, 8 * n),
            head(n, input_size, num_classes),
        )

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """12 channels at a quarter of the side."""
        return FUNNEL_CHANNELS, self.input_size // 4, self.input_size // 4


NETWORKS: dict[str, Callable[..., SplitNetwork]] = {
    "cnn-unprotected": UnprotectedCNN,
    "cnn-siftfunnel": SiftFunnelCNN,
}
"""Every network by the name that recipes, checkpoints and manifests use."""


def build_network(architecture: str, *, width: int, input_size: int, num_classes: int) -> SplitNetwork:
    """Build a network by name; an unknown name lists the known ones."""
    if architecture not in NETWORKS:
        raise ValueError(f"unknown architecture {architecture!r}; known: {', '.join(sorted(NETWORKS))}")
    return NETWORKS[architecture](width=width, input_size=input_size, num_classes=num_classes)


def count_parameters(module: nn.Module) -> int:
    """Number of trained values, each shared tensor once."""
    return sum(parameter.numel() for parameter in module.parameters())
