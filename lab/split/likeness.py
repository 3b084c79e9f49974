"""How like the uncut network's outputs others are: a divergence to minimise, and an agreement to report.

scores       Kullback-Leibler divergence; the share of pictures whose best class is the same
embedding    1 - cosine; the mean cosine
tensor       squared error over the variance; 1 - relative error
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siftfunnel.shared.tensors import OutputSpec

LEAST_PROBABILITY = 1e-12
MEASURES = {
    "logits": "same best class",
    "probabilities": "same best class",
    "embedding": "cosine",
    "tensor": "1 - relative error",
}
"""What the agreement of each kind of output is."""


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
    """

    def __init__(self, outputs: Sequence[OutputSpec], expected: Sequence[NDArray[Any]]) -> None:
        self.positions = judged(outputs)
        self._outputs = [outputs[position] for position in self.positions]
        self._expected = [np.asarray(expected[p], np.float32) for p in self.positions]
        self.scales = [scales_of(values) for values in self._expected]

    @property
    def measure(self) -> str:
        """What `agreement` is, in words."""
        return ", ".join(dict.fromkeys(MEASURES[output.kind] for output in self._outputs))

    @property
    def is_share(self) -> bool:
        """Whether agreement is a share of pictures, so that an interval of a share goes with it."""
        return self._outputs[0].is_scores

    def agreement_N(self, values: Sequence[NDArray[Any]], pictures: slice = slice(None)) -> NDArray[Any]:
        """Agreement of each picture, 0 to 1; the mean over outputs where several are looked at."""
        rows = [
            _agreement(np.asarray(values[p], np.float32), expected[pictures], output)
            for p, expected, output in zip(self.positions, self._expected, self._outputs, strict=True)
        ]
        return np.mean(rows, axis=0)  # type: ignore[no-any-return]

    def of_a_constant(self) -> float:
        """Agreement of an answer that never changes: the commonest class, or the mean output.

        What a funnel agrees beyond this it owes to the picture.
        """
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
