"""Which picture of a gallery was sent? What the best of all attackers answers, not what some attack does.

No noise          equal bytes are all that he cannot tell apart: he is right as often as there are payloads
Gaussian noise    the nearest feature, in units of the noise, is the most likely picture: nobody does better
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siftfunnel.lab.certify.sender import Noise, Pixels, Sender
from siftfunnel.lab.metrics.intervals import accuracy_interval
from siftfunnel.lab.metrics.retrieval import first_place_credit

_AT_ONCE = 500


def gallery_of(pixels_NHWC: Pixels, count: int) -> Pixels:
    """The first so many pictures, none twice."""
    _, first = np.unique(pixels_NHWC.reshape(len(pixels_NHWC), -1), axis=0, return_index=True)
    return np.ascontiguousarray(pixels_NHWC[np.sort(first)[:count]])


def payload_figures(sender: Sender, gallery_NHWC: Pixels) -> dict[str, Any]:
    """Payloads that are distinct, and the share of pictures that their bytes alone identify."""
    payloads = sender.payloads(gallery_NHWC)
    distinct, total = len(set(payloads)), len(payloads)
    return {
        "gallery": total,
        "distinct_payloads": distinct,
        "identified": {"1": {"share": distinct / total}},
        "chance": 1 / total,
    }


def noisy_figures(
    features_NCHW: NDArray[np.float32], noise: Noise, frames: tuple[int, ...], seed: int
) -> dict[str, Any]:
    """Share of a gallery's pictures that their noisy features identify, by how many frames are averaged."""
    clean = (torch.from_numpy(features_NCHW) / noise.deviations_CHW).flatten(1).double()
    total = len(clean)
    shares = {}
    for count in frames:
        generator = torch.Generator().manual_seed(seed)
        credit = _credit(clean, count**-0.5, generator)
        shares[str(count)] = {
            "share": credit / total,
            "ci95": accuracy_interval(round(credit), total),
        }
    return {"gallery": total, "identified": shares, "chance": 1 / total}


def _credit(clean_Nm: Tensor, deviation: float, generator: torch.Generator) -> float:
    squares = clean_Nm.square().sum(1) / 2
    credit = 0.0
    for own in torch.split(torch.arange(len(clean_Nm)), _AT_ONCE):
        noisy = clean_Nm[own]
        noisy = noisy + deviation * torch.randn(noisy.shape, generator=generator, dtype=noisy.dtype)
        credit += float(first_place_credit(noisy @ clean_Nm.T - squares, own).sum())
    return credit
