"""Normalised Hilbert-Schmidt independence criterion, the measure of dependence in BiDO.

For N pairs with centred kernel matrices K (of one side) and L (of the other):

    R_K = K (K + eps N I)^-1        HSIC = trace(R_K R_L)

between 0 and the smaller rank: N - 1 with Gaussian kernels, at most K - 1 where one side is K classes. It is
the "normalised CCA" form of Fukumizu et al. (NeurIPS 2007) as the BiDO authors' code computes it. They centre
from one side only, K H; the trace of the product is the same for the symmetric H K H used here, which a
Cholesky factorisation can solve.
"""

import torch
from torch import Tensor
from torch.nn import functional

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
