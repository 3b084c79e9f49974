"""Van Trees by sample splitting: a bound from gradients, for features that leave through Gaussian noise.

    E|x^ - x|^2 >= (Tr C)^2 / ( E Tr(C I(x) C') + Tr(C S C') )        for any fixed matrix C

    I(x) = J' S_n^-1 J      what the noisy feature says of the picture (J: the edge half's Jacobian)
    S                       what the prior says: the inverse of the ruler's Sigma

(Matrix form: Hwang, Li and Maeng, 2026; the splitting is ours.) The best C is the inverse of the sum of both,
which nobody knows. It is estimated from some pictures and *fixed*; the mean in the denominator is then one of
a number per picture, of which other pictures give an upper 95 % limit. Putting one and the same estimate into
both places overstates the bound (Jensen). Rademacher probes w make the number of one backward pass each:
E|C J' S_n^-1/2 w|^2 = Tr(C I C').

C is a full matrix within each of the ruler's two blocks of correlated frequencies and diagonal among all
others: another C might prove more, none proves what is not so.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siftfunnel.lab.certify.distortion import upper_limit
from siftfunnel.lab.certify.ruler import Ruler

SHRINKS = (0.1, 0.4, 0.8, 1.0)
"""Shares of what frequencies have in common that are tried as 0 in the estimate of I."""
_AT_ONCE = 50


@dataclass(frozen=True)
class Sketch:
    """Backward passes of some pictures: J' S_n^-1/2 w.

    Attributes:
        blocks: In the frequencies of each of the ruler's blocks, N x K x m; last those of all others.
        squares_N: Tr I(x) of each picture, over all pixels.
    """

    blocks: tuple[NDArray[np.float32], ...]
    squares_N: NDArray[np.float64]

    def take(self, part: slice) -> "Sketch":
        """That of some of the pictures."""
        return Sketch(tuple(block[part] for block in self.blocks), self.squares_N[part])


def sketch(
    features: Callable[[Tensor], Tensor],
    deviations_CHW: Tensor,
    ruler: Ruler,
    x_NCHW: Tensor,
    probes: int,
    generator: torch.Generator,
    show: Callable[[str], None] = lambda text: None,
) -> Sketch:
    """Backward passes through an edge half.

    Args:
        features: Pictures in [0, 1] to clean features; differentiable.
        deviations_CHW: Of the noise on each value of them.
        ruler: The prior.
        x_NCHW: Pictures drawn from it.
        probes: K, for each picture.
        generator: Of the probes.
        show: Takes a line of progress.
    """
    parts: list[Tensor] = []
    for start in range(0, len(x_NCHW), _AT_ONCE):
        x = x_NCHW[start : start + _AT_ONCE].clone().requires_grad_(True)
        z = features(x)
        signs = (torch.randint(0, 2, (probes, *z.shape), generator=generator) * 2.0 - 1) / deviations_CHW
        passes = [torch.autograd.grad(z, x, each, retain_graph=True)[0] for each in signs]
        parts.append(ruler.frequencies(torch.stack(passes, 1).flatten(0, 1)).view(len(x), probes, -1))
        if start % (10 * _AT_ONCE) == 0:
            show(f"van Trees: {start + len(x)}/{len(x_NCHW)} pictures differentiated")
    whole = torch.cat(parts)
    squares_N = whole.double().square().sum(2).mean(1).numpy()
    return Sketch(tuple(whole[:, :, places].numpy() for places in _places(ruler)), squares_N)


def _places(ruler: Ruler) -> list[Tensor]:
    """Frequencies of each block, and of none."""
    places = [block.places_m for block in ruler.blocks]
    is_free = torch.ones(ruler.variances_CHW.size, dtype=torch.bool)
    is_free[torch.cat(places)] = False
    return [*places, is_free.nonzero().flatten()]


def van_trees(
    fitted: Sketch, scored: Sketch, ruler: Ruler, *, frames: int = 1, confidence: float = 0.95
) -> float:
    """The least mean squared error per pixel, at the confidence, of whoever has so many noisy frames.

    Args:
        fitted: Of the pictures that C is estimated from.
        scored: Of others, on which the bound is taken.
        ruler: The prior of both.
        frames: Frames of one picture, each with noise of its own: they multiply I.
        confidence: Of the bound, over the choice of the scored pictures.
    """
    held_back = max(2, len(fitted.squares_N) // 4)
    known, chosen_on = fitted.take(slice(held_back, None)), fitted.take(slice(None, held_back))
    found = {
        shrink: _bound(_matrices(known, ruler, frames, shrink), chosen_on, ruler, frames, None)
        for shrink in SHRINKS
    }
    best = max(found, key=lambda shrink: found[shrink])
    return _bound(_matrices(fitted, ruler, frames, best), scored, ruler, frames, confidence)


def scalar_van_trees(squares_N: NDArray[np.float64], ruler: Ruler, frames: int = 1) -> float:
    """The bound with C = 1, that of "diagonal Fisher information leakage": no splitting is needed for it."""
    spectrum = ruler.spectrum_d
    return float(len(spectrum) / (frames * squares_N.mean() + (1 / spectrum).sum()))


def _matrices(known: Sketch, ruler: Ruler, frames: int, shrink: float) -> list[NDArray[np.float64]]:
    """C of each block, the inverse of the estimated information and the prior's; a diagonal for the rest."""
    rest = known.blocks[-1]
    alone = frames * np.square(rest, dtype=np.float64).mean((0, 1))
    made = [1 / (alone + 1 / ruler.variances_CHW.ravel()[_places(ruler)[-1].numpy()])]
    for passes, block in zip(known.blocks[:-1], ruler.blocks, strict=True):
        flat = passes.reshape(-1, passes.shape[-1])
        information = (flat.T @ flat).astype(np.float64) * (frames / len(flat))
        alone = np.diag(information).copy()
        information *= 1 - shrink
        information[np.diag_indices(len(alone))] += shrink * alone
        made.insert(-1, np.linalg.inv(information + _prior_information(block.axes_mm, block.values_m)))
    return made


def _prior_information(axes_mm: Tensor, values_m: NDArray[np.float64]) -> NDArray[np.float64]:
    axes = axes_mm.double().numpy()
    return np.asarray((axes / values_m) @ axes.T)


def _bound(
    matrices: list[NDArray[np.float64]], scored: Sketch, ruler: Ruler, frames: int, confidence: float | None
) -> float:
    """With an upper limit of the mean, or with the mean itself to choose by."""
    weights, variances = matrices[-1], ruler.variances_CHW.ravel()[_places(ruler)[-1].numpy()]
    numbers_N = frames * np.square(scored.blocks[-1] * weights).sum(2).mean(1)
    prior, trace = float((weights**2 / variances).sum()), float(weights.sum())
    for matrix, passes, block in zip(matrices[:-1], scored.blocks[:-1], ruler.blocks, strict=True):
        moved = passes.reshape(-1, len(matrix)) @ matrix.astype(np.float32).T
        squares = np.square(moved, dtype=np.float64).sum(1).reshape(passes.shape[:2])
        numbers_N += frames * squares.mean(1)
        prior += float((matrix @ _prior_information(block.axes_mm, block.values_m) * matrix).sum())
        trace += float(np.trace(matrix))
    mean = float(numbers_N.mean()) if confidence is None else upper_limit(numbers_N, confidence)
    return trace**2 / (mean + prior) / ruler.variances_CHW.size
