"""Augmentation of a whole batch at once: flip, shift and colour, drawn per picture from a given generator."""

from dataclasses import dataclass

import torch
from torch import Tensor

GREY_WEIGHTS = (0.299, 0.587, 0.114)
YIQ_FROM_RGB = (GREY_WEIGHTS, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))
"""NTSC's luma and its two chroma axes; the chroma rows sum to 0, so that grey has none."""


@dataclass(frozen=True)
class Augmentation:
    """How far pictures are changed in training; zeros change nothing.

    The colour changes are one matrix per picture: hue, saturation, contrast, then brightness. Shifts are
    ours. Hue turns the chroma plane of YIQ, where torchvision's ``ColorJitter`` turns the wheel of HSV: the
    same share of a whole turn, but brightness as the eye weighs it stays, and grey stays grey.

    Attributes:
        flip: Whether half of the pictures are mirrored.
        shift_pixels: Largest shift along each axis; the border repeats.
        brightness: Half-width of the brightness factor around 1.
        contrast: Half-width of the contrast factor around 1.
        saturation: Half-width of the saturation factor around 1.
        hue: Largest turn of the hue either way, as a share of a whole turn, at most 0.5.
    """

    flip: bool = False
    shift_pixels: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        if self.shift_pixels < 0 or not all(
            0 <= v < 1 for v in (self.brightness, self.contrast, self.saturation)
        ):
            raise ValueError("shift must not be negative, and colour half-widths must lie in [0, 1)")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"hue half-widths must lie in [0, 0.5], got {self.hue}")


PAPER_AUGMENTATION = Augmentation(flip=True, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.2)
"""*Paper* (the released code's training transform), for colour pictures and chest films alike."""


def _factors(count: int, half_width: float, generator: torch.Generator, device: torch.device) -> Tensor:
    return (1 + half_width * (2 * torch.rand(count, generator=generator) - 1)).to(device)


def _shift(images_NHWC: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    count, height, width, _ = images_NHWC.shape
    offsets = torch.randint(-pixels, pixels + 1, (2, count, 1), generator=generator).to(images_NHWC.device)
    rows = (torch.arange(height, device=images_NHWC.device) + offsets[0]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images_NHWC.device) + offsets[1]).clamp(0, width - 1)
    picture = torch.arange(count, device=images_NHWC.device)[:, None, None]
    return images_NHWC[picture, rows[:, :, None], columns[:, None, :]]


def hue_matrices(turns_N: Tensor) -> Tensor:
    """Matrices N x 3 x 3 that turn the hue of RGB row vectors, ``rgb @ matrix``, by shares of a whole turn.

    A third of a turn takes red to green, as on the wheel of HSV.

    Example:
        >>> torch.allclose(hue_matrices(torch.tensor([1.0]))[0], torch.eye(3), atol=1e-5)
        True
    """
    to_yiq = torch.tensor(YIQ_FROM_RGB, dtype=torch.float64).T
    angle = 2 * torch.pi * turns_N.double().cpu()
    rotation = torch.zeros(len(turns_N), 3, 3, dtype=torch.float64)
    rotation[:, 0, 0] = 1
    rotation[:, 1, 1] = rotation[:, 2, 2] = angle.cos()
    rotation[:, 1, 2], rotation[:, 2, 1] = -angle.sin(), angle.sin()
    matrices: Tensor = to_yiq @ rotation @ torch.linalg.inv(to_yiq)
    return matrices.to(turns_N)


def _recolour(x_NHWC: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Hue, saturation, contrast and brightness as one 3x3 matrix and one offset per picture."""
    count, device = len(x_NHWC), x_NHWC.device
    b = _factors(count, settings.brightness, generator, device)
    c = _factors(count, settings.contrast, generator, device)
    s = _factors(count, settings.saturation, generator, device)
    grey = torch.tensor(GREY_WEIGHTS, device=device)
    mean_grey = x_NHWC.mean(dim=(1, 2)) @ grey
    mix = s[:, None, None] * torch.eye(3, device=device) + (1 - s)[:, None, None] * grey[:, None]
    if settings.hue:
        turns = settings.hue * (2 * torch.rand(count, generator=generator) - 1)
        mix = hue_matrices(turns).to(device) @ mix
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
    if settings.brightness or settings.contrast or settings.saturation or settings.hue:
        x = _recolour(x, settings, generator)
    return x
