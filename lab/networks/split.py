"""What every network of the lab is: a classifier cut into an edge and a cloud, with what happens at the cut.

    x --> edge --> stage --> z ~~ network ~~> cloud --> logits

``stage`` is what a defence does to the feature on the device; it acts in training and inference alike and is
the identity elsewhere. One that draws noise says so (``stochastic``), and by which factor the mean of many
observations of one picture must be multiplied to give the clean feature (``gain``): what an attacker who
averages needs. It draws from PyTorch's global generator, so that a training can resume; a device draws from
the operating system (``shared/stages.py``).

``companion`` is a network that a defence trains beside the classifier and that is never deployed.
"""

from typing import NamedTuple

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

    Args:
        edge: From normalised pictures N x 3 x S x S to features.
        cloud: From features to class scores; its last child is the head.
        width: As the network's family counts it.
        input_size: S.
        num_classes: Number of class scores.
        feature_shape: (C, H, W) of one feature.
        split_point: Where the cut is, in words.
        restoring: How many of the cloud's first children bring back the feature of the cut before it was
            made narrower; 0 where it was not.
    """

    companion: nn.Module | None

    def __init__(
        self,
        edge: nn.Sequential,
        cloud: nn.Sequential,
        *,
        width: int,
        input_size: int,
        num_classes: int,
        feature_shape: tuple[int, int, int],
        split_point: str,
        restoring: int = 0,
    ) -> None:
        super().__init__()
        # the order in which stored runs and digests have the parts' weights
        self.stage: nn.Module = nn.Identity()
        self.edge, self.cloud = edge, cloud
        self.companion = None
        self.width, self.input_size, self.num_classes = width, input_size, num_classes
        self.feature_shape, self.split_point, self.restoring = feature_shape, split_point, restoring

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
