"""Uniform quantiser: one step per channel, with zero as one of its levels.

    level = clip(rint(x / step) + zero_level, 0, levels - 1)
    x'    = (level - zero_level) * step

|x - x'| <= step / 2 inside [lowest, highest]; outside the nearer end is sent (saturation).
Zero comes back as exactly zero, which after a ReLU is most of a feature.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

MAX_LEVELS = 256
LEAST_STEP, MOST_STEP = 1e-30, 1e30


def check_steps(steps: NDArray[np.float32]) -> None:
    """Refuse steps that a feature cannot be divided by.

    Raises:
        ValueError: a step outside [1e-30, 1e30].
    """
    # comparisons with NaN are false, so this refuses it too
    if not bool(np.all((steps >= LEAST_STEP) & (steps <= MOST_STEP))):
        raise ValueError(f"steps must lie in [{LEAST_STEP}, {MOST_STEP}]")


@dataclass(frozen=True, eq=False)
class Quantiser:
    """Frozen steps and zero levels.

    Attributes:
        levels: how many, 2 to 256.
        steps: float32, shape (G,): G = channels, or 1 for one step for all.
        zero_levels: int32, shape (G,): the level that means zero.

    Raises:
        ValueError: shapes that differ, a step outside [1e-30, 1e30], a zero level that is none.
    """

    levels: int
    steps: NDArray[np.float32]
    zero_levels: NDArray[np.int32]

    def __post_init__(self) -> None:
        if not 2 <= self.levels <= MAX_LEVELS:
            raise ValueError(f"levels must lie in [2, {MAX_LEVELS}], not {self.levels}")
        if self.steps.shape != self.zero_levels.shape or self.steps.ndim != 1:
            raise ValueError("steps and zero_levels must be lists of the same length")
        check_steps(self.steps)
        if not bool(np.all((self.zero_levels >= 0) & (self.zero_levels < self.levels))):
            raise ValueError(f"zero_levels must lie in [0, {self.levels - 1}]")

    @cached_property
    def lowest(self) -> NDArray[np.float32]:
        """The value of level 0 per channel, float32 (G, 1)."""
        return -self.zero_levels[:, None].astype(np.float32) * self.steps[:, None]

    @cached_property
    def highest(self) -> NDArray[np.float32]:
        """The value of the last level per channel, float32 (G, 1)."""
        return (self.levels - 1 - self.zero_levels[:, None]).astype(np.float32) * self.steps[:, None]

    def quantise(self, features: NDArray[np.float32]) -> NDArray[np.int32]:
        """Levels of some features.

        Args:
            features: finite float32, shape (G, n).

        Returns:
            int32 levels in [0, levels - 1], same shape.
        """
        # clipping first keeps the division from overflowing
        inside = np.maximum(features, self.lowest)
        np.minimum(inside, self.highest, out=inside)
        inside /= self.steps[:, None]
        levels: NDArray[np.int32] = np.rint(inside, out=inside).astype(np.int32)
        levels += self.zero_levels[:, None]
        return levels

    def dequantise(self, levels: NDArray[np.int32]) -> NDArray[np.float32]:
        """Features of some levels, float32, same shape (G, n)."""
        features: NDArray[np.float32] = (levels - self.zero_levels[:, None]).astype(np.float32)
        features *= self.steps[:, None]
        return features
