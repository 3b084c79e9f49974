"""What a bundle asks the device to do to the feature after the edge half, such as noise.

A stage is part of the defence: a device that does not know one must refuse the bundle,
because leaving it out would send more than the defence allows.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_client.errors import ModelError
from shared.bundle import EdgeStage

Stage = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def gaussian_noise(parameters: Mapping[str, Any]) -> Stage:
    """Add independent Gaussian noise to every value of the feature.

    The randomness is the operating system's (`os.urandom`) and never a seeded generator: whoever
    can predict the noise can subtract it.

    Args:
        parameters: `{"sigma": standard deviation, above 0}`.

    Raises:
        ModelError: another parameter, or a sigma that is not a finite number above 0.
    """
    sigma: Any = parameters.get("sigma")
    if set(parameters) != {"sigma"} or not _is_number(sigma) or not sigma > 0:
        raise ModelError(f"edge stage gaussian-noise needs sigma, a number above 0, not {dict(parameters)}")

    def add_noise(features_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        noise = system_gaussian(features_NCHW.size).reshape(features_NCHW.shape)
        return features_NCHW + np.float32(sigma) * noise

    return add_noise


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def system_gaussian(count: int) -> NDArray[np.float32]:
    """Standard normal values from the operating system's randomness, by Box and Muller's transform.

    Args:
        count: how many.

    Returns:
        float32, shape (count,).
    """
    pairs = (count + 1) // 2
    bits = np.frombuffer(os.urandom(16 * pairs), np.uint64).reshape(2, pairs)
    # 53 bits, shifted by half a step so that the logarithm never sees 0
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius, angle = np.sqrt(-2.0 * np.log(uniform[0])), 2.0 * np.pi * uniform[1]
    normal = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    return normal[:count].astype(np.float32)


EDGE_STAGES: Mapping[str, Callable[[Mapping[str, Any]], Stage]] = MappingProxyType(
    {
        "gaussian-noise": gaussian_noise,
    }
)
"""Kind in the manifest -> what makes the stage from its parameters."""


def make_stages(stages: Sequence[EdgeStage]) -> tuple[Stage, ...]:
    """The stages of a manifest, in order.

    Raises:
        ModelError: a kind that this device does not know, or parameters that its stage refuses.
    """
    for stage in stages:
        if stage.kind not in EDGE_STAGES:
            raise ModelError(
                f"the bundle asks for the edge stage {stage.kind!r}, which this device does not know "
                f"(known: {', '.join(EDGE_STAGES)}); update siftfunnel: without the stage the feature would "
                "leave unprotected"
            )
    return tuple(EDGE_STAGES[stage.kind](stage.parameters) for stage in stages)
