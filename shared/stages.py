"""What a bundle asks the device to do to the feature after the edge half, such as noise.

A stage is part of the defence: a device that does not know one must refuse the bundle,
because leaving it out would send more than the defence allows. The randomness is the operating
system's (`os.urandom`) and never a seeded generator: whoever can predict the noise can subtract it.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.manifest import EdgeStage

Stage = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From features C x H x W or N x C x H x W to features of the same shape."""


class StageError(ValueError):
    """A stage that is unknown here, whose parameters make no sense, or that does not fit the feature."""


def gaussian_noise(parameters: Mapping[str, Any]) -> Stage:
    """Add independent Gaussian noise to every value of the feature.

    Args:
        parameters: `{"sigma": standard deviation, above 0}`.

    Raises:
        StageError: another parameter, or a sigma that is not a finite number above 0.
    """
    sigma: Any = parameters.get("sigma")
    if set(parameters) != {"sigma"} or not _is_number(sigma) or not sigma > 0:
        raise StageError(f"edge stage gaussian-noise needs sigma, a number above 0, not {dict(parameters)}")

    def add_noise(z_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        return z_NCHW + np.float32(sigma) * system_gaussian(z_NCHW.size).reshape(z_NCHW.shape)

    return add_noise


def channel_gaussian_noise(parameters: Mapping[str, Any]) -> Stage:
    """Add independent Gaussian noise whose deviation differs from channel to channel.

    Args:
        parameters: `{"sigmas": [standard deviation of each channel, 0 or above]}`.

    Raises:
        StageError: another parameter, no or other than finite numbers from 0 on; from the stage itself,
            a feature with another number of channels.
    """
    sigmas: Any = parameters.get("sigmas")
    if (
        set(parameters) != {"sigmas"}
        or not isinstance(sigmas, (list, tuple))
        or not sigmas
        or not all(_is_number(sigma) and sigma >= 0 for sigma in sigmas)
    ):
        raise StageError(
            "edge stage channel-gaussian-noise needs sigmas, a list with a number from 0 on for each "
            f"channel, not {dict(parameters)}"
        )
    sigma_C11 = np.array(sigmas, np.float32)[:, None, None]

    def add_noise(z_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        if z_NCHW.shape[-3] != len(sigma_C11):
            raise StageError(
                f"edge stage channel-gaussian-noise has {len(sigma_C11)} sigmas, the feature "
                f"{z_NCHW.shape[-3]} channels"
            )
        return z_NCHW + sigma_C11 * system_gaussian(z_NCHW.size).reshape(z_NCHW.shape)

    return add_noise


def feature_dropout(parameters: Mapping[str, Any]) -> Stage:
    """Set values of the feature to 0, each with the same probability; what stays is not scaled up.

    Args:
        parameters: `{"rate": probability of being dropped, from 0 to 1}`.

    Raises:
        StageError: another parameter, or a rate outside [0, 1].
    """
    rate: Any = parameters.get("rate")
    if set(parameters) != {"rate"} or not _is_number(rate) or not 0 <= rate <= 1:
        raise StageError(
            f"edge stage feature-dropout needs rate, a number from 0 to 1, not {dict(parameters)}"
        )
    threshold = round(rate * 2**32)

    def drop(z_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        bits = np.frombuffer(os.urandom(4 * z_NCHW.size), np.uint32).reshape(z_NCHW.shape)
        return np.where(bits >= threshold, z_NCHW, np.float32(0))

    return drop


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
        "channel-gaussian-noise": channel_gaussian_noise,
        "feature-dropout": feature_dropout,
    }
)
"""Kind in the manifest -> what makes the stage from its parameters."""


def make_stages(stages: Sequence[EdgeStage]) -> tuple[Stage, ...]:
    """The stages of a manifest, in order.

    Raises:
        StageError: a kind that is not known here, or parameters that its stage refuses.
    """
    for stage in stages:
        if stage.kind not in EDGE_STAGES:
            raise StageError(
                f"the bundle asks for the edge stage {stage.kind!r}, which this device does not know "
                f"(known: {', '.join(EDGE_STAGES)}); update siftfunnel: without the stage the feature would "
                "leave unprotected"
            )
    return tuple(EDGE_STAGES[stage.kind](stage.parameters) for stage in stages)
