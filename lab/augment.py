"""Augmentation of a whole batch at once: flip, shift and colour, drawn per picture from a given generator."""

from dataclasses import dataclass

import torch
from torch import Tensor

GREY_WEIGHTS = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Augmentation:
    """How far pictures are changed in training; zeros change nothing.

    The paper's is a horizontal flip and colour jitter of 0.2 each, hue included. Shifts are ours; hue is left
    out (it costs a colour-space round trip) and the colour changes are one matrix per picture.

    Attributes:
        flip: Whether half of the pictures are mirrored.
        shift_pixels: Largest shift along each axis; the border repeats.
        brightness: Half-width of the brightness factor around 1.
        contrast: Half-width of the contrast factor around 1.
        saturation: Half-width of the saturation factor around 1.
    """

    flip: bool = False
    shift_pixels: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self) -> None:
        if self.shift_pixels < 0 or not all(
            0 <= v < 1 for v in (self.brightness, self.contrast, self.saturation)
        ):
            raise ValueError("shift must not be negative, and colour half-widths must lie in [0, 1)")


def _factors(count: int, half_width: float, generator: torch.Generator, device: torch.device) -> Tensor:
    return (1 + half_width * (2 * torch.rand(count, generator=generator) - 1)).to(device)


def _shift(images_NHWC: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    count, height, width, _ = images_NHWC.shape
    offsets = torch.randint(-pixels, pixels + 1, (2, count, 1), generator=generator).to(images_NHWC.device)
    rows = (torch.arange(height, device=images_NHWC.device) + offsets[0]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images_NHWC.device) + offsets[1]).clamp(0, width - 1)
    picture = torch.arange(count, device=images_NHWC.device)[:, None, None]
    return images_NHWC[picture, rows[:, :, None], columns[:, None, :]]


def _recolour(x_NHWC: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Brightness, contrast and saturation as one 3x3 matrix and one offset per picture."""
    count, device = len(x_NHWC), x_NHWC.device
    b = _factors(count, settings.brightness, generator, device)
    c = _factors(count, settings.contrast, generator, device)
    s = _factors(count, settings.saturation, generator, device)
    grey = torch.tensor(GREY_WEIGHTS, device=device)
    mean_grey = x_NHWC.mean(dim=(1, 2)) @ grey
    mix = s[:, None, None] * torch.eye(3, device=device) + (1 - s)[:, None, None] * grey[:, None]
    pixels_NK3 = x_NHWC.flatten(1, 2) @ (mix * (b * c)[:, None, None])
    pixels_NK3 = pixels_NK3 + ((1 - c) * b * mean_grey)[:, None, None]
    return pixels_NK3.clamp(0, 1).view_as(x_NHWC)


def augment(images_NHWC: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Change a batch of ``uint8`` pictures N x H x W x 3 and return floats in [0, 1] of the same shape.

    Args:
        images_NHWC: Pictures, on any device.
        settings: How far.
        generator: Source of all randomness, on the CPU, so that a run resumes where it stopped.
    """
    images = images_NHWC
    if settings.shift_pixels:
        images = _shift(images, settings.shift_pixels, generator)
    if settings.flip:
        mirrored = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
        images = torch.where(mirrored[:, None, None, None], images.flip(2), images)
    x = images.float() / 255
    if settings.brightness or settings.contrast or settings.saturation:
        x = _recolour(x, settings, generator)
    return x
