"""The three risks by which European authorities judge anonymity, each beside a control attacker.

| risk | asked here | who controls |
| --- | --- | --- |
| singling out | which of the pictures was sent? | picks at random among those with the same answer |
| linkability | which other picture shows the same? | likewise |
| inference | is it bright, warm, light above, busy? | what is usual among own pictures with that answer |

The criteria are those of WP29 opinion 05/2014 (WP 216) on anonymisation, to which EDPB opinion 28/2024 on AI
models comes back; measuring each as an excess over a control is Giomi et al.'s (PETS 2023). The control
attacker knows what the service may know anyway, the network's answer; what the attack gets beyond it is due
to the feature:

    excess = (attack - control) / (1 - control)

An interval is that of the paired difference over pictures, the control's mean taken as known.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siftfunnel.lab.metrics.identity import Judge
from siftfunnel.lab.metrics.intervals import paired_difference
from siftfunnel.lab.metrics.retrieval import retrieval_credit

Attribute = Callable[[Tensor], Tensor]
GREY = (0.299, 0.587, 0.114)
LEAST_ROOM = 1e-6
"""Where the control is always right, nothing is left to exceed it by."""


def brightness(x_NCHW: Tensor) -> Tensor:
    """Mean luminance of each picture."""
    return torch.einsum("nchw,c->n", x_NCHW, torch.tensor(GREY)) / (x_NCHW.shape[2] * x_NCHW.shape[3])


def warmth(x_NCHW: Tensor) -> Tensor:
    """How much more red than blue each picture is."""
    return (x_NCHW[:, 0] - x_NCHW[:, 2]).mean((1, 2))


def lightness_above(x_NCHW: Tensor) -> Tensor:
    """How much lighter each picture is above than below."""
    half = x_NCHW.shape[2] // 2
    return brightness(x_NCHW[:, :, :half]) - brightness(x_NCHW[:, :, half:])


def busyness(x_NCHW: Tensor) -> Tensor:
    """How much neighbouring pixels differ."""
    return (x_NCHW[:, :, 1:] - x_NCHW[:, :, :-1]).abs().mean((1, 2, 3))


ATTRIBUTES: dict[str, Attribute] = {
    "bright": brightness,
    "warm": warmth,
    "light above": lightness_above,
    "busy": busyness,
}
"""What is inferred of a picture: true of half of the attacker's own, and no network was asked for it."""


