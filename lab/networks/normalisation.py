"""The two normalisations a network can be built with."""

from collections.abc import Callable

from torch import nn

NORM_GROUPS = 8
"""Ours: the paper only says that DPSGD was run, which batch normalisation does not allow."""

Norm = Callable[[int], nn.Module]
"""Makes a normalisation of so many channels: ``nn.BatchNorm2d`` or ``group_norm``."""


def group_norm(channels: int) -> nn.GroupNorm:
    """Normalise within one picture; as many parameters as batch normalisation."""
    return nn.GroupNorm(NORM_GROUPS, channels)
