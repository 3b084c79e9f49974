"""Pictures made the same as others that mean the same, before a network sees them; ours."""

import torch
from torch import Tensor, nn

LEAST_VARIANCE = 1e-2
"""Added to a picture's variance (normalised), so that noise where there is no contrast is not blown up."""


class Standardised(nn.Module):
    """A picture without its mean colour and contrast: the same for every exposure of it, but for clipping.

    Each channel's mean is taken off and all are divided by one deviation.
    """

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """The same shape."""
        centred = x_NCHW - x_NCHW.mean(dim=(2, 3), keepdim=True)
        return centred / (centred.square().mean(dim=(1, 2, 3), keepdim=True) + LEAST_VARIANCE).sqrt()


class Oriented(nn.Module):
    """A picture or its mirror image, whichever is the brighter on its right: the same for both.

    Photographs and their mirror images are about equally likely, so whoever sees what is computed of this
    knows one bit too little for a small squared error: the mean over such pairs is at least |x - x'|^2 / 4,
    for any attacker, exactly. Nothing else is hidden: a mirrored face is a likeness, and who tries both
    orientations finds the picture. A retrieval that does not try both says less than it seems to.
    """

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """The same shape."""
        brighter_N = x_NCHW.mean(dim=(1, 2)) @ sides(x_NCHW.shape[3]).to(x_NCHW.device)
        return torch.where(brighter_N[:, None, None, None] < 0, x_NCHW.flip(3), x_NCHW)


def sides(width: int) -> Tensor:
    """Weights of the columns, from -1 on the left to 1 on the right."""
    return torch.linspace(-1, 1, width)
