"""What a cut network makes of pictures: tensors between the halves, and the uncut network's outputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.onnx_runner import Runner, frames_at_once
from siftfunnel.lab.split.halves import Halves
from siftfunnel.lab.split.likeness import Likeness
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.preprocess import normalise

MAX_VALUES = 2**28
"""Held of features at once: 1 GiB."""
Say = Callable[[str], None]
Arrays = tuple[NDArray[Any], ...]


class Ends:
    """Both halves of a cut network, ready to run.

    Attributes:
        halves: The graphs, without a funnel.
    """

    def __init__(self, halves: Halves) -> None:
        self.halves = halves
        self._edge = Runner(halves.edge, halves.frames_per_run)
        self._cloud = Runner(halves.cloud, halves.frames_per_run)
        self._sent = [tensor.name for tensor in halves.tensors]
        self._order = [self._sent.index(end.name) for end in self._cloud.inputs]
        self._given = [output.name for output in halves.outputs]

    def edge(self, pixels_NHWC: NDArray[np.uint8], spec: InputSpec) -> Arrays:
        """Tensors between the halves, in their order."""
        step = self.halves.frames_per_run or frames_at_once([pixels_NHWC])
        parts = [
            self.edge_of(normalise(pixels_NHWC[start : start + step], spec))
            for start in range(0, len(pixels_NHWC), step)
        ]
        return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))

    def edge_of(self, frames: NDArray[Any]) -> Arrays:
        """Tensors between the halves of frames as the graph takes them."""
        return self._edge(frames, names=self._sent)

    def cloud(self, tensors: Sequence[NDArray[np.float32]]) -> Arrays:
        """Outputs, in their order."""
        return self._cloud(*(tensors[position] for position in self._order), names=self._given)

    @property
    def most_pictures(self) -> int:
        """Of which features are held at once."""
        return max(MAX_VALUES // sum(tensor.size for tensor in self.halves.tensors), 1)


@dataclass(frozen=True)
class Seen:
    """Some pictures as the cut network saw them.

    Attributes:
        tensors: Between the halves, frames first.
        outputs: Of the uncut network.
        likeness: Compares with them.
    """

    tensors: Arrays
    outputs: Arrays
    likeness: Likeness

    def __len__(self) -> int:
        return len(self.tensors[0])

    def take(self, pictures: slice, ends: Ends) -> "Seen":
        """Some of the pictures."""
        outputs = tuple(values[pictures] for values in self.outputs)
        tensors = tuple(values[pictures] for values in self.tensors)
        return Seen(tensors, outputs, Likeness(ends.halves.outputs, outputs, self.likeness.image))


def see(ends: Ends, pixels_NHWC: NDArray[np.uint8], spec: InputSpec) -> Seen:
    """Run pictures through both halves."""
    tensors = ends.edge(pixels_NHWC, spec)
    outputs = ends.cloud(tensors)
    return Seen(tensors, outputs, Likeness(ends.halves.outputs, outputs, (spec.height, spec.width)))
