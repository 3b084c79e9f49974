"""What every network of the lab is: a classifier cut into an edge and a cloud, with what happens at the cut.

    x --> edge --> stage --> z ~~ network ~~> cloud --> logits

``stage`` is what a stochastic defence does to the feature on the device; it acts in training and inference
alike and is the identity elsewhere. ``companion`` is a network that a defence trains beside the classifier
and that is never deployed.
"""

from typing import ClassVar, NamedTuple

from torch import Tensor, nn


class Trace(NamedTuple):
    """One forward pass with what lies on its way.

    Attributes:
        z_NCHW: The feature as it leaves the device, after the stage.
        logits_NK: Class scores.
        hidden: Output of each of the edge's and the cloud's children but the head, in order.
    """

    z_NCHW: Tensor
    logits_NK: Tensor
    hidden: tuple[Tensor, ...]


class SplitNetwork(nn.Module):
    """A classifier cut into ``edge`` and ``cloud``; ``forward`` runs edge, stage and cloud.

    Both halves are sequences; the cloud's last child is the head. What ``width`` counts is the family's to
    say; ``halvings`` is how often it halves the side of its input before the head.
    """

    halvings: ClassVar[int] = 4

    edge: nn.Sequential
    cloud: nn.Sequential
    stage: nn.Module
    companion: nn.Module | None

    def __init__(self, *, width: int, input_size: int, num_classes: int) -> None:
        super().__init__()
        multiple = 2**self.halvings
        if input_size < multiple or input_size % multiple:
            raise ValueError(
                f"input size must be a multiple of {multiple} ({self.halvings} halvings), got {input_size}"
            )
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        if num_classes < 2:
            raise ValueError(f"a classifier needs two classes or more, got {num_classes}")
        self.width = width
        self.input_size = input_size
        self.num_classes = num_classes
        self.stage = nn.Identity()
        self.companion = None

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of one feature."""
        raise NotImplementedError

    @property
    def split_point(self) -> str:
        """Where the cut is, in words."""
        raise NotImplementedError

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Logits N x K of normalised pictures."""
        logits: Tensor = self.cloud(self.stage(self.edge(x_NCHW)))
        return logits

    def trace(self, x_NCHW: Tensor) -> Trace:
        """The same pass, keeping the feature and every hidden layer."""
        hidden: list[Tensor] = []
        h = x_NCHW
        for child in self.edge:
            h = child(h)
            hidden.append(h)
        z = h = self.stage(h)
        *body, head = self.cloud
        for child in body:
            h = child(h)
            hidden.append(h)
        return Trace(z, head(h), tuple(hidden))


def count_parameters(module: nn.Module) -> int:
    """Number of trained values, each shared tensor once."""
    return sum(parameter.numel() for parameter in module.parameters())
