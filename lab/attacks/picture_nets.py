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


class PictureNets:
    """N untrained nets from noise to pictures.

    Args:
        count: N.
        channels: Of every level.
        image_shape: (3, H, W).
        generator: Draws the weights, on the CPU.
        device: Where to compute.
    """

    def __init__(
        self,
        count: int,
        channels: int,
        image_shape: tuple[int, int, int],
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self.count, self.channels = count, channels
        self.levels = max(1, int(math.log2(min(image_shape[1:]) / LEAST_SIDE)))
        self._generator, self._device = generator, device
        c, wide = channels, channels + SKIP_CHANNELS
        self._skip = [self._weights(SKIP_CHANNELS, c, 1) for _ in range(self.levels)]
        self._down = [self._weights(c, c, 3) for _ in range(self.levels)]
        self._up = [self._weights(c, wide, 3) for _ in range(self.levels)]
        self._last = self._weights(3, c, 1)
        self._shift = torch.zeros(count * 3, device=device, requires_grad=True)

    def parameters(self) -> list[Tensor]:
        """Everything that is optimised."""
        return [*self._skip, *self._down, *self._up, self._last, self._shift]

    def __call__(self, noise_NCHW: Tensor) -> Tensor:
        """Pictures N x 3 x H x W in (0, 1) from noise N x channels x H x W."""
        h = noise_NCHW.reshape(1, -1, *noise_NCHW.shape[2:])
        skips: list[Tensor] = []
        for skip, down in zip(self._skip, self._down, strict=True):
            skips.append(_activate(self._convolve(h, skip)))
            h = _activate(self._convolve(h, down, stride=2))
        for skipped, up in zip(reversed(skips), reversed(self._up), strict=True):
            h = functional.interpolate(h, size=skipped.shape[2:], mode="bilinear", align_corners=False)
            h = _activate(self._convolve(self._joined(h, skipped), up))
        made = functional.conv2d(h, self._last, self._shift, groups=self.count)
        return made.view(self.count, 3, *made.shape[2:]).sigmoid()

    def gradient_norm_N(self) -> Tensor:
        """Norm of the gradient of each picture's weights, after a backward pass."""
        parts = [
            parameter.grad.view(self.count, -1)
            for parameter in self.parameters()
            if parameter.grad is not None
        ]
        return torch.cat(parts, dim=1).norm(dim=1)

    def _joined(self, first: Tensor, second: Tensor) -> Tensor:
        """Channels of each picture beside one another."""
        sides = first.shape[2:]
        parts = (first.view(self.count, -1, *sides), second.view(self.count, -1, *sides))
        return torch.cat(parts, dim=1).view(1, -1, *sides)

    def _convolve(self, x: Tensor, weights: Tensor, stride: int = 1) -> Tensor:
        return functional.conv2d(x, weights, stride=stride, padding=weights.shape[-1] // 2, groups=self.count)

    def _weights(self, out_channels: int, in_channels: int, size: int) -> Tensor:
        shape = (self.count * out_channels, in_channels, size, size)
        drawn = torch.randn(shape, generator=self._generator) * math.sqrt(2 / (in_channels * size**2))
        return drawn.to(self._device).requires_grad_()


def _activate(x: Tensor) -> Tensor:
    """Normalise every channel of every picture, then a leaky rectifier."""
    return functional.leaky_relu(functional.batch_norm(x, None, None, training=True), SLOPE)
