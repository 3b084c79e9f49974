"""Divergence of Gaussians from the standard normal: the price of information in MID and VIB."""

from torch import Tensor

DEVIATION_FLOOR = 1e-6


def standard_normal_divergence(mean: Tensor, deviation: Tensor) -> Tensor:
    """``KL(N(mean, deviation^2) || N(0, 1)) = (mean^2 + deviation^2 - 1) / 2 - ln deviation``, in nats.

    Value by value; the two arguments broadcast. A deviation that has underflowed counts as 1e-6.

    Example:
        >>> standard_normal_divergence(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 1.0])).tolist()
        [0.0, 2.0]
    """
    deviation = deviation.clamp_min(DEVIATION_FLOOR)
    return 0.5 * (mean.square() + deviation.square() - 1) - deviation.log()
