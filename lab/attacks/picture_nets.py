r"""Many small U-shaped nets side by side: one per picture, all in one call.

Pictures lie along the channel axis, 1 x (N * channels) x H x W, and every convolution has N groups, so each
picture has weights of its own. On one CPU core this is four times as fast as N separate calls.

    noise --> down --> down --> ... --> up --> up --> 1x1 --> sigmoid --> picture
                 \_____ 1x1 skip, 4 channels _____/
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

SKIP_CHANNELS = 4
LEAST_SIDE = 4
SLOPE = 0.2
LAST_SCALE = 0.1


class PictureNets:
    """N untrained nets from noise to pictures.

    Args:
        count: N.
        channels: Of every level.
        around_CHW: The picture around which the untrained nets' pictures lie: the mean picture.
        generator: Draws the weights, on the CPU.
        device: Where to compute.
    """

    def __init__(
        self,
        count: int,
        channels: int,
        around_CHW: Tensor,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self.count, self.channels = count, channels
        self.levels = max(1, int(math.log2(min(around_CHW.shape[1:]) / LEAST_SIDE)))
        self._generator, self._device = generator, device
        self._base = around_CHW.to(device).logit(eps=0.01)
        c, wide = channels, channels + SKIP_CHANNELS
        self._skip = [self._layer(SKIP_CHANNELS, c, 1) for _ in range(self.levels)]
        self._down = [self._layer(c, c, 3) for _ in range(self.levels)]
        self._up = [self._layer(c, wide, 3) for _ in range(self.levels)]
        self._last = self._layer(3, c, 1, LAST_SCALE)

    def parameters(self) -> list[Tensor]:
        """Everything that is optimised."""
        layers = (*self._skip, *self._down, *self._up, self._last)
        return [tensor for layer in layers for tensor in layer]

    def __call__(self, noise_NCHW: Tensor) -> Tensor:
        """Pictures N x 3 x H x W in (0, 1) from noise N x channels x H x W."""
        h = noise_NCHW.reshape(1, -1, *noise_NCHW.shape[2:])
        skips: list[Tensor] = []
        for skip, down in zip(self._skip, self._down, strict=True):
            skips.append(self._convolve(h, skip))
            h = self._convolve(h, down, stride=2)
        for skipped, up in zip(reversed(skips), reversed(self._up), strict=True):
            h = functional.interpolate(h, size=skipped.shape[2:], mode="bilinear", align_corners=False)
            h = self._convolve(self._joined(h, skipped), up)
        weights, shift = self._last
        made = functional.conv2d(h, weights, shift, groups=self.count)
        return (made.view(self.count, 3, *made.shape[2:]) + self._base).sigmoid()

    def gradient_norm_N(self) -> Tensor:
        """Norm of the gradient of each picture's weights, after a backward pass."""
        parts = [
            parameter.grad.view(self.count, -1)
            for parameter in self.parameters()
            if parameter.grad is not None
        ]
        norm_N: Tensor = torch.cat(parts, dim=1).norm(dim=1)
        return norm_N

    def _joined(self, first: Tensor, second: Tensor) -> Tensor:
        """Channels of each picture beside one another."""
        sides = first.shape[2:]
        parts = (first.view(self.count, -1, *sides), second.view(self.count, -1, *sides))
        return torch.cat(parts, dim=1).view(1, -1, *sides)

    def _convolve(self, x: Tensor, layer: tuple[Tensor, Tensor], stride: int = 1) -> Tensor:
        """Convolve, normalise every channel of every picture, shift, and a leaky rectifier."""
        weights, shift = layer
        made = functional.conv2d(x, weights, stride=stride, padding=weights.shape[-1] // 2, groups=self.count)
        normal = functional.batch_norm(
            made, None, None, bias=shift, weight=torch.ones_like(shift), training=True
        )
        return functional.leaky_relu(normal, SLOPE)

    def _layer(
        self, out_channels: int, in_channels: int, size: int, scale: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Weights and shifts of all pictures' convolutions."""
        shape = (self.count * out_channels, in_channels, size, size)
        drawn = torch.randn(shape, generator=self._generator) * (
            scale * math.sqrt(2 / (in_channels * size**2))
        )
        shift = torch.zeros(shape[0], device=self._device, requires_grad=True)
        return drawn.to(self._device).requires_grad_(), shift
