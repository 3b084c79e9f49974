"""AE-based (Azizian and Bajic, 2022): an encoder at the cut whose output is sparse in the cosine domain.

    L = cross-entropy + w mean |DCT(z)|

with the orthonormal two-dimensional DCT-II of each channel. The source adds an adversarial reconstruction
network, which is left out, as the paper leaves out adversarial training everywhere.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from siftfunnel.lab.defences.defence import Defence, Step
from siftfunnel.lab.defences.losses import Loss


def cosine_basis(size: int, like: Tensor) -> Tensor:
    """The orthonormal DCT-II as a matrix ``size x size``, with the device and type of ``like``."""
    n = torch.arange(size, dtype=like.dtype, device=like.device)
    basis = torch.cos(math.pi / size * (n[None, :] + 0.5) * n[:, None]) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis


def cosine_transform(z_NCHW: Tensor) -> Tensor:
    """Orthonormal two-dimensional DCT-II of every channel; keeps the sum of squares."""
    rows = cosine_basis(z_NCHW.shape[2], z_NCHW)
    columns = cosine_basis(z_NCHW.shape[3], z_NCHW)
    return rows @ z_NCHW @ columns.T


@dataclass(frozen=True)
class Autoencoder(Defence):
    """The autoencoder network with a penalty on its code's cosine coefficients.

    Attributes:
        weight: Weight w of the penalty. The paper's is lost; the source tries 0, 1, 2 and 4 beside a
            detector's loss. 1 is the smallest of them that does anything.
    """

    weight: float = 1.0

    name: ClassVar[str] = "autoencoder"
    label: ClassVar[str] = "AE-based"
    source: ClassVar[str] = "Azizian and Bajic, Privacy-preserving autoencoder for object detection, 2022"
    variant: ClassVar[str] = "autoencoder"
    own_weight: ClassVar[tuple[str, ...]] = ("weight",)
    origins: ClassVar[Mapping[str, str]] = {"weight": "ours"}

    def loss(self, step: Step) -> Loss:
        """Cross-entropy and penalty."""
        entropy = step.cross_entropy
        penalty = cosine_transform(step.z_NCHW).abs().mean()
        return Loss(entropy + self.weight * penalty, {"cross_entropy": entropy, "cosine_l1": penalty})
