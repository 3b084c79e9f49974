"""Gradient descent on pictures: each with its own Adam, its own step size and its own best iterate.

Adam acts on single elements and losses are summed over pictures, so pictures of a batch do not influence
each other, unlike under the mean loss over a batch that the paper's attack descends on.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lab.attacks.basis import PictureBasis
from lab.attacks.chunks import AttackDivergedError

CURVE_POINTS = 20
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-12

Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Pictures and their coordinates to what is minimised and the feature distance in it, each per picture."""


@dataclass(frozen=True)
class Descent:
    """Where a descent ended.

    Attributes:
        x_NCHW: Each picture's best iterate, in [0, 1].
        objective_N: What was minimised, at the best iterate.
        distance_N: Feature distance at the best iterate.
        last_objective_N: What was minimised, at the last iterate.
        gradient_norm_N: Norm of the first gradient.
        curve: Mean feature distance at ``CURVE_POINTS`` + 1 evenly spaced iterations.
    """

    x_NCHW: Tensor
    objective_N: Tensor
    distance_N: Tensor
    last_objective_N: Tensor
    gradient_norm_N: Tensor
    curve: list[float]

    def better_of(self, other: "Descent") -> "Descent":
        """Each picture from whichever of two descents reached the lower objective."""
        is_other = other.objective_N < self.objective_N

        def chosen(mine: Tensor, others: Tensor) -> Tensor:
            return torch.where(is_other.view(-1, *[1] * (mine.ndim - 1)), others, mine)

        return replace(
            self,
            x_NCHW=chosen(self.x_NCHW, other.x_NCHW),
            objective_N=chosen(self.objective_N, other.objective_N),
            distance_N=chosen(self.distance_N, other.distance_N),
            last_objective_N=chosen(self.last_objective_N, other.last_objective_N),
        )


def total_variation(x_NCHW: Tensor) -> Tensor:
    """Mean length of the brightness gradient per picture; edges cost their height, not its square.

    Example:
        >>> total_variation(torch.zeros(1, 3, 8, 8)).item() < 1e-2
        True
    """
    down = x_NCHW[:, :, 1:, :-1] - x_NCHW[:, :, :-1, :-1]
    right = x_NCHW[:, :, :-1, 1:] - x_NCHW[:, :, :-1, :-1]
    return (down.square() + right.square() + 1e-6).sqrt().mean((1, 2, 3))


def require_numbers(values_N: Tensor, where: str) -> None:
    """Stop when a loss is no longer a number.

    Raises:
        AttackDivergedError: says where and for how many pictures.
    """
    broken = int((~torch.isfinite(values_N)).sum())
    if broken:
        raise AttackDivergedError(
            f"the loss is no longer a number for {broken} of {len(values_N)} pictures in {where}; "
            "lower the learning rate"
        )


def curve_iterations(iterations: int) -> list[int]:
    """The iterations at which a curve is sampled, the last one included."""
    return [round(point * iterations / CURVE_POINTS) for point in range(CURVE_POINTS + 1)]


def descend(
    objective: Objective,
    start_NCHW: Tensor,
    basis: PictureBasis,
    *,
    iterations: int,
    learning_rate_N: Tensor,
    where: str,
) -> Descent:
    """Minimise ``objective`` over pictures in the box [0, 1], from ``start_NCHW``.

    Adam moves coordinates of ``basis``. After every step the pictures are projected into the box, which is
    exact where a sigmoid's gradient would vanish. The step size falls along a cosine to 0.

    Args:
        objective: What to minimise.
        start_NCHW: First iterate.
        basis: Coordinates in which to step.
        iterations: Steps.
        learning_rate_N: First step size of each picture, in coordinates.
        where: Names the place in an error.

    Raises:
        AttackDivergedError: a loss is no longer a number.
    """
    x = start_NCHW.clamp(0, 1)
    c = basis.coordinates(x)
    rate = learning_rate_N.view(-1, 1, 1, 1)
    first, second = torch.zeros_like(c), torch.zeros_like(c)
    best = x.clone()
    best_objective = torch.full((len(x),), math.inf, device=x.device)
    best_distance, norm = best_objective.clone(), torch.zeros_like(best_objective)
    points = curve_iterations(iterations)
    curve: list[float] = []
    for step in range(iterations + 1):
        value, distance, gradient = _value_and_gradient(objective, basis, c, x)
        is_better = value < best_objective
        best_objective = torch.where(is_better, value, best_objective)
        best_distance = torch.where(is_better, distance, best_distance)
        best = torch.where(is_better.view(-1, 1, 1, 1), x, best)
        if step in points:
            require_numbers(value, f"{where}, iteration {step}")
            curve += [float(distance.mean())] * points.count(step)
        if step == iterations:
            break
        if step == 0:
            norm = gradient.flatten(1).norm(dim=1)
        first.lerp_(gradient, 1 - BETA_1)
        second.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
        corrected = (second / (1 - BETA_2 ** (step + 1))).sqrt_().add_(EPSILON)
        fall = 0.5 * (1 + math.cos(math.pi * step / iterations)) / (1 - BETA_1 ** (step + 1))
        x = basis.pictures(c - rate * fall * first / corrected).clamp(0, 1)
        c = basis.coordinates(x)
    return Descent(best, best_objective, best_distance, value, norm, curve)


def _value_and_gradient(
    objective: Objective, basis: PictureBasis, c_NCHW: Tensor, x_NCHW: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Objective, distance and gradient in coordinates.

    ``x_NCHW`` are the pictures of ``c_NCHW``; the chain rule through the linear basis is written out, so that
    they need not be computed twice and stay exactly in the box.
    """
    x = x_NCHW.contiguous(memory_format=torch.channels_last).requires_grad_()
    c = c_NCHW.detach().requires_grad_()
    value, distance = objective(x, c)
    by_x, by_c = torch.autograd.grad(value.sum(), (x, c), allow_unused=True)
    gradient = basis.pull_back(by_x)
    x_NCHW.requires_grad_(False)
    return value.detach(), distance.detach(), gradient if by_c is None else gradient + by_c
