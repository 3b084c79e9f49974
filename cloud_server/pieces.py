"""A batch as the graph takes it: tensors apart, and as many frames at once as it can.

features [N, C, H, W] -> tensors of a run -> the graph -> outputs of a run -> outputs of N frames
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.manifest import Manifest
from siftfunnel.shared.tensors import unpack_array

PerFrame = NDArray[np.generic] | list[NDArray[np.generic]]
"""One output of some frames: an array with the frames first, or one array a frame where sizes differ."""

Outputs = tuple[PerFrame, ...]
"""One for each of `Manifest.given`."""

Compute = Callable[[Sequence[NDArray[np.float32]]], Sequence[NDArray[np.generic]]]
"""Runs the graph once: arrays for its inputs to arrays of its outputs, frames first."""


class Pieces:
    """Runs batches of any size through a graph that may take one size only.

    A graph whose outputs have axes that each picture decides gives one frame's at a time: several frames'
    have no common array.

    Args:
        manifest: the bundle's.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._tensors = manifest.sent
        free = any(None in output.shape for output in manifest.given)
        self._fixed = manifest.frames_per_run
        self._step = 1 if free else self._fixed
        self._as_it_is = len(self._tensors) == 1 and self._tensors[0].shape == manifest.feature.shape

    @property
    def whole(self) -> bool:
        """Whether batches run in one piece, and so may be joined to larger ones."""
        return self._step is None

    def run(self, features_NCHW: NDArray[np.float32], compute: Compute) -> Outputs:
        """The outputs of a batch."""
        tensors = (features_NCHW,) if self._as_it_is else unpack_array(features_NCHW, self._tensors)
        frames, step = len(features_NCHW), self._step
        if step is None or frames == step == (self._fixed or step):
            return tuple(compute(tensors))
        runs = [
            self._run_piece([tensor[start : start + step] for tensor in tensors], compute)
            for start in range(0, frames, step)
        ]
        return tuple(_joined(parts) for parts in zip(*runs, strict=True))

    def _run_piece(self, tensors: list[NDArray[np.float32]], compute: Compute) -> list[NDArray[np.generic]]:
        frames = len(tensors[0])
        if self._fixed is not None and frames < self._fixed:
            lacking = self._fixed - frames
            tensors = [np.concatenate([each, each[-1:].repeat(lacking, axis=0)]) for each in tensors]
        return [output[:frames] for output in compute(tensors)]


def _joined(parts: tuple[NDArray[np.generic], ...]) -> PerFrame:
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    return [frame for part in parts for frame in part]
