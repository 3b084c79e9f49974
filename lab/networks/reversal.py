"""A gradient turned round: one optimiser trains two networks against each other (Ganin et al., 2016)."""

from typing import Any

import torch
from torch import Tensor


class ReversedGradient(torch.autograd.Function):
    """The identity, whose gradient changes its sign and is weighed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        """The input as it is."""
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient, reversed and weighed."""
        return -ctx.weight * gradient, None
