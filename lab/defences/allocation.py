"""Noise allocated by a certificate: most bound on an attacker's error for the same harm to the answers.

    bound(v) = sum_k 1 / (sum_c a_ck / v_c + s_k)        harm(v) = sum_c h_c v_c

is the trace form of van Trees' inequality, diagonal in the pictures' cosine coefficients k: a_ck is the
Fisher information that channel c with noise of variance 1 gives of coefficient k, the mean of
((J_c' r) . u_k)^2 over pictures and random signs r; s_k is the inverse variance of the coefficient over
pictures; h_c the divergence of the answers that noise of variance 1 on the channel alone would cause. Where
the bound's derivative equals a multiple of the harm's,

    v_c ~ sqrt(sum_k a_ck / (sum_i a_ik / v_i + s_k)^2 / h_c),

which is iterated. That diagonal form only finds the sizes: a certificate of them is measured on other
pictures.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dctn
from torch import Tensor, nn
from torch.nn import functional

ROUNDS = 200
LEAST_SHARE = 0.03
"""Of the largest harm: what a channel's harm is taken for at least, as it is measured with noise."""

Array = NDArray[np.float64]
Edge = Callable[[Tensor], Tensor]


def allocate(information_CK: Array, precision_K: Array, harm_C: Array, budget: float) -> Array:
    """Variances of each channel's noise whose bound is the highest at a harm of ``budget``.

    Args:
        information_CK: a, 0 or more.
        precision_K: s, above 0.
        harm_C: h, above 0.
        budget: Harm of all channels together, above 0.

    Raises:
        ValueError: values out of these ranges.

    Example:
        >>> told = np.array([[4.0], [1.0]])
        >>> allocate(told, np.array([1.0]), np.ones(2), 3.0).round(3).tolist()
        [2.0, 1.0]
    """
    if budget <= 0 or not (harm_C > 0).all() or not (precision_K > 0).all() or (information_CK < 0).any():
        raise ValueError("harm, precision and budget must be above 0 and information not below")
    information_CK = np.maximum(information_CK, 1e-12 * information_CK.max())
    variance_C = budget / len(harm_C) / harm_C
    for _ in range(ROUNDS):
        left_K = 1 / ((information_CK / variance_C[:, None]).sum(axis=0) + precision_K)
        wanted_C = np.sqrt((information_CK * left_K**2).sum(axis=1) / harm_C)
        variance_C = np.sqrt(variance_C * wanted_C * budget / (harm_C @ wanted_C))
        variance_C *= budget / (harm_C @ variance_C)
    return variance_C


def bound(information_CK: Array, precision_K: Array, variance_C: Array) -> float:
    """The diagonal bound on the summed squared error, in the unit of the pictures."""
    return float((1 / ((information_CK / variance_C[:, None]).sum(axis=0) + precision_K)).sum())


def channel_information(edge: Edge, x_NCHW: Tensor) -> Array:
    """a_ck of each channel and cosine coefficient, C x (3 S S), for noise of variance 1.

    Args:
        edge: Pictures to features N x C x h x w, differentiable.
        x_NCHW: Pictures.
    """
    x_NCHW = x_NCHW.detach().requires_grad_()
    z_NCHW = edge(x_NCHW)
    rows = []
    for channel in range(z_NCHW.shape[1]):
        signs = torch.randint_like(z_NCHW[:, channel], 2) * 2 - 1
        (told,) = torch.autograd.grad((z_NCHW[:, channel] * signs).sum(), x_NCHW, retain_graph=True)
        rows.append(_cosines(told).square().mean(dim=0).flatten())
    return torch.stack(rows).double().numpy()


def picture_precision(x_NCHW: Tensor) -> Array:
    """s_k: the inverse variance of each cosine coefficient, mirror images included."""
    both = torch.cat([x_NCHW, x_NCHW.flip(3)])
    variance: Array = _cosines(both).double().var(dim=0).flatten().clamp_min(1e-9).numpy()
    return 1 / variance


@torch.no_grad()
def answer_harm(cloud: nn.Module, z_NCHW: Tensor, sigma: float) -> Array:
    """h_c: divergence of the answers, in nats for noise of variance 1, measured with ``sigma``."""
    clean_NK = cloud(z_NCHW).log_softmax(dim=1)
    found = []
    for channel in range(z_NCHW.shape[1]):
        noisy_NCHW = z_NCHW.clone()
        noisy_NCHW[:, channel] += sigma * torch.randn_like(z_NCHW[:, channel])
        noisy_NK = cloud(noisy_NCHW).log_softmax(dim=1)
        found.append(functional.kl_div(noisy_NK, clean_NK, reduction="batchmean", log_target=True))
    harm_C: Array = torch.stack(found).double().numpy() / sigma**2
    return np.maximum(harm_C, max(LEAST_SHARE * float(harm_C.max()), 1e-12))


def allocated_sigmas(edge: Edge, cloud: nn.Module, x_NCHW: Tensor, sigma: float) -> Tensor:
    """Deviations of each channel's noise, C, that do the harm of ``sigma`` on every channel and bound most.

    Args:
        edge: Pictures to features, in evaluation mode.
        cloud: Features to answers, likewise.
        x_NCHW: A few hundred normalised pictures.
        sigma: Deviation whose harm is spent.
    """
    with torch.no_grad():
        z_NCHW = edge(x_NCHW)
    harm_C = answer_harm(cloud, z_NCHW, sigma)
    variance_C = allocate(
        channel_information(edge, x_NCHW), picture_precision(x_NCHW), harm_C, sigma**2 * float(harm_C.sum())
    )
    return torch.from_numpy(np.sqrt(variance_C)).float()


def _cosines(x_NCHW: Tensor) -> Tensor:
    return torch.from_numpy(dctn(x_NCHW.detach().numpy(), axes=(2, 3), norm="ortho"))
