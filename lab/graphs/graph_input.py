"""From pictures in [0, 1] to what a graph takes: ``siftfunnel.shared.preprocess`` with gradients."""

import torch
from torch import Tensor

from siftfunnel.shared.input_spec import InputSpec

GREY_WEIGHTS = (0.299, 0.587, 0.114)
_UNIT_SCALE = 1 / 255


def is_plain(spec: InputSpec) -> bool:
    """Whether (x - mean) / std of an RGB picture is all that a graph wants: what schema 1 means."""
    return (spec.colour, spec.layout, spec.scale) == ("RGB", "NCHW", _UNIT_SCALE) and spec.dtype != "uint8"


def graph_input(x_NCHW: Tensor, spec: InputSpec) -> Tensor:
    """What the edge half takes of RGB pictures in [0, 1]: N x ``spec.tensor_shape``, float32.

    Pixels of an input of ``uint8`` are rounded; a gradient passes that as if it were not there.
    """
    x = x_NCHW
    if spec.colour == "BGR":
        x = x.flip(1)
    elif spec.colour == "grey":
        weights = torch.tensor(GREY_WEIGHTS, device=x.device).view(1, 3, 1, 1)
        x = (x * weights).sum(1, keepdim=True)
        x = x + ((x * 255).round() / 255 - x).detach()
    if spec.dtype == "uint8":
        pixels = (x * 255).clamp(0, 255)
        x = pixels + (pixels.round() - pixels).detach()
    else:
        mean, std = (
            torch.tensor(values, device=x.device).view(1, -1, 1, 1) for values in (spec.mean, spec.std)
        )
        x = (x * (255 * spec.scale) - mean) / std
    return x if spec.layout == "NCHW" else x.permute(0, 2, 3, 1)
