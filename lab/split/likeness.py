"""How like the uncut network's outputs others are: a divergence to minimise, and an agreement to report.

scores       Kullback-Leibler divergence; the share of pictures whose best class is the same
embedding    1 - cosine; the mean cosine
tensor       squared error over the variance; 1 - relative error, or, where a detector's boxes can be told
             (see `siftfunnel.shared.boxes`), the F1 of boxes against the uncut network's
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siftfunnel.shared.boxes import find_boxes, overlap
from siftfunnel.shared.tensors import OutputSpec

LEAST_PROBABILITY = 1e-12
MEASURES = {
    "logits": "same best class",
    "probabilities": "same best class",
    "embedding": "cosine",
    "tensor": "1 - relative error",
}
"""What the agreement of each kind of output is."""
BOXES = "F1 of boxes, IoU 0.5 and same class"
LEAST_OVERLAP = 0.5
Boxes = dict[str, list[dict[str, Any]]]
"""Of one picture, by the output's name."""


def judged(outputs: Sequence[OutputSpec]) -> list[int]:
    """Which outputs are looked at: the scores where there are some, else every output of floats.

    Raises:
        ValueError: none of them is of floats.
    """
    scores = [position for position, output in enumerate(outputs) if output.is_scores]
    floats = [position for position, output in enumerate(outputs) if output.dtype.startswith("float")]
    if not scores and not floats:
        raise ValueError("no output of floats: without one there is nothing to fit a funnel to")
    return scores or floats


def log_scores(values_NK: Tensor, output: OutputSpec, temperature: float = 1.0) -> Tensor:
    """Logarithms of the classes' probabilities."""
    if output.kind == "probabilities":
        values_NK = values_NK.clamp_min(LEAST_PROBABILITY).log()
    return (values_NK / temperature).log_softmax(1)


def scales_of(values: NDArray[Any]) -> NDArray[np.float32]:
    """A standard deviation for each channel (the first axis behind the frames), that broadcasts."""
    axes = tuple(axis for axis in range(values.ndim) if axis != 1 or values.ndim == 1)
    deviation = values.astype(np.float64).std(axis=axes, keepdims=True)
    floor = max(float(deviation.max()) * 1e-3, 1e-12)
    return np.asarray(np.maximum(deviation, floor), np.float32)


def comparable(values: Tensor, output: OutputSpec, scales: Tensor) -> Tensor:
    """An output as a vector whose squared distances mean something: N x K."""
    if output.is_scores:
        return log_scores(values, output)
    if output.kind == "embedding":
        return torch.nn.functional.normalize(values.flatten(1), dim=1)
    return (values / scales).flatten(1)


