"""InfoSCISSORS (Duan et al., NeurIPS 2024): a bound on the information at the cut, lowered with the loss.

    L = cross-entropy + lambda_x CLUB(x; z) + lambda_y CLUB(h; y) - ln q(z|x) - ln q(y|h)

``h`` is the last hidden layer on the cloud's side. The two ``q`` are companions (``club.py``):
the likelihood terms train them and nothing else, the CLUB terms train the classifier and not them. One
optimiser serves both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from siftfunnel.lab.defences.club import (
    LabelClassifier,
    PatchGaussian,
    categorical_club,
    gaussian_club,
    gaussian_surprise,
)
from siftfunnel.lab.defences.defence import Defence, Loss, Step
from siftfunnel.lab.networks.split import SplitNetwork

SCALE_EPSILON = 1e-6


class Companion(nn.Module):
    """The two conditionals that are trained beside the classifier."""

    def __init__(self, feature: PatchGaussian, label: LabelClassifier) -> None:
        super().__init__()
        self.feature = feature
        self.label = label


@dataclass(frozen=True)
class InfoScissors(Defence):
    """CLUB on both sides of the cut.

    The source protects pictures and answers. Where the cloud gives the answer, as here, it has to know it:
    the second term is kept, at a small weight. Ours as well: CLUB is taken of features scaled to unit
    variance per channel, because the Tanh on the log-variance would otherwise let the network win by
    shrinking them.

    Attributes:
        lambda_x: Weight of the bound on I(x; z), in nats per value of the feature. The paper's is lost.
        lambda_y: Weight of the bound on I(h; y), in nats. The paper's is lost.
        hidden: Twice the width of the companion networks' hidden layers.
    """

    lambda_x: float = 1.0
    lambda_y: float = 1e-2
    hidden: int = 256

    name: ClassVar[str] = "infoscissors"
    label: ClassVar[str] = "InfoSCISSORS"
    source: ClassVar[str] = "Duan et al., Reimagining mutual information, NeurIPS 2024"
    origins: ClassVar[Mapping[str, str]] = {"lambda_x": "ours", "lambda_y": "ours", "hidden": "ours"}

    def furnish(self, network: SplitNetwork) -> None:
        """Put both companions beside the network."""
        channels, side, _ = network.feature_shape
        network.companion = Companion(
            PatchGaussian(channels, side, network.input_size, self.hidden),
            LabelClassifier(_last_channels(network), network.num_classes, self.hidden),
        )

    def loss(self, step: Step) -> Loss:
        """Cross-entropy, both bounds, and the companions' own losses."""
        companion = step.network.companion
        assert isinstance(companion, Companion)
        scaled_NCHW = _unit_variance(step.z_NCHW)
        mean, log_variance = companion.feature(step.x_NCHW)
        club_x = gaussian_club(mean.detach(), log_variance.detach(), scaled_NCHW)
        frozen = {name: value.detach() for name, value in companion.label.named_parameters()}
        club_y = categorical_club(functional_call(companion.label, frozen, (step.hidden[-1],)), step.labels_N)
        fit = gaussian_surprise(mean, log_variance, scaled_NCHW.detach()) + functional.cross_entropy(
            companion.label(step.hidden[-1].detach()), step.labels_N
        )
        entropy = functional.cross_entropy(step.logits_NK, step.labels_N)
        total = entropy + self.lambda_x * club_x + self.lambda_y * club_y + fit
        return Loss(
            total,
            {"cross_entropy": entropy, "club_picture": club_x, "club_label": club_y, "companion": fit},
        )


def _unit_variance(z_NCHW: Tensor) -> Tensor:
    """Scale each channel to variance 1 over batch and positions; a dead channel stays 0."""
    centred = z_NCHW - z_NCHW.mean(dim=(0, 2, 3), keepdim=True)
    variance = centred.square().mean(dim=(0, 2, 3), keepdim=True)
    return centred * (variance + SCALE_EPSILON).rsqrt()


def _last_channels(network: SplitNetwork) -> int:
    """Channels of the last hidden layer, by a pass of zeros that leaves no trace in the network."""
    network.eval()
    with torch.no_grad():
        device = next(network.parameters()).device
        last = network.trace(torch.zeros(1, 3, network.input_size, network.input_size, device=device))
    network.train()
    return last.hidden[-1].shape[1]
