"""Fitting the funnel in closed form: what matters, which patches, which step for each target.

pictures -> edge half -> tensors -+-> importance M -+-> a funnel for each side of patches -> the best one
                                  +-> covariance   -+
funnel, targets -> a step for each -> channels that are always zero dropped -> codecs
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.split.features import Arrays
from siftfunnel.lab.split.fit_steps import Fitting, Made
from siftfunnel.lab.split.linear import TensorFunnel, fit_tensor, maps_spec, possible_sides, unit_of
from siftfunnel.lab.split.sensitivity import Importance, importance
from siftfunnel.shared.tensors import TensorSpec

IMPORTANCE_PICTURES = 240
SCORING_PICTURES = 96
NOMINAL_BITS_PER_VALUE = 0.4
"""Of a tensor, where sides of patches are compared and no byte target is given."""
OVERHEAD_BYTES = 8
"""Of a payload beside what the levels need: its seal, and the last word of the entropy coder."""
COUNT_OF_UNSEEN = 0.05
FINEST, COARSEST = 1e-3, 1e3


@dataclass(frozen=True)
class Funnel:
    """The funnels of a cut's tensors, in their order.

    Attributes:
        parts: One for each tensor.
        importance: How M was found, in words.
    """

    parts: tuple[TensorFunnel, ...]
    importance: str = ""

    def encode(self, tensors: Sequence[NDArray[np.float32]]) -> Arrays:
        """Tensors -> z."""
        return tuple(part.encode(values) for part, values in zip(self.parts, tensors, strict=True))

    def decode(self, z: Sequence[NDArray[np.float32]]) -> Arrays:
        """The inverse of `encode`."""
        return tuple(part.decode(values) for part, values in zip(self.parts, z, strict=True))

    @property
    def unit(self) -> float:
        """What steps are told in."""
        return unit_of(self.parts)

    @property
    def macs(self) -> int:
        """Multiply-adds on the device for a picture."""
        return sum(part.macs for part in self.parts)

    def within(self, macs: float) -> "Funnel":
        """With the channels of the largest variances that so many multiply-adds allow.

        Raises:
            ValueError: not even one channel of each tensor fits.
        """
        ranked = sorted(
            ((float(v), n, k) for n, part in enumerate(self.parts) for k, v in enumerate(part.variances_K)),
            reverse=True,
        )
        kept = [np.zeros(part.channels, dtype=bool) for part in self.parts]
        left = macs
        for _, number, channel in ranked:
            left -= self.parts[number].macs / self.parts[number].channels
            if left < 0:
                break
            kept[number][channel] = True
        if not all(channels.any() for channels in kept):
            raise ValueError(
                f"a funnel of {macs:,.0f} multiply-adds has no channel: allow more, or cut earlier"
            )
        parts = [part.keep(channels) for part, channels in zip(self.parts, kept, strict=True)]
        return Funnel(tuple(parts), self.importance)

    def without_unused(self, z: Sequence[NDArray[np.float32]], finest_step: float) -> "Funnel":
        """Without the channels that are zero in every frame at the finest step."""
        kept = [part.keep(used_channels(v, finest_step)) for part, v in zip(self.parts, z, strict=True)]
        return Funnel(tuple(kept), self.importance)


def levels_of(z: NDArray[np.float32], step: float) -> NDArray[np.int32]:
    """Whole numbers of steps."""
    return np.asarray(np.rint(z / step), np.int32)


def estimated_bits(fitted: NDArray[np.float32], told: NDArray[np.float32], step: float) -> float:
    """Mean bits per frame that static tables of each channel, counted on some frames, need for others.

    Args:
        fitted: z of the frames that are counted, N x K x h x w.
        told: z of the frames that are told.
        step: Of all channels.
    """
    known, values = levels_of(fitted, step), levels_of(told, step)
    total = 0.0
    for channel in np.flatnonzero(np.abs(known).max(axis=(0, 2, 3))):
        seen, column = known[:, channel].ravel(), values[:, channel].ravel()
        least = int(seen.min())
        counts = np.bincount(seen - least) + COUNT_OF_UNSEEN
        lengths = np.log2(counts.sum()) - np.log2(counts)
        total += float(lengths[np.clip(column - least, 0, len(counts) - 1)].sum())
    return total / len(told)


def estimated_bytes(
    fitted: Sequence[NDArray[np.float32]], told: Sequence[NDArray[np.float32]], step: float
) -> float:
    """Mean bytes of a frame of one or several tensors; see `estimated_bits`."""
    bits = sum(estimated_bits(a, b, step) for a, b in zip(fitted, told, strict=True))
    return OVERHEAD_BYTES + bits / 8


def used_channels(z: NDArray[np.float32], step: float) -> NDArray[np.bool_]:
    """Channels that are not zero in every frame at a step."""
    return np.asarray(np.abs(z).max(axis=(0, 2, 3)) > step / 2)


def step_for(
    falls: Callable[[float], float],
    target: float,
    unit: float,
    *,
    tolerance: float = 0.005,
    start: float = 1.0,
) -> float:
    """The step at which something that falls as steps grow meets its target.

    Args:
        falls: Of a step.
        target: Its value.
        unit: Of steps: the search stays within `FINEST` to `COARSEST` of it.
        tolerance: Relative, of the value.
        start: Where to begin, in units.

    Raises:
        ValueError: even the finest or the coarsest step misses it.
    """
    low, high = math.log(FINEST * unit), math.log(COARSEST * unit)
    place, widen = math.log(start * unit), 0.7
    known_low, known_high = low, high
    for _ in range(40):
        value = falls(math.exp(place))
        if abs(value - target) <= tolerance * target:
            return math.exp(place)
        if value > target:
            known_low = place
            place = min(place + widen, high) if known_high == high else (known_low + known_high) / 2
        else:
            known_high = place
            place = max(place - widen, low) if known_low == low else (known_low + known_high) / 2
        if known_high - known_low < 1e-4:
            break
    value = falls(math.exp(place))
    if abs(value - target) > 0.1 * target:
        raise ValueError(f"no step gives {target:,.0f} bytes: the nearest that can be had is {value:,.0f}")
    return math.exp(place)


def quantised(z: Sequence[NDArray[np.float32]], step: float) -> Arrays:
    """What arrives of z."""
    return tuple(levels_of(values, step).astype(np.float32) * np.float32(step) for values in z)


def fit_funnel(by: Fitting, target_bytes: float | None) -> Funnel:
    """The funnel of a cut, with all its channels.

    Args:
        by: The cut network, its pictures and where steps are kept.
        target_bytes: Of a frame; None compares sides of patches at a nominal rate.
    """
    tensors = by.ends.halves.tensors
    sides = [possible_sides(maps_spec(tensor)) for tensor in tensors]
    found = _importance(by, sides)
    values = [tensor.size for tensor in tensors]
    budget = target_bytes or sum(values) * NOMINAL_BITS_PER_VALUE / 8
    parts: list[TensorFunnel] = []
    for position, tensor in enumerate(tensors):
        share = budget * values[position] / sum(values)

        def part(side: int, position: int = position, tensor: TensorSpec = tensor) -> TensorFunnel:
            return fit_tensor(by.fitted.tensors[position], tensor, side, found.matrices[position][side])

        def best(position: int = position, share: float = share, part: Any = part) -> dict[str, Any]:
            candidates = [part(side) for side in sides[position]]
            return {"side": _best(candidates, position, by, share).side}

        parts.append(part(by.keep.values(f"patches-{position}", best)["side"]))
    return Funnel(tuple(parts), found.how)


def _importance(by: Fitting, sides: Sequence[Sequence[int]]) -> Importance:
    def make() -> Made:
        few = by.fitted.take(slice(0, IMPORTANCE_PICTURES), by.ends)
        by.say(f"what the outputs ask of {len(sides)} tensor(s), by {len(few)} pictures")
        found = importance(by.ends, few, sides)
        named = {
            f"{position}.{side}": matrix
            for position, matrices in enumerate(found.matrices)
            for side, matrix in matrices.items()
        }
        return named, {"how": found.how}

    named, details = by.keep.tensors("importance", make)
    matrices = tuple({side: named[f"{n}.{side}"] for side in chosen} for n, chosen in enumerate(sides))
    return Importance(matrices, details["how"])


def _best(
    candidates: Sequence[TensorFunnel], position: int, by: Fitting, target_bytes: float
) -> TensorFunnel:
    """The funnel whose patches diverge least at equal bytes on held-out pictures, all else untouched."""
    if len(candidates) == 1:
        return candidates[0]
    some = by.held_out.take(slice(0, SCORING_PICTURES), by.ends)
    scores = []
    for part in candidates:
        known, z = part.encode(by.fitted.tensors[position]), part.encode(some.tensors[position])

        def size(step: float, known: Any = known, z: Any = z) -> float:
            return estimated_bytes([known], [z], step)

        step = step_for(size, max(target_bytes, 12), unit_of([part]), tolerance=0.03)
        tensors = list(some.tensors)
        tensors[position] = part.decode(quantised([z], step)[0])
        divergence = float(some.likeness.divergence_N(by.ends.cloud(tensors)).mean())
        by.say(f"{part.tensor.name}: patches of {part.side}x{part.side} diverge by {divergence:.4f}")
        scores.append(divergence)
    return candidates[int(np.argmin(scores))]
