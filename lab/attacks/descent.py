"""Gradient descent on pictures: each with its own Adam, its own step size and its own best iterate.

Adam acts on single elements and losses are summed over pictures, so pictures of a batch do not influence
each other, unlike under the mean loss over a batch that the paper's attack descends on.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from siftfunnel.lab.attacks.basis import Coordinates
from siftfunnel.lab.attacks.chunks import AttackDivergedError

CURVE_POINTS = 20
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-12

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Pictures to what is minimised and the feature distance within it, both one value per picture."""


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
    coordinates: Coordinates,
    *,
    iterations: int,
    learning_rate_N: Tensor,
    where: str,
) -> Descent:
    """Minimise ``objective`` over pictures in the box [0, 1], from ``start_NCHW``.

    Adam moves coordinates. After every step the pictures are projected into the box, which is exact where a
    sigmoid's gradient would vanish. The step size falls along a cosine to 0.

    Args:
        objective: What to minimise.
        start_NCHW: First iterate.
        coordinates: In which to step.
        iterations: Steps.
        learning_rate_N: First step size of each picture, in coordinates.
        where: Names the place in an error.

    Raises:
        AttackDivergedError: a loss is no longer a number.
    """
    x = start_NCHW.clamp(0, 1).contiguous(memory_format=torch.channels_last)
    c = coordinates.of(x)
    rate = learning_rate_N.view(-1, 1, 1, 1)
    first, second = torch.zeros_like(c), torch.zeros_like(c)
    best = x.clone()
    best_objective = torch.full((len(x),), math.inf, device=x.device)
    best_distance, norm = best_objective.clone(), torch.zeros_like(best_objective)
    points = curve_iterations(iterations)
    curve: list[float] = []
    for step in range(iterations + 1):
        x = x.detach().requires_grad_()
        value, distance = objective(x)
        (by_x,) = torch.autograd.grad(value.sum(), x)
        x, value, distance = x.detach(), value.detach(), distance.detach()
        is_better = value < best_objective
        best_objective = torch.where(is_better, value, best_objective)
        best_distance = torch.where(is_better, distance, best_distance)
        best = torch.where(is_better.view(-1, 1, 1, 1), x, best)
        if step in points:
            require_numbers(value, f"{where}, iteration {step}")
            curve += [float(distance.mean())] * points.count(step)
        if step == 0:
            norm = by_x.flatten(1).norm(dim=1)
        if step == iterations:
            break
        gradient = coordinates.pull_back(by_x)
        first.lerp_(gradient, 1 - BETA_1)
        second.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
        corrected = (second / (1 - BETA_2 ** (step + 1))).sqrt_().add_(EPSILON)
        fall = 0.5 * (1 + math.cos(math.pi * step / iterations)) / (1 - BETA_1 ** (step + 1))
        moved = coordinates.pictures(c - rate * fall * first / corrected)
        x = moved.clamp(0, 1).contiguous(memory_format=torch.channels_last)
        c = coordinates.of(x)
    return Descent(best, best_objective, best_distance, value, norm, curve)
