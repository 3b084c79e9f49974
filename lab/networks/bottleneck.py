"""The stochastic layer of MID (Wang et al., 2021): a Gaussian whose mean and deviation the input decides."""

import torch
from torch import Tensor, nn
from torch.nn import functional

DEVIATION_OFFSET = 5.0


class GaussianBottleneck(nn.Module):
    """``mu + sigma * noise`` in training and ``mu`` in evaluation, with ``sigma = softplus(s - 5)``.

    The offset, from the authors' code, starts training with next to no noise.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.mean = nn.Linear(in_features, out_features)
        self.deviation = nn.Linear(in_features, out_features)

    def moments(self, x_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation, each N x out_features."""
        return self.mean(x_ND), functional.softplus(self.deviation(x_ND) - DEVIATION_OFFSET)

    def forward(self, x_ND: Tensor) -> Tensor:
        """A sample in training, the mean in evaluation."""
        if not self.training:
            mean: Tensor = self.mean(x_ND)
            return mean
        mu, sigma = self.moments(x_ND)
        return mu + sigma * torch.randn_like(mu)
