"""A tiny victim and structured pictures that an inverter learns in seconds."""

import torch
from torch import Tensor, nn

from siftfunnel.lab.attacks.victim import Stage, Victim

SIDE = 32
MEAN, STD = (0.5, 0.45, 0.4), (0.25, 0.25, 0.25)


def shapes(count: int, seed: int = 0) -> Tensor:
    """``uint8`` pictures N x 32 x 32 x 3: a bright warm rectangle on a dark blue slope.

    Such a set does not look the same inverted or with its colours swapped: an attacker without queries has no
    other hold on which is which.
    """
    generator = torch.Generator().manual_seed(seed)
    ground, colour = (torch.rand(count, 1, 1, 3, generator=generator) for _ in range(2))
    ground = ground * torch.tensor([0.1, 0.2, 0.6])
    colour = (0.4 + 0.6 * colour) * torch.tensor([1.0, 0.8, 0.5])
    steepness = torch.rand(count, 1, 1, 1, generator=generator)
    slope = steepness * torch.linspace(0, 0.3, SIDE).view(1, -1, 1, 1)
    low = torch.rand(count, 2, 1, generator=generator) * 0.5
    high = 0.6 + 0.4 * torch.rand(count, 2, 1, generator=generator)
    place = torch.linspace(0, 1, SIDE)
    inside = (place > low) & (place < high)
    box = (inside[:, 0, :, None] & inside[:, 1, None, :])[..., None]
    return (torch.where(box, colour, ground + slope).clamp(0, 1) * 255).to(torch.uint8)


def tiny_edge(width: int = 8, seed: int = 0) -> nn.Sequential:
    """The unprotected CNN's two blocks, untrained: width 8 sends 16 x 8 x 8."""
    torch.manual_seed(seed)
    edge = nn.Sequential(
        *(
            layer
            for narrow, wide in ((3, width), (width, 2 * width))
            for layer in (
                nn.Conv2d(narrow, wide, kernel_size=3, padding=1),
                nn.BatchNorm2d(wide),
                nn.MaxPool2d(2),
                nn.ReLU(),
            )
        )
    )
    return edge.eval().requires_grad_(False)


def tiny_victim(stage: Stage | None = None, seed: int = 0) -> Victim:
    """An unprotected victim, or one with a stochastic stage."""
    return Victim(
        edge=tiny_edge(seed=seed),
        stage=stage or nn.Identity(),
        mean=MEAN,
        std=STD,
        image_shape=(3, SIDE, SIDE),
        feature_shape=(16, SIDE // 4, SIDE // 4),
        device=torch.device("cpu"),
        stochastic=stage is not None,
    )


def victim_of_shape(feature: tuple[int, int, int], side: int) -> Victim:
    """A victim of which only the shapes matter."""
    return Victim(
        edge=nn.Identity(),
        stage=nn.Identity(),
        mean=MEAN,
        std=STD,
        image_shape=(3, side, side),
        feature_shape=feature,
        device=torch.device("cpu"),
    )


def mean_error(a_NCHW: Tensor, b_NCHW: Tensor) -> float:
    """Mean squared error over everything."""
    return float((a_NCHW - b_NCHW).square().mean())
