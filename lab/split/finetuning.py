"""The cloud half's weights trained too, with labels: cross-entropy beside distillation.

Whoever asks for it wants another network than the original: it is kept only where held-out pictures' accuracy
at equal bytes is better than with the weights that were brought.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import Tensor, nn

from siftfunnel.lab.onnx_graphs import all_nodes, reads
from siftfunnel.lab.split.likeness import log_scores
from siftfunnel.lab.split.sensitivity import TorchCloud
from siftfunnel.shared.tensors import OutputSpec

LEARNED: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm"), (1, 2)),
    **dict.fromkeys(("MatMul", "Add", "Mul"), (0, 1)),
    "PRelu": (1,),
    **dict.fromkeys(
        ("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization"), (1, 2)
    ),
}
"""Inputs of operators that training changes; elsewhere constants are limits, sizes and statistics."""
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


class Tuning(nn.Module):
    """Weights that change, in single precision, and what labels say of scores.

    Args:
        cloud: The cloud half.
        graph: The same as a graph.
        outputs: Of it; one ranks classes.
        fitted: Classes of the pictures to train on, -1 where one is not known.
        held_out: Of the others, likewise.

    Raises:
        ValueError: there are no weights that training can change.
    """

    def __init__(
        self,
        cloud: TorchCloud,
        graph: onnx.ModelProto,
        outputs: Sequence[OutputSpec],
        fitted: NDArray[np.int64],
        held_out: NDArray[np.int64],
    ) -> None:
        super().__init__()
        self._place = next(place for place, output in enumerate(outputs) if output.is_scores)
        self._scores = outputs[self._place]
        found = {name: cloud.weight(name) for name in learned_names(graph)}
        stored = {name: value for name, value in found.items() if value is not None}
        if not stored:
            raise ValueError(
                "the cloud half has no weights of floating point that training can change: cut earlier, or "
                "leave out --finetune"
            )
        self._kinds = {name: value.dtype for name, value in stored.items()}
        self.values = nn.ParameterList([nn.Parameter(value.float().clone()) for value in stored.values()])
        self._fitted, self._held_out = torch.from_numpy(fitted), torch.from_numpy(held_out)

    def weights(self) -> dict[str, Tensor]:
        """By initialiser, in its type."""
        return {
            name: value.to(kind) for (name, kind), value in zip(self._kinds.items(), self.values, strict=True)
        }

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The same, to be kept."""
        return {
            name: value.detach().numpy().copy() for name, value in zip(self._kinds, self.values, strict=True)
        }

    def cross_entropy(self, outputs: Sequence[Tensor], batch: Tensor) -> Tensor:
        """Of the pictures in a batch whose class is known; 0 where there is none."""
        return self._against(outputs, self._fitted[batch])[0]

    def held_out(self, outputs: Sequence[NDArray[np.float32]]) -> dict[str, float]:
        """Cross-entropy and accuracy of the held-out pictures."""
        given = [torch.from_numpy(np.asarray(values, np.float32)) for values in outputs]
        cross_entropy, accuracy = self._against(given, self._held_out)
        return {"cross_entropy": float(cross_entropy), "accuracy": float(accuracy)}

    def _against(self, outputs: Sequence[Tensor], classes_N: Tensor) -> tuple[Tensor, Tensor]:
        known = classes_N >= 0
        if not bool(known.any()):
            return torch.zeros(()), torch.zeros(())
        logs = log_scores(outputs[self._place].float()[known], self._scores)
        truth = classes_N[known]
        return -logs.gather(1, truth[:, None]).mean(), (logs.argmax(1) == truth).float().mean()


def learned_names(model: onnx.ModelProto) -> tuple[str, ...]:
    """Initialisers of floats that were learned: more than one number, and nothing else reads them."""
    learned: set[str] = set()
    others: set[str] = set()
    for node in all_nodes(model.graph):
        places = LEARNED.get(node.op_type, ()) if node.domain in ("", "ai.onnx") else ()
        own = {name for place, name in enumerate(node.input) if place in places}
        learned |= own
        others |= {name for place, name in enumerate(node.input) if place not in places} | (reads(node) - own)
    return tuple(
        tensor.name
        for tensor in model.graph.initializer
        if tensor.name in learned - others and tensor.data_type in _FLOATS and np.prod(tensor.dims) > 1
    )
