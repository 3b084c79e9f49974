"""CLUB (Cheng et al., ICML 2020): an upper bound of mutual information that can be minimised.

    I(x; z) <= E_{p(x,z)} ln q(z|x) - E_{p(x)p(z)} ln q(z|x)

The bound holds where the learned ``q`` is close to the true conditional, so ``q`` is fitted by maximum
likelihood beside the network.
"""

from torch import Tensor, nn
from torch.nn import functional


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
