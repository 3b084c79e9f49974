"""Batches through a graph that takes one size only: in pieces, the last one filled up."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

PerFrame = NDArray[Any] | list[NDArray[Any]]
"""Something of some frames: an array with the frames first, or one array a frame where sizes differ."""

Compute = Callable[[Sequence[NDArray[Any]]], Sequence[NDArray[Any]]]
"""Runs a graph once: arrays for its inputs to arrays of its outputs, frames first."""


def in_pieces(
    arrays: Sequence[NDArray[Any]], compute: Compute, fixed: int | None, alone: bool = False
) -> tuple[PerFrame, ...]:
    """The outputs of a batch of any size.

    Args:
        arrays: for the graph's inputs, frames first; at least one frame.
        compute: runs it.
        fixed: frames that it takes at once; None for any number.
        alone: whether each frame runs by itself, because outputs of several have no common shape.

    >>> double = lambda arrays: [arrays[0] * 2] if len(arrays[0]) == 2 else []
    >>> in_pieces([np.arange(3)], double, fixed=2)
    (array([0, 2, 4]),)
    """
    frames = len(arrays[0])
    step = 1 if alone else fixed or frames
    if frames == step == (fixed or step):
        return tuple(compute(arrays))
    runs = [
        _piece([array[start : start + step] for array in arrays], compute, fixed)
        for start in range(0, frames, step)
    ]
    return tuple(_joined(parts) for parts in zip(*runs, strict=True))


def _piece(arrays: list[NDArray[Any]], compute: Compute, fixed: int | None) -> list[NDArray[Any]]:
    frames = len(arrays[0])
    if fixed is not None and frames < fixed:
        arrays = [np.concatenate([each, each[-1:].repeat(fixed - frames, axis=0)]) for each in arrays]
    return [output[:frames] for output in compute(arrays)]


def _joined(parts: tuple[NDArray[Any], ...]) -> PerFrame:
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    return [frame for part in parts for frame in part]
