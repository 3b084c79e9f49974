"""Reference rows: what one scores without attacking anything. Every table prints them.

A restored picture that is no closer than the mean image is no evidence of privacy, only of an attack that
did nothing. Values on CIFAR-10's test pictures at 64x64 (standard MSE, then PSNR of that MSE; measured):
noise 0.242, 6.2 dB; mean image 0.057, 12.4; mean colour 0.040, 14.0; thumbnail 4x4 0.016, 17.9.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from siftfunnel.lab.metrics.arrays import Array, pictures_tensor

_QUERIES_AT_ONCE = 256


def mean_image(x_NCHW: Tensor, auxiliary_NCHW: Tensor, seed: int) -> Tensor:
    """The mean of the attacker's own pictures, for every picture."""
    return auxiliary_NCHW.mean(dim=0, keepdim=True).expand_as(x_NCHW).clone()


def image_mean_colour(x_NCHW: Tensor, auxiliary_NCHW: Tensor, seed: int) -> Tensor:
    """Each picture's own mean colour; an oracle of 3 numbers per picture."""
    return x_NCHW.mean(dim=(2, 3), keepdim=True).expand_as(x_NCHW).clone()


def _thumbnail(x_NCHW: Tensor, side: int) -> Tensor:
    small = functional.adaptive_avg_pool2d(x_NCHW, side)
    return functional.interpolate(small, size=x_NCHW.shape[2:], mode="bilinear", align_corners=False)


def thumbnail_4x4(x_NCHW: Tensor, auxiliary_NCHW: Tensor, seed: int) -> Tensor:
    """Each picture averaged down to 4x4 and enlarged bilinearly; an oracle of 48 numbers per picture."""
    return _thumbnail(x_NCHW, 4)


def thumbnail_8x8(x_NCHW: Tensor, auxiliary_NCHW: Tensor, seed: int) -> Tensor:
    """Each picture averaged down to 8x8 and enlarged bilinearly; an oracle of 192 numbers per picture."""
    return _thumbnail(x_NCHW, 8)


def nearest_auxiliary(x_NCHW: Tensor, auxiliary_NCHW: Tensor, seed: int) -> Tensor:
    """The attacker's own picture with the least squared error to the secret one.

    An oracle: it looks at the secret picture to choose. No attacker that only picks from its own pictures
    can score a lower MSE, and it shows people or things that are not those in the secret picture.
    """
    auxiliary = auxiliary_NCHW.flatten(1)
    centre = auxiliary.mean(dim=0)
    auxiliary = auxiliary - centre
    squares = auxiliary.square().sum(dim=1)
    nearest = [
        (squares - 2 * (part - centre) @ auxiliary.T).argmin(dim=1)
        for part in torch.split(x_NCHW.flatten(1), _QUERIES_AT_ONCE)
    ]
    return auxiliary_NCHW[torch.cat(nearest)]


def clamp_noise(x_NCHW: Tensor, auxiliary_NCHW: Tensor, seed: int) -> Tensor:
    """Standard normal noise cut to [0, 1]: where the authors' white-box attack starts."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(x_NCHW.shape, generator=generator, dtype=x_NCHW.dtype).clamp(0, 1)


REFERENCES: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "mean_image": mean_image,
    "image_mean_colour": image_mean_colour,
    "thumbnail_4x4": thumbnail_4x4,
    "thumbnail_8x8": thumbnail_8x8,
    "nearest_auxiliary": nearest_auxiliary,
    "clamp_noise": clamp_noise,
}
"""Every reference row by the name that tables print, in the order of the tables."""


def reference_pictures(name: str, x_NCHW: Array, auxiliary_NCHW: Array, seed: int = 0) -> Tensor:
    """The "restored" pictures of a reference row, float32 in [0, 1], shaped like ``x_NCHW``.

    Args:
        name: A key of ``REFERENCES``.
        x_NCHW: The secret pictures, float in [0, 1].
        auxiliary_NCHW: The attacker's own pictures, same C, H and W.
        seed: For the noise.

    Raises:
        ValueError: an unknown name (the text lists the known ones), pictures of differing shape.

    Example:
        >>> reference_pictures("mean_image", torch.zeros(1, 1, 2, 2), torch.ones(3, 1, 2, 2)).mean().item()
        1.0
    """
    if name not in REFERENCES:
        raise ValueError(f"unknown reference {name!r}; known: {', '.join(REFERENCES)}")
    x = pictures_tensor(x_NCHW, "secret pictures")
    auxiliary = pictures_tensor(auxiliary_NCHW, "auxiliary pictures")
    if x.shape[1:] != auxiliary.shape[1:]:
        raise ValueError(
            f"secret and auxiliary pictures must have one shape, got {tuple(x.shape[1:])} and "
            f"{tuple(auxiliary.shape[1:])}; resize the auxiliary ones"
        )
    return REFERENCES[name](x, auxiliary, seed).float().clamp(0, 1)
