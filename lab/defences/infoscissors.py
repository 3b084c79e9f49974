"""InfoSCISSORS (Duan et al., NeurIPS 2024): a bound on the information at the cut, lowered with the loss.

    L = cross-entropy + lambda_x CLUB(x; z) + lambda_y CLUB(h; y) - ln q(z|x) - ln q(y|h)

``h`` is the last hidden layer on the cloud's side. CLUB (Cheng et al., ICML 2020) is an upper bound of mutual
information that can be minimised,

    I(x; z) <= E_{p(x,z)} ln q(z|x) - E_{p(x)p(z)} ln q(z|x)

where the learned ``q`` is close to the true conditional. The two ``q`` are companions of the network: the
likelihood terms train them and nothing else, the CLUB terms train the classifier and not them. One optimiser
serves both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from siftfunnel.lab.defences.defence import Defence, Step
from siftfunnel.lab.defences.losses import Loss
from siftfunnel.lab.networks.split import SplitNetwork

SCALE_EPSILON = 1e-6


class PatchGaussian(nn.Module):
    """``q(z|x)``: a Gaussian for each value of the feature, from the patch of the picture below it.

    Two small networks, one for the mean and one for the log-variance, the second through Tanh, as in the
    released code's CLUB network, each with half of ``hidden`` units. Ours: instead of one layer over the
    whole picture (tens of millions of weights at the paper's sizes) they run at each position of the
    feature on the f x f x 3 picture values under it, f the ratio of the sides; no value of the picture is
    left out.
    """

    def __init__(self, channels: int, side: int, input_size: int, hidden: int) -> None:
        super().__init__()
        self.factor = input_size // side
        patch = 3 * self.factor**2
        self.mean = nn.Sequential(
            nn.Conv2d(patch, hidden // 2, 1), nn.ReLU(), nn.Conv2d(hidden // 2, channels, 1)
        )
        self.log_variance = nn.Sequential(
            nn.Conv2d(patch, hidden // 2, 1), nn.ReLU(), nn.Conv2d(hidden // 2, channels, 1), nn.Tanh()
        )

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each of the feature's shape."""
        patches = functional.pixel_unshuffle(x_NCHW, self.factor)
        return self.mean(patches), self.log_variance(patches)


class LabelClassifier(nn.Module):
    """``q(y|h)``: class scores from the mean of each channel of a hidden layer."""

    def __init__(self, channels: int, num_classes: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(channels, hidden // 2), nn.ReLU(), nn.Linear(hidden // 2, num_classes)
        )

    def forward(self, h_NCHW: Tensor) -> Tensor:
        """Logits N x K."""
        logits: Tensor = self.layers(h_NCHW.flatten(2).mean(dim=2) if h_NCHW.dim() > 2 else h_NCHW)
        return logits


def gaussian_surprise(mean: Tensor, log_variance: Tensor, z: Tensor) -> Tensor:
    """``-ln q(z|x)`` without its constant, mean over values: ``((z - mean)^2 / variance + ln variance) / 2``.

    Example:
        >>> float(gaussian_surprise(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([[1.0, 3.0]])))
        2.5
    """
    return 0.5 * ((z - mean).square() * (-log_variance).exp() + log_variance).mean()


def gaussian_club(mean: Tensor, log_variance: Tensor, z: Tensor) -> Tensor:
    """CLUB for a Gaussian ``q``, in nats per value of ``z``; all N^2 pairs of the batch are the negatives.

    The mean over the negatives needs no pairs: ``E_j (z_j - m)^2 = E z^2 - 2 m E z + m^2``. About 0 when
    ``z`` does not depend on the prediction; may be slightly negative.

    Args:
        mean: Predicted means, N x anything.
        log_variance: Predicted log-variances, of the same shape.
        z: Features, of the same shape.
    """
    negatives = z.square().mean(0) - 2 * mean * z.mean(0) + mean.square()
    positives = (z - mean).square()
    return 0.5 * ((negatives - positives) * (-log_variance).exp()).mean()


def categorical_club(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
    """CLUB between labels and what the scores were computed from, in nats; all N^2 pairs are the negatives.

    Example:
        >>> float(categorical_club(torch.zeros(2, 2), torch.tensor([0, 1])))
        0.0
    """
    log_q_NK = logits_NK.log_softmax(dim=1)
    one_hot_NK = functional.one_hot(labels_N, logits_NK.shape[1]).to(log_q_NK.dtype)
    positives = (log_q_NK * one_hot_NK).sum(dim=1).mean()
    return positives - (log_q_NK @ one_hot_NK.mean(dim=0)).mean()


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
    own_weight: ClassVar[tuple[str, ...]] = ("lambda_x",)
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
        entropy = step.cross_entropy
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
