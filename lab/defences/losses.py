"""Training losses as pure functions: Eq. 12 to 15 of the paper, and the price of information.

Symbols: N pictures in the batch, C channels, K classes; ``x`` the normalised pictures, ``z`` the features at
    the cut, ``y`` the labels. Two square roots have no gradient at zero: the distance of a picture to an
    equal one, and the standard deviation of a channel that has died. Both carry an epsilon inside the root.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

DISTANCE_EPSILON = 1e-10
VARIANCE_EPSILON = 1e-10
VARIANCE_FLOOR = 1e-14
DEVIATION_FLOOR = 1e-6


@dataclass(frozen=True)
class LossWeights:
    """Weights of Eq. 15; the defaults are the paper's (section 6.1(3)), but for the L1 weight.

    Attributes:
        kl: Weight of the divergence from the smoothed labels, the paper's 3.5.
        distance_correlation: Weight of the squared distance correlation between pictures and features, 0.8.
        channel_correlation: Weight of the mean squared Pearson correlation between channels, 0.6.
        l1: Weight of the features' mean magnitude; 5e-3 is ours, inside the paper's bound.
        smoothing: Probability mass moved away from the true class, 0.35.
    """

    kl: float = 3.5
    distance_correlation: float = 0.8
    channel_correlation: float = 0.6
    l1: float = 5e-3
    smoothing: float = 0.35

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 0:
                raise ValueError(f"loss weight {field.name} must not be negative")
        if self.smoothing >= 1:
            raise ValueError(f"smoothing is a probability below 1, got {self.smoothing}")


@dataclass(frozen=True)
class Loss:
    """The scalar to minimise, and its terms before weighting, by name."""

    total: Tensor
    parts: Mapping[str, Tensor]


def pairwise_distances(x: Tensor) -> Tensor:
    """Euclidean distances between the rows of ``x`` flattened to N x d, as N x N, exactly 0 on the diagonal.

    Uses the Gram matrix, |a - b|^2 = |a|^2 + |b|^2 - 2ab, after centring (distances do not change,
    cancellation shrinks): memory N x N instead of N x N x d. The epsilon inside the root, taken off again
    outside, gives equal rows the distance 0 with a gradient of 0.

    Example:
        >>> pairwise_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]])).round(decimals=4).tolist()
        [[0.0, 5.0], [5.0, 0.0]]
    """
    rows = x.flatten(1).float()
    rows = rows - rows.mean(dim=0, keepdim=True)
    gram = rows @ rows.T
    squares = gram.diagonal()
    squared = (squares[:, None] + squares[None, :] - 2 * gram).clamp_min(0)
    off_diagonal = 1 - torch.eye(len(rows), dtype=rows.dtype, device=rows.device)
    distances: Tensor = ((squared + DISTANCE_EPSILON).sqrt() - DISTANCE_EPSILON**0.5) * off_diagonal
    return distances


def _double_centre(a: Tensor) -> Tensor:
    return a - a.mean(dim=0, keepdim=True) - a.mean(dim=1, keepdim=True) + a.mean()


def _u_centre(a: Tensor) -> Tensor:
    n = len(a)
    row_sums = a.sum(dim=1)
    centred = (
        a - row_sums[:, None] / (n - 2) - row_sums[None, :] / (n - 2) + row_sums.sum() / ((n - 1) * (n - 2))
    )
    return centred * (1 - torch.eye(n, dtype=a.dtype, device=a.device))


def distance_correlation_squared(x: Tensor, z: Tensor) -> Tensor:
    """Squared sample distance correlation (Eq. 12), the biased form that the paper trains with.

    ``dCov(x, z) / sqrt(dVar(x) dVar(z))`` with ``dCov = mean(A * B)`` over the doubly centred distance
    matrices; the usual definition takes one more root. In [0, 1] and biased upwards: independent Gaussian
    data of the network's size scores 0.99 at N = 128, so report ``distance_correlation_unbiased`` instead.

    Args:
        x: Pictures, N x anything.
        z: Features, N x anything.

    Returns:
        A scalar: 1 when ``z`` is a scaled and shifted ``x``, 0 when either is constant.

    Raises:
        ValueError: for fewer than two pictures or differing N.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [4.0]])
        >>> round(float(distance_correlation_squared(x, 3 * x + 1)), 4)
        1.0
    """
    _require_pairs(x, z, least=2)
    a, b = _double_centre(pairwise_distances(x)), _double_centre(pairwise_distances(z))
    return _normalised((a * b).mean(), (a * a).mean(), (b * b).mean())


def distance_correlation_unbiased(x: Tensor, z: Tensor) -> Tensor:
    """Bias-corrected squared distance correlation (Szekely and Rizzo, 2013).

    About 0 for independent data of any size. May be slightly negative. The same arguments and errors as
    ``distance_correlation_squared``, with four pictures or more.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [4.0], [9.0]])
        >>> round(float(distance_correlation_unbiased(x, 2 * x)), 4)
        1.0
    """
    _require_pairs(x, z, least=4)
    n = len(x)
    a, b = _u_centre(pairwise_distances(x)), _u_centre(pairwise_distances(z))
    scale = n * (n - 3)
    return _normalised((a * b).sum() / scale, (a * a).sum() / scale, (b * b).sum() / scale)


def _require_pairs(x: Tensor, z: Tensor, *, least: int) -> None:
    if len(x) != len(z) or len(x) < least:
        raise ValueError(
            f"need the same number of pictures and features, {least} or more; got {len(x)} and {len(z)}"
        )


def _normalised(covariance: Tensor, variance_x: Tensor, variance_z: Tensor) -> Tensor:
    """``covariance / sqrt(variance_x * variance_z)``; roots taken apart, since the product underflows."""
    scale_x, scale_z = (variance.clamp_min(VARIANCE_FLOOR).sqrt() for variance in (variance_x, variance_z))
    return covariance / (scale_x * scale_z)


def channel_correlation(z_NCHW: Tensor) -> Tensor:
    """Mean squared Pearson correlation between a feature's channels (Eq. 13).

    Per picture, then the batch's mean. ``1/C^2 sum_ij (Cov_ij / (sigma_i sigma_j))^2`` over all pairs, the
    diagonal included: 1/C for uncorrelated live channels, 1 for equal ones. A dead channel counts as 0 with
    everything, itself included, so the term can be lowered by killing channels; that is the paper's.

    Example:
        >>> round(float(channel_correlation(torch.tensor([[[[1.0, 2.0]], [[4.0, 2.0]]]]))), 4)
        1.0
    """
    if z_NCHW.dim() != 4:
        raise ValueError(f"features must be N x C x H x W, got {tuple(z_NCHW.shape)}")
    z_NCK = z_NCHW.flatten(2).float()
    centred = z_NCK - z_NCK.mean(dim=2, keepdim=True)
    deviation = (centred.square().mean(dim=2, keepdim=True) + VARIANCE_EPSILON).sqrt()
    unit = centred / deviation
    correlation = unit @ unit.transpose(1, 2) / z_NCK.shape[2]
    return correlation.square().mean()


def smoothed_labels(labels: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """Eq. 14: ``1 - smoothing`` for the true class and ``smoothing / (K - 1)`` for each other, as N x K.

    Example:
        >>> smoothed_labels(torch.tensor([1]), 3, 0.5).tolist()
        [[0.25, 0.5, 0.25]]
    """
    soft = torch.full((len(labels), num_classes), smoothing / (num_classes - 1), device=labels.device)
    return soft.scatter(1, labels[:, None], 1 - smoothing)


def label_divergence(
    logits: Tensor,
    labels: Tensor,
    smoothing: float,
    taught_NK: Tensor | None = None,
    taught_share: float = 0.0,
) -> Tensor:
    """KL divergence of the predicted distribution from the smoothed labels, mean over the batch, in nats.

    0 when the prediction equals the smoothed labels. With teachers, the target is ``taught_share`` of their
    answer and the rest of the smoothed labels.
    """
    soft = smoothed_labels(labels, logits.shape[1], smoothing)
    if taught_NK is not None and taught_share:
        soft = soft.lerp(taught_NK, taught_share)
    return functional.kl_div(logits.log_softmax(dim=1), soft, reduction="batchmean")


def l1_magnitude(z: Tensor) -> Tensor:
    """Mean magnitude of the features, the sparsity term.

    Example:
        >>> float(l1_magnitude(torch.tensor([1.0, -3.0])))
        2.0
    """
    return z.abs().mean()


def siftfunnel_loss(
    x: Tensor,
    z_NCHW: Tensor,
    logits: Tensor,
    labels: Tensor,
    weights: LossWeights,
    *,
    taught_NK: Tensor | None = None,
    taught_share: float = 0.0,
) -> Loss:
    """Eq. 15: weighted sum of label divergence, distance correlation, channel correlation and magnitude.

    Args:
        x: Normalised pictures N x 3 x S x S as the edge saw them.
        z_NCHW: Features at the cut.
        logits: Class scores N x K.
        labels: Class indices, length N.
        weights: Weights of the terms and the label smoothing.
        taught_NK: Class probabilities that teachers give, a further target.
        taught_share: Their share of it.
    """
    kl = label_divergence(logits, labels, weights.smoothing, taught_NK, taught_share)
    dcor = distance_correlation_squared(x, z_NCHW)
    pearson = channel_correlation(z_NCHW)
    magnitude = l1_magnitude(z_NCHW)
    total = (
        weights.kl * kl
        + weights.distance_correlation * dcor
        + weights.channel_correlation * pearson
        + weights.l1 * magnitude
    )
    parts = {"kl": kl, "distance_correlation": dcor, "channel_correlation": pearson, "l1": magnitude}
    return Loss(total, parts)


def standard_normal_divergence(mean: Tensor, deviation: Tensor) -> Tensor:
    """``KL(N(mean, deviation^2) || N(0, 1)) = (mean^2 + deviation^2 - 1) / 2 - ln deviation``, in nats.

    The price of information in MID and VIB. Value by value; the
    two arguments broadcast. A deviation that has underflowed counts as 1e-6.

    Example:
        >>> standard_normal_divergence(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 1.0])).tolist()
        [0.0, 2.0]
    """
    deviation = deviation.clamp_min(DEVIATION_FLOOR)
    return 0.5 * (mean.square() + deviation.square() - 1) - deviation.log()
