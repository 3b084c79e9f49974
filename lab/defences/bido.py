"""BiDO (Peng et al., KDD 2022): little dependence on the picture, much on the label, in every layer.

    L = cross-entropy + sum_h (lambda_x HSIC(x, h) - lambda_y HSIC(h, y))

The sum runs over the outputs of all children of edge and cloud but the head, as the authors' code sums over
every hidden layer that its networks return; on the CNN these are the four blocks. HSIC is
``lab.defences.hsic``'s normalised form with the source's kernels: Gaussian on pictures and layers, linear
on one-hot labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import functional

from siftfunnel.lab.defences.defence import Defence, Loss, Step
from siftfunnel.lab.defences.hsic import (
    EPSILON,
    KERNEL_SIGMA,
    gaussian_kernel,
    label_kernel,
    normalise_kernel,
    normalised_hsic,
)


@dataclass(frozen=True)
class BiDO(Defence):
    """Bilateral dependency optimisation with HSIC.

    Attributes:
        lambda_x: Weight of the dependence on the picture: the paper's 2 for CNN and FaceScrub, 5 for ResNet.
        lambda_y: Weight of the dependence on the label: the paper's 20, and 10 for ResNet.
        sigma: Width of the Gaussian kernel; its variance is ``2 sigma^2 d`` in d dimensions.
        epsilon: Ridge of the normalisation.
    """

    lambda_x: float = 2.0
    lambda_y: float = 20.0
    sigma: float = KERNEL_SIGMA
    epsilon: float = EPSILON

    name: ClassVar[str] = "bido"
    label: ClassVar[str] = "BiDO"
    source: ClassVar[str] = "Peng et al., Bilateral dependency optimization, KDD 2022"
    origins: ClassVar[Mapping[str, str]] = {
        "lambda_x": "paper",
        "lambda_y": "paper",
        "sigma": "source",
        "epsilon": "source",
    }

    @classmethod
    def for_resnet(cls) -> "BiDO":
        """The paper's weights for its ResNet, (5; 10)."""
        return cls(lambda_x=5.0, lambda_y=10.0)

    def loss(self, step: Step) -> Loss:
        """Cross-entropy and the two dependences, summed over the layers."""
        picture = normalise_kernel(gaussian_kernel(step.x_NCHW, self.sigma), self.epsilon)
        label = normalise_kernel(label_kernel(step.labels_N, step.logits_NK.shape[1]), self.epsilon)
        layers = [
            normalise_kernel(gaussian_kernel(hidden, self.sigma), self.epsilon) for hidden in step.hidden
        ]
        on_picture = torch.stack([normalised_hsic(picture, layer) for layer in layers]).sum()
        on_label = torch.stack([normalised_hsic(layer, label) for layer in layers]).sum()
        entropy = functional.cross_entropy(step.logits_NK, step.labels_N)
        total = entropy + self.lambda_x * on_picture - self.lambda_y * on_label
        return Loss(total, {"cross_entropy": entropy, "hsic_picture": on_picture, "hsic_label": on_label})
