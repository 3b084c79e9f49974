"""Residual layers that networks share."""

from torch import Tensor, nn


class ResidualSum(nn.Module):
    """``skip(x) + body(x)``."""

    def __init__(self, skip: nn.Module, body: nn.Module) -> None:
        super().__init__()
        self.skip = skip
        self.body = body

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Sum of the two paths, which must agree in shape."""
        sum_NCHW: Tensor = self.skip(x_NCHW) + self.body(x_NCHW)
        return sum_NCHW


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3x3 "same" convolution with bias."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)


def residual_mix(channels: int) -> ResidualSum:
    """``conv3x3(x) + conv3x3(SiLU(conv3x3(x)))``, the number of channels stays."""
    return ResidualSum(
        conv3x3(channels, channels),
        nn.Sequential(conv3x3(channels, channels), nn.SiLU(), conv3x3(channels, channels)),
    )