def another_view(x_NCHW: Tensor) -> Tensor:
    """What might be another photograph of the same: mirrored, moved by a sixteenth, flatter and lighter."""
    moved = x_NCHW.flip(3).roll((x_NCHW.shape[2] // 16, x_NCHW.shape[3] // 16), (2, 3))
    return (0.8 * (moved - 0.5) + 0.55).clamp(0, 1)


def risk_figures(
    x_NCHW: Tensor,
    restored_NCHW: Tensor,
    own_NCHW: Tensor,
    judge: Judge,
    *,
    answers_N: NDArray[np.int64] | None = None,
    own_answers_N: NDArray[np.int64] | None = None,
    people_N: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Every risk with attack, control and excess.

    Args:
        x_NCHW: The pictures that were sent, in [0, 1].
        restored_NCHW: What an attack made of their features.
        own_NCHW: The attacker's own.
        judge: Tells pictures apart.
        answers_N: The network's answers to what was sent; None where there are none, and the control guesses.
        own_answers_N: Likewise to the attacker's own.
        people_N: Who is in what was sent, where that is known: another picture of the same person is then
            linked, instead of another view of the same picture.
    """
    answers_N = np.zeros(len(x_NCHW), np.int64) if answers_N is None else answers_N
    own_answers_N = np.zeros(len(own_NCHW), np.int64) if own_answers_N is None else own_answers_N
    by_attribute = _inference(x_NCHW, restored_NCHW, own_NCHW, answers_N, own_answers_N)
    pooled = [np.mean([pair[side] for pair in by_attribute.values()], axis=0) for side in (0, 1)]
    return {
        "singling_out": excess(_found(x_NCHW, restored_NCHW, judge), _among_alike(answers_N)),
        "linkability": excess(*_linked(x_NCHW, restored_NCHW, judge, answers_N, people_N)),
        "inference": excess(pooled[0], pooled[1]),
        "inference_by_attribute": {name: excess(*pair) for name, pair in by_attribute.items()},
    }


def excess(attack_N: NDArray[np.float64], control_N: NDArray[np.float64]) -> dict[str, Any]:
    """Success of both, and what the attack has beyond the control in shares of what the control leaves.

    Example:
        >>> found = excess(np.array([1.0, 1.0, 1.0, 0.0]), np.array([0.5, 0.5, 0.5, 0.5]))
        >>> found["attack"], found["control"], found["excess"]
        (0.75, 0.5, 0.5)
    """
    apart = paired_difference(attack_N, control_N)
    room = 1 - float(control_N.mean())
    scale = 1 / room if room > LEAST_ROOM else 0.0
    return {
        "attack": float(attack_N.mean()),
        "control": float(control_N.mean()),
        "excess": apart["mean"] * scale,
        "ci95": [end * scale for end in apart["ci95"]],
        "pictures": len(attack_N),
    }


def _found(gallery_NCHW: Tensor, restored_NCHW: Tensor, judge: Judge) -> NDArray[np.float64]:
    """Whether each restored picture finds its own, by pixels or the judge, whichever does so more often."""
    by_pixels = retrieval_credit(restored_NCHW, gallery_NCHW).numpy()
    by_judge = judge.credit(gallery_NCHW, restored_NCHW).numpy()
    best: NDArray[np.float64] = max((by_pixels, by_judge), key=lambda credit_N: float(credit_N.mean()))
    return best


def _among_alike(answers_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often somebody is right who picks among the pictures with the same answer."""
    same = np.bincount(answers_N, minlength=int(answers_N.max()) + 1)
    return 1 / same[answers_N].astype(np.float64)


def _linked(
    x_NCHW: Tensor,
    restored_NCHW: Tensor,
    judge: Judge,
    answers_N: NDArray[np.int64],
    people_N: NDArray[np.int64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Success of attack and control at linking, for each picture that has something to be linked to."""
    if people_N is None or len(np.unique(people_N)) == len(people_N):
        return _found(another_view(x_NCHW), restored_NCHW, judge), _among_alike(answers_N)
    same_NN = people_N[:, None] == people_N[None]
    np.fill_diagonal(same_NN, False)
    has_other = same_NN.any(1)
    likeness = judge.likeness(restored_NCHW, x_NCHW).numpy().copy()
    np.fill_diagonal(likeness, -np.inf)
    attack_N = same_NN[np.arange(len(likeness)), likeness.argmax(1)].astype(np.float64)
    alike_NN = (answers_N[:, None] == answers_N[None]) & ~np.eye(len(answers_N), dtype=bool)
    usual = same_NN.sum(1) / (len(answers_N) - 1)
    shared = (same_NN & alike_NN).sum(1) / np.maximum(alike_NN.sum(1), 1)
    control_N = np.where(alike_NN.any(1), shared, usual)
    return attack_N[has_other], control_N[has_other]


def _inference(
    x_NCHW: Tensor,
    restored_NCHW: Tensor,
    own_NCHW: Tensor,
    answers_N: NDArray[np.int64],
    own_answers_N: NDArray[np.int64],
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Success of attack and control at each attribute.

    The attack splits its restored pictures at their own median, since it knows that half of pictures have
    each attribute; what blurring does to all of them alike is no obstacle then.
    """
    found = {}
    for name, measure in ATTRIBUTES.items():
        own, made = measure(own_NCHW).numpy(), measure(restored_NCHW).numpy()
        middle = np.median(own)
        truth_N = measure(x_NCHW).numpy() > middle
        share = {
            answer: float((own[own_answers_N == answer] > middle).mean())
            for answer in np.unique(own_answers_N)
        }
        usual_N = np.array([share.get(answer, 0.5) > 0.5 for answer in answers_N])
        guess_N = made > np.median(made)
        found[name] = ((guess_N == truth_N).astype(float), (usual_N == truth_N).astype(float))
    return found
