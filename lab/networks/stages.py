"""What stochastic defences do to the feature on the device, in training and in evaluation alike.

    Gaussian noise           z = f + sigma n                n ~ N(0, 1) for each value
    feature dropout          z = f b                        b ~ Bernoulli(1 - rate) for each value
    channel Gaussian noise   z = f + sigma_c n              one learned sigma for each channel c

Here the noise comes from PyTorch's global generator, so that a training can resume; a device draws it from
the operating system. ``gain`` is the factor by which the mean of many observations of the same picture must
be multiplied to give the clean feature: what an attacker who averages needs.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class GaussianNoise(nn.Module):
    """Independent Gaussian noise of one size on every value.

    Raises:
        ValueError: sigma is not a positive number.
    """

    gain = 1.0

    def __init__(self, sigma: float) -> None:
        super().__init__()
        if not 0 < sigma < math.inf:
            raise ValueError(f"sigma must be a positive number, got {sigma}")
        self.sigma = sigma

    def forward(self, z_NCHW: Tensor) -> Tensor:
        """The feature with fresh noise."""
        return z_NCHW + self.sigma * torch.randn_like(z_NCHW)


class FeatureDropout(nn.Module):
    """Replace each value by 0 with probability ``rate``; those that stay keep their size.

    Raises:
        ValueError: the rate is not in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate is a probability below 1, got {rate}")
        self.rate = rate

    @property
    def gain(self) -> float:
        """``1 / (1 - rate)``: a mean of observations is that much too small."""
        return 1 / (1 - self.rate)

    def forward(self, z_NCHW: Tensor) -> Tensor:
        """The feature with a fresh mask."""
        return z_NCHW * (torch.rand_like(z_NCHW) >= self.rate).to(z_NCHW.dtype)


class ChannelGaussianNoise(nn.Module):
    """Gaussian noise whose size is learned for each channel, ``sigma_c = softplus(raw_c)``.

    Raises:
        ValueError: the first sigma is not a positive number.
    """

    gain = 1.0

    def __init__(self, channels: int, initial_sigma: float) -> None:
        super().__init__()
        if not 0 < initial_sigma < math.inf:
            raise ValueError(f"the first sigma must be a positive number, got {initial_sigma}")
        # the inverse of softplus
        self.raw = nn.Parameter(torch.full((channels,), math.log(math.expm1(initial_sigma))))

    @property
    def sigmas_C(self) -> Tensor:
        """Standard deviation of each channel's noise, above 0."""
        sigmas: Tensor = functional.softplus(self.raw)
        return sigmas

    def forward(self, z_NCHW: Tensor) -> Tensor:
        """The feature with fresh noise."""
        return z_NCHW + self.sigmas_C[:, None, None] * torch.randn_like(z_NCHW)
