"""BiDO (Peng et al., KDD 2022): little dependence on the picture, much on the label, in every layer.

    L = cross-entropy + sum_h (lambda_x HSIC(x, h) - lambda_y HSIC(h, y))

The sum runs over the outputs of all children of edge and cloud but the head, as the authors' code sums over
every hidden layer that its networks return; on the CNN these are the four blocks. Kernels are the source's:
Gaussian on pictures and layers, linear on one-hot labels. For N pairs with centred kernel matrices K (of one
side) and L (of the other):

    R_K = K (K + eps N I)^-1        HSIC = trace(R_K R_L)

between 0 and the smaller rank: N - 1 with Gaussian kernels, at most K - 1 where one side is K classes. It is
the "normalised CCA" form of Fukumizu et al. (NeurIPS 2007) as the authors' code computes it. They centre from
one side only, K H; the trace of the product is the same for the symmetric H K H used here, which a Cholesky
factorisation can solve.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from siftfunnel.lab.defences.defence import Defence, Step
from siftfunnel.lab.defences.losses import Loss

KERNEL_SIGMA = 5.0
EPSILON = 1e-5


def centre(kernel_NN: Tensor) -> Tensor:
    """``H K H`` with ``H = I - 1/N``."""
    rows = kernel_NN - kernel_NN.mean(dim=0, keepdim=True)
    return rows - rows.mean(dim=1, keepdim=True)


def gaussian_kernel(x: Tensor, sigma: float = KERNEL_SIGMA) -> Tensor:
    """Centred Gaussian kernel of the rows of ``x`` flattened to N x d: ``exp(-|a - b|^2 / (2 sigma^2 d))``.

    Computed as ``exp - 1``, which centring does not see: with so wide a kernel all values are close to 1, and
    single precision would lose what sets them apart.
    """
    rows = x.flatten(1).float()
    rows = rows - rows.mean(dim=0, keepdim=True)
    gram = rows @ rows.T
    squares = gram.diagonal()
    squared = (squares[:, None] + squares[None, :] - 2 * gram).clamp_min(0)
    return centre(torch.expm1(squared.double() / (-2 * sigma * sigma * rows.shape[1])))


def label_kernel(labels_N: Tensor, num_classes: int) -> Tensor:
    """Centred linear kernel of one-hot labels: before centring 1 for equal labels and 0 for others."""
    one_hot_NK = functional.one_hot(labels_N, num_classes).double()
    return centre(one_hot_NK @ one_hot_NK.T)


def normalise_kernel(centred_NN: Tensor, epsilon: float = EPSILON) -> Tensor:
    """``R = K (K + eps N I)^-1`` of a centred kernel matrix, symmetric."""
    count = len(centred_NN)
    eye = torch.eye(count, dtype=centred_NN.dtype, device=centred_NN.device)
    ridge = epsilon * count
    factor = torch.linalg.cholesky(centred_NN + ridge * eye)
    # K (K + r I)^-1 = I - r (K + r I)^-1
    return eye - ridge * torch.cholesky_inverse(factor)


def normalised_hsic(first_NN: Tensor, second_NN: Tensor) -> Tensor:
    """``trace(R_K R_L)`` of two normalised kernel matrices, in single precision.

    Example:
        >>> labels = label_kernel(torch.tensor([0, 0, 1, 1]), 2)
        >>> r = normalise_kernel(labels)
        >>> round(float(normalised_hsic(r, r)), 3)
        1.0
    """
    return (first_NN * second_NN).sum().float()


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
    own_weight: ClassVar[tuple[str, ...]] = ("lambda_x", "lambda_y")
    origins: ClassVar[Mapping[str, str]] = {
        "lambda_x": "paper",
        "lambda_y": "paper",
        "sigma": "source",
        "epsilon": "source",
    }

    @classmethod
    def for_family(cls, family: str) -> "BiDO":
        """The paper's weights: (2; 20), and (5; 10) for its ResNet."""
        return cls(lambda_x=5.0, lambda_y=10.0) if family == "resnet18" else cls()

    @classmethod
    def variations(cls) -> Mapping[str, Defence]:
        """The authors' own weights; the paper's leave cross-entropy little say in our form of HSIC."""
        return {"bido-source": cls(lambda_x=0.05, lambda_y=0.5)}

    def loss(self, step: Step) -> Loss:
        """Cross-entropy and the two dependences, summed over the layers."""
        picture = normalise_kernel(gaussian_kernel(step.x_NCHW, self.sigma), self.epsilon)
        label = normalise_kernel(label_kernel(step.labels_N, step.logits_NK.shape[1]), self.epsilon)
        layers = [
            normalise_kernel(gaussian_kernel(hidden, self.sigma), self.epsilon) for hidden in step.hidden
        ]
        on_picture = torch.stack([normalised_hsic(picture, layer) for layer in layers]).sum()
        on_label = torch.stack([normalised_hsic(layer, label) for layer in layers]).sum()
        entropy = step.cross_entropy
        total = entropy + self.lambda_x * on_picture - self.lambda_y * on_label
        return Loss(total, {"cross_entropy": entropy, "hsic_picture": on_picture, "hsic_label": on_label})
