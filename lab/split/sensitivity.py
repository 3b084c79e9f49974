"""How much each direction of a tensor between the halves matters to what the network says.

    M = E[g g^T]      g = gradient of log p(y | feature) / T, y drawn from the softened posterior,
                      scaled to length 1 for each picture over all tensors

For scores that is the Fisher matrix, direction only, so that no picture dominates; the posterior is softened
so that confident pictures count too. Outputs that are no scores are taken as Gaussian of variance 1
(embeddings of length 1, tensors over their deviation): there g is a random combination of the outputs'
gradients.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from siftfunnel.lab.split.likeness import Likeness, comparable, judged, log_scores
from siftfunnel.lab.split.patches import to_maps, to_patches
from siftfunnel.lab.split.runner import Runner
from siftfunnel.shared.onnx_torch import OnnxModule, UnsupportedOperatorError
from siftfunnel.shared.tensors import OutputSpec, TensorSpec

TEMPERATURE = 2.0
BATCH = 8
MAX_RUNS = 1200
"""Of the cloud half, where differences stand in for gradients."""
SHIFT = 0.5
"""Of a channel, in its deviations, where differences stand in for gradients."""


class Gradients:
    """Differentiates a cloud half.

    Args:
        cloud: The graph.
        outputs: What it gives.
        scales: From `Likeness`, for outputs that are no scores.

    Raises:
        UnsupportedOperatorError: an operator that cannot be differentiated here; the text names it.
    """

    def __init__(
        self, cloud: onnx.ModelProto, outputs: Sequence[OutputSpec], scales: Sequence[NDArray[np.float32]]
    ) -> None:
        self.module = OnnxModule(cloud).eval()
        self._outputs, self._positions = outputs, judged(outputs)
        self._scales = [torch.from_numpy(scale) for scale in scales]

    def of(
        self, features: Sequence[NDArray[np.float32]], generator: torch.Generator
    ) -> Iterator[tuple[Tensor, ...]]:
        """Gradients at each feature, batch by batch, one tensor like each of ``features``."""
        for start in range(0, len(features[0]), BATCH):
            at = [torch.from_numpy(f[start : start + BATCH]).requires_grad_(True) for f in features]
            found = self.module(*at)
            values = found if isinstance(found, tuple) else (found,)
            drawn = [
                self._drawn(values[p], self._outputs[p], scale, generator)
                for p, scale in zip(self._positions, self._scales, strict=True)
            ]
            for last, scalar in zip([*[False] * (len(drawn) - 1), True], drawn, strict=True):
                gradients = torch.autograd.grad(scalar, at, retain_graph=not last, materialize_grads=True)
                yield _of_unit_length(gradients)

    @staticmethod
    def _drawn(values: Tensor, output: OutputSpec, scale: Tensor, generator: torch.Generator) -> Tensor:
        if output.is_scores:
            logs = log_scores(values, output, TEMPERATURE)
            drawn = torch.multinomial(logs.detach().exp(), 1, generator=generator)
            return logs.gather(1, drawn).sum()
        vector = comparable(values, output, scale)
        return (vector * torch.randn(vector.shape, generator=generator)).sum()


def _of_unit_length(gradients: Sequence[Tensor]) -> tuple[Tensor, ...]:
    lengths = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt() + 1e-20
    return tuple(g / lengths.reshape(-1, *(1 for _ in g.shape[1:])) for g in gradients)


@dataclass(frozen=True)
class Importance:
    """What the outputs ask of a cut's tensors.

    Attributes:
        matrices: For each tensor the matrix M of each side of its patches.
        how: In words, for the report.
    """

    matrices: tuple[dict[int, Tensor], ...]
    how: str


def importance(
    cloud: onnx.ModelProto,
    outputs: Sequence[OutputSpec],
    tensors: Sequence[TensorSpec],
    sides: Sequence[Sequence[int]],
    features: Sequence[NDArray[np.float32]],
    likeness: Likeness,
    *,
    frames_per_run: int | None = None,
    seed: int = 0,
) -> Importance:
    """M of each tensor at each side of patches; by differences where there are no gradients.

    Args:
        cloud: The cloud half.
        outputs: What it gives.
        tensors: Between the halves.
        sides: Of patches, for each tensor.
        features: Of some pictures, one array for each tensor.
        likeness: With the outputs of the same pictures.
        frames_per_run: Of the cloud half.
        seed: Of what is drawn.
    """
    try:
        gradients = Gradients(cloud, outputs, likeness.scales)
        matrices = _from_gradients(gradients, tensors, sides, features, seed)
        return Importance(matrices, f"Fisher matrix of the outputs, {len(features[0])} pictures")
    except (UnsupportedOperatorError, RuntimeError) as error:
        weights = _by_differences(Runner(cloud, frames_per_run), tensors, features, likeness, seed)
        matrices = tuple(
            {side: torch.diag(weight.repeat_interleave(side * side)) for side in chosen}
            for weight, chosen in zip(weights, sides, strict=True)
        )
        return Importance(matrices, f"one weight for each channel, by shifting it: {_short(error)}")


def _short(error: Exception) -> str:
    return str(error).splitlines()[0]


def _from_gradients(
    gradients: Gradients,
    tensors: Sequence[TensorSpec],
    sides: Sequence[Sequence[int]],
    features: Sequence[NDArray[np.float32]],
    seed: int,
) -> tuple[dict[int, Tensor], ...]:
    sums: tuple[dict[int, Tensor], ...] = tuple({} for _ in tensors)
    for batch in gradients.of(features, torch.Generator().manual_seed(seed)):
        for tensor, chosen, total, gradient in zip(tensors, sides, sums, batch, strict=True):
            maps = to_maps(gradient, tensor)
            for side in chosen:
                rows = to_patches(maps, side).flatten(0, 1)
                total[side] = total.get(side, 0) + (rows.T @ rows).double()
    if not all(bool(torch.isfinite(total).all()) for group in sums for total in group.values()):
        raise UnsupportedOperatorError("the network's gradients are not finite")
    return sums


def _by_differences(
    cloud: Runner,
    tensors: Sequence[TensorSpec],
    features: Sequence[NDArray[np.float32]],
    likeness: Likeness,
    seed: int,
) -> list[Tensor]:
    """Divergence per square of a shift, for each channel of each tensor."""
    channels = [to_maps(torch.from_numpy(f[:1]), t).shape[1] for f, t in zip(features, tensors, strict=True)]
    pictures = int(np.clip(MAX_RUNS // sum(channels), 2, len(features[0])))
    few = [np.array(values[:pictures]) for values in features]
    generator, weights = torch.Generator().manual_seed(seed), []
    for position, tensor in enumerate(tensors):
        maps = to_maps(torch.from_numpy(few[position]), tensor)
        deviations = to_maps(torch.from_numpy(features[position]), tensor).std(dim=(0, 2, 3))
        weight = torch.zeros(len(deviations), dtype=torch.float64)
        for channel, deviation in enumerate(deviations.tolist()):
            if not deviation > 0:
                continue
            shift = SHIFT * deviation * torch.randn(maps[:, channel].shape, generator=generator)
            # maps are a view of the array that the cloud half is given
            maps[:, channel] += shift
            moved = likeness.divergence_N(cloud(*few), slice(0, pictures))
            maps[:, channel] -= shift
            weight[channel] = float(np.mean(moved)) / (SHIFT * deviation) ** 2
        weights.append(weight + 1e-12)
    return weights