class Likeness:
    """Compares outputs with those of the uncut network for the same pictures.

    Args:
        outputs: All outputs of the network.
        expected: Their values, frames first.
        image: Height and width of the network's input, for boxes.
    """

    def __init__(
        self, outputs: Sequence[OutputSpec], expected: Sequence[NDArray[Any]], image: tuple[int, int]
    ) -> None:
        self.positions = judged(outputs)
        self._all, self._given, self.image = outputs, expected, image
        self._outputs = [outputs[position] for position in self.positions]
        self._expected = [np.asarray(expected[p], np.float32) for p in self.positions]
        self.scales = [scales_of(values) for values in self._expected]

    @property
    def measure(self) -> str:
        """What `agreement` is, in words."""
        if self._boxes is not None:
            return BOXES
        return ", ".join(dict.fromkeys(MEASURES[output.kind] for output in self._outputs))

    @property
    def is_share(self) -> bool:
        """Whether agreement is a share of pictures, so that an interval of a share goes with it."""
        return self._outputs[0].is_scores

    @cached_property
    def _boxes(self) -> list[Boxes] | None:
        """Of each picture, where the uncut network gives boxes and no classes."""
        if self.is_share:
            return None
        found = _boxes(self._all, self._given, self.image)
        return found if found and found[0] else None

    def agreement_N(self, values: Sequence[NDArray[Any]], pictures: slice = slice(None)) -> NDArray[Any]:
        """Agreement of each picture, 0 to 1; the mean over outputs where several are looked at."""
        if self._boxes is not None:
            pairs = zip(_boxes(self._all, values, self.image), self._boxes[pictures], strict=True)
            return np.array([_f1(found, wanted) for found, wanted in pairs])
        rows = [
            _agreement(np.asarray(values[p], np.float32), expected[pictures], output)
            for p, expected, output in zip(self.positions, self._expected, self._outputs, strict=True)
        ]
        return np.mean(rows, axis=0)  # type: ignore[no-any-return]

    def of_a_constant(self) -> float:
        """Agreement of an answer that never changes: the commonest class, the mean output, or no box at all.

        What a funnel agrees beyond this it owes to the picture.
        """
        if self._boxes is not None:
            means = [np.mean(values, axis=0, keepdims=True).astype(values.dtype) for values in self._given]
            none: Boxes = {name: [] for name in self._boxes[0]}
            answers = (*_boxes(self._all, means, self.image), none)
            return max(float(np.mean([_f1(each, wanted) for wanted in self._boxes])) for each in answers)
        return float(np.mean([_constant(*pair) for pair in zip(self._expected, self._outputs, strict=True)]))

    def divergence_N(self, values: Sequence[NDArray[Any]], pictures: slice = slice(None)) -> NDArray[Any]:
        """Divergence of each picture, 0 where nothing differs."""
        total = np.zeros(len(self._expected[0][pictures]))
        for p, expected, output, scales in zip(
            self.positions, self._expected, self._outputs, self.scales, strict=True
        ):
            found, wanted = (
                comparable(torch.from_numpy(np.asarray(v, np.float32)), output, torch.from_numpy(scales))
                for v in (values[p], expected[pictures])
            )
            if output.is_scores:
                total += (wanted.exp() * (wanted - found)).sum(1).double().numpy()
            else:
                total += (wanted - found).square().mean(1).double().numpy()
        return total


def _boxes(
    outputs: Sequence[OutputSpec], values: Sequence[NDArray[Any]], image: tuple[int, int]
) -> list[Boxes]:
    names = [output.name for output in outputs]
    return [
        find_boxes(dict(zip(names, picture, strict=True)), image) for picture in zip(*values, strict=True)
    ]


def _f1(found: Boxes, wanted: Boxes) -> float:
    """Of all boxes of a picture; each is met once, by the best first. None on either side is agreement."""
    boxes = sum(len(side) for given in (found, wanted) for side in given.values())
    met = sum(_met(found[name], wanted[name]) for name in found.keys() & wanted.keys())
    return 2 * met / boxes if boxes else 1.0


def _met(found: Sequence[dict[str, Any]], wanted: Sequence[dict[str, Any]]) -> int:
    left = list(wanted)
    for box in found:
        overlaps = [
            overlap(np.array(box["at"]), np.array(other["at"])) if box["kind"] == other["kind"] else 0.0
            for other in left
        ]
        if overlaps and max(overlaps) >= LEAST_OVERLAP:
            left.pop(int(np.argmax(overlaps)))
    return len(wanted) - len(left)


def _constant(expected: NDArray[Any], output: OutputSpec) -> float:
    if output.is_scores:
        return float(np.bincount(expected.argmax(1)).max() / len(expected))
    mean = np.broadcast_to(expected.mean(0), expected.shape)
    return float(_agreement(mean, expected, output).mean())


def _agreement(found: NDArray[Any], expected: NDArray[Any], output: OutputSpec) -> NDArray[np.float64]:
    if output.is_scores:
        same: NDArray[np.float64] = (found.argmax(1) == expected.argmax(1)).astype(np.float64)
        return same
    a = found.reshape(len(found), -1).astype(np.float64)
    b = expected.reshape(len(expected), -1).astype(np.float64)
    lengths = np.linalg.norm(b, axis=1) + 1e-12
    if output.kind == "embedding":
        cosine = (a * b).sum(1) / (lengths * (np.linalg.norm(a, axis=1) + 1e-12))
        return np.asarray(np.maximum(0.0, cosine))
    return np.asarray(np.maximum(0.0, 1 - np.linalg.norm(a - b, axis=1) / lengths))
