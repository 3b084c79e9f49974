"""How far two features are apart, in the units in which features differ between pictures.

A funnel's features are tiny and unequal (standard deviations of 0.007 to 0.017 and many zeros): squared error
leaves Adam with nothing to follow. The attacker owns pictures, so he knows how much every element varies.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from siftfunnel.lab.attacks.basis import Tensors
from siftfunnel.lab.attacks.victim import Victim, at_once, to_floats

CHANNEL_FLOOR, FEATURE_FLOOR = 0.3, 0.01
"""An element counts as varying at least by these shares of its channel's and of the whole feature's root mean
square deviation: places where few auxiliary pictures differ would rule the distance otherwise. The second is
small because the channels of a trained funnel differ by a factor of 30."""


@dataclass(frozen=True)
class FeatureStatistics(Tensors):
    """What auxiliary pictures say about a victim's features.

    Attributes:
        scale_CHW: Standard deviation of each element over pictures and noise, with the two floors.
        zero_weight_CHW: How much a received zero says: 1, or under feature dropout the chance that it is one.
    """

    scale_CHW: Tensor
    zero_weight_CHW: Tensor

    def summary(self) -> dict[str, Any]:
        """What a result says about the features."""
        return {
            "feature_scale_median": float(self.scale_CHW.median()),
            "feature_scale_max": float(self.scale_CHW.max()),
            "zero_weight_mean": float(self.zero_weight_CHW.mean()),
        }


@torch.no_grad()
def measure_features(victim: Victim, auxiliary_NHWC: Tensor) -> FeatureStatistics:
    """Statistics from the attacker's own pictures, ``uint8``.

    The scale adds the variance between pictures and the variance of the noise on values that arrive:
    s^2 = Var(z) + E[(received - z)^2 | received != 0]. Under feature dropout (``gain`` above 1) a zero is
    either a dropped value or a true zero. With p the share of true zeros of the element, drop rate r and k
    averaged frames it is true with probability p / (p + (1 - p) r^k), the weight that it gets.
    """
    total = torch.zeros(victim.feature_shape, dtype=torch.float64, device=victim.device)
    square, noise, arrived, zeros = (total.clone() for _ in range(4))
    for part in torch.split(auxiliary_NHWC, at_once(victim.image_shape)):
        z = victim.features(to_floats(part.to(victim.device)))
        received = victim.transmit(z)
        is_there = received != 0
        total += z.double().sum(0)
        square += z.double().square().sum(0)
        noise += ((received - z).double().square() * is_there).sum(0)
        arrived += is_there.sum(0)
        zeros += (z == 0).sum(0)
    count = len(auxiliary_NHWC)
    between = (square / count - (total / count).square()).clamp_min(0)
    scale = (between + noise / arrived.clamp_min(1)).sqrt()
    of_channel = CHANNEL_FLOOR * scale.square().mean((1, 2), keepdim=True).sqrt()
    of_feature = FEATURE_FLOOR * scale.square().mean().sqrt()
    scale = scale.maximum(of_channel).maximum(of_feature).clamp_min(1e-12).float()
    weight = _weight_of_zeros(zeros / count, victim).float()
    return FeatureStatistics(scale, weight)


def _weight_of_zeros(true_share: Tensor, victim: Victim) -> Tensor:
    drop_rate = 1 - 1 / victim.gain
    if not victim.stochastic or drop_rate <= 0:
        return torch.ones_like(true_share)
    return true_share / (true_share + (1 - true_share) * drop_rate**victim.frames).clamp_min(1e-12)


class FeatureDistance:
    """Distance between the features of candidate pictures and the features that were overheard.

    d_i = sum_j w_ij ((f(x_i)_j - z_ij) / s_j)^2 / sum_j w_ij: 0 for a match, about 2 for the features of
    another picture.
    """

    def __init__(self, statistics: FeatureStatistics, z_NCHW: Tensor) -> None:
        self.z_NCHW = z_NCHW
        weight = torch.where(z_NCHW == 0, statistics.zero_weight_CHW, torch.ones_like(z_NCHW))
        total = weight.sum((1, 2, 3), keepdim=True).clamp_min(1e-12)
        self.weight_NCHW = weight / total / statistics.scale_CHW.square()

    def __call__(self, features_NCHW: Tensor) -> Tensor:
        """One distance per picture."""
        return ((features_NCHW - self.z_NCHW).square() * self.weight_NCHW).sum((1, 2, 3))
