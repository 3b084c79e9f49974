"""How much each direction of a tensor between the halves matters to what the network says.

    M = E[g g^T]      g = gradient of log p(y | feature) / T, y drawn from the softened posterior,
                      scaled to length 1 for each picture over all tensors

For scores that is the Fisher matrix, direction only, so that no picture dominates; the posterior is softened
so that confident pictures count too. Outputs that are no scores are taken as Gaussian of variance 1
(embeddings of length 1, tensors over their deviation): there g is a random combination of the outputs'
gradients.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from siftfunnel.lab.split.features import Ends, Seen
from siftfunnel.lab.split.halves import Halves
from siftfunnel.lab.split.likeness import comparable, judged, log_scores
from siftfunnel.lab.split.linear import to_maps, to_patches
from siftfunnel.shared.onnx_torch import OnnxModule, UnsupportedOperatorError
from siftfunnel.shared.tensors import OutputSpec, TensorSpec

TEMPERATURE = 2.0
BATCH = 8
MAX_RUNS = 1200
"""Of the cloud half, where differences stand in for gradients."""
SHIFT = 0.5
"""Of a channel, in its deviations, where differences stand in for gradients."""


class TorchCloud:
    """A cloud half that gradients go through.

    Raises:
        UnsupportedOperatorError: an operator that cannot be differentiated here; the text names it.
    """

    def __init__(self, halves: Halves) -> None:
        self._module = OnnxModule(halves.cloud).eval()
        names = [tensor.name for tensor in halves.tensors]
        self._order = [names.index(name) for name in self._module.inputs]
        self._places = [self._module.outputs.index(output.name) for output in halves.outputs]

    def weight(self, name: str) -> Tensor | None:
        """An initialiser that nodes read as it is; None where it was folded into something else."""
        buffer = self._module.buffers_of_constants.get(name)
        return None if buffer is None else self._module.get_buffer(buffer)

    def __call__(
        self, tensors: Sequence[Tensor], weights: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """Outputs of tensors, both in the halves' order; ``weights`` are taken instead of initialisers."""
        buffers = self._module.buffers_of_constants
        instead = {buffers[name]: value for name, value in (weights or {}).items()}
        given = tuple(tensors[position] for position in self._order)
        found = torch.func.functional_call(self._module, instead, given)
        values = found if isinstance(found, tuple) else (found,)
        return tuple(values[place] for place in self._places)


def gradients(halves: Halves, seen: Seen, generator: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
    """Gradients of what a cloud half says at each feature, batch by batch, one like each tensor at the cut.

    Where the number of frames is fixed, the last ones that do not fill a run are left out.

    Raises:
        UnsupportedOperatorError: an operator that cannot be differentiated here; the text names it.
    """
    cloud, features = TorchCloud(halves), seen.tensors
    scales = [torch.from_numpy(scale) for scale in seen.likeness.scales]
    step, count = halves.frames_per_run or BATCH, len(features[0])
    for start in range(0, count - count % step if halves.frames_per_run else count, step):
        at = [torch.from_numpy(f[start : start + step]).requires_grad_(True) for f in features]
        values = cloud(at)
        drawn = [
            _drawn(values[place], halves.outputs[place], scale, generator)
            for place, scale in zip(judged(halves.outputs), scales, strict=True)
        ]
        for last, scalar in zip([*[False] * (len(drawn) - 1), True], drawn, strict=True):
            found = torch.autograd.grad(scalar, at, retain_graph=not last, materialize_grads=True)
            yield _of_unit_length(found)


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


def importance(ends: Ends, seen: Seen, sides: Sequence[Sequence[int]], seed: int = 0) -> Importance:
    """M of each tensor at each side of patches; by differences where there are no gradients.

    Args:
        ends: The cut network.
        seen: Some pictures.
        sides: Of patches, for each tensor.
        seed: Of what is drawn.
    """
    try:
        found = gradients(ends.halves, seen, torch.Generator().manual_seed(seed))
        matrices = _from_gradients(found, ends.halves.tensors, sides)
        return Importance(matrices, f"Fisher matrix of the outputs, {len(seen)} pictures")
    except (UnsupportedOperatorError, RuntimeError) as error:
        weights = _by_differences(ends, seen, seed)
        matrices = tuple(
            {side: torch.diag(weight.repeat_interleave(side * side)) for side in chosen}
            for weight, chosen in zip(weights, sides, strict=True)
        )
        return Importance(matrices, f"one weight for each channel, by shifting it: {_short(error)}")


def _short(error: Exception) -> str:
    return str(error).splitlines()[0]


def _from_gradients(
    found: Iterator[tuple[Tensor, ...]], tensors: Sequence[TensorSpec], sides: Sequence[Sequence[int]]
) -> tuple[dict[int, Tensor], ...]:
    sums: tuple[dict[int, Tensor], ...] = tuple({} for _ in tensors)
    for batch in found:
        for tensor, chosen, total, gradient in zip(tensors, sides, sums, batch, strict=True):
            maps = to_maps(gradient, tensor)
            for side in chosen:
                rows = to_patches(maps, side).flatten(0, 1)
                total[side] = total.get(side, 0) + (rows.T @ rows).double()
    if not all(bool(torch.isfinite(total).all()) for group in sums for total in group.values()):
        raise UnsupportedOperatorError("the network's gradients are not finite")
    return sums


def _by_differences(ends: Ends, seen: Seen, seed: int) -> list[Tensor]:
    """Divergence per square of a shift, for each channel of each tensor."""
    features, tensors = seen.tensors, ends.halves.tensors
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
            moved = seen.likeness.divergence_N(ends.cloud(few), slice(0, pictures))
            maps[:, channel] -= shift
            weight[channel] = float(np.mean(moved)) / (SHIFT * deviation) ** 2
        weights.append(weight + 1e-12)
    return weights
