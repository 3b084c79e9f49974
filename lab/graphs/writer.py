"""What an ONNX graph is written with: nodes and constants, each named as it comes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn


class GraphWriter:
    """Collects nodes and initialisers; ``node`` returns the name of a node's output.

    Args:
        half_weights: Store weights in half precision.
        shapes: Input shape of every module, without the batch axis.
    """

    def __init__(
        self, *, half_weights: bool, shapes: Mapping[nn.Module, tuple[int, ...]] = MappingProxyType({})
    ) -> None:
        self.half_weights = half_weights
        self.shapes = shapes
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._count = 0
        self._constants: dict[tuple[Any, ...], str] = {}

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output."""
        output = self._name(operator.lower())
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def weight(self, value: Tensor) -> str:
        """A float tensor, stored in half precision when asked for."""
        array = value.detach().cpu().contiguous().numpy()
        name = self._name("weight")
        if not self.half_weights:
            self.initializers.append(numpy_helper.from_array(array.astype(np.float32), name))
            return name
        self.initializers.append(numpy_helper.from_array(array.astype(np.float16), name))
        return self.node("Cast", name, to=TensorProto.FLOAT)

    def constant(self, value: Tensor) -> str:
        """A ``float32`` constant that is no trained weight."""
        name = self._name("constant")
        self.initializers.append(numpy_helper.from_array(value.numpy(), name))
        return name

    def integers(self, *values: int) -> str:
        """A one-dimensional ``int64`` constant, stored once."""
        return self._once("integers", np.array(values, dtype=np.int64))

    def scalar(self, value: float) -> str:
        """A ``float32`` scalar constant, stored once."""
        return self._once("scalar", np.array(value, dtype=np.float32))

    def _once(self, stem: str, values: NDArray[Any]) -> str:
        key = (stem, *values.ravel().tolist())
        if key not in self._constants:
            self._constants[key] = self._name(stem)
            self.initializers.append(numpy_helper.from_array(values, self._constants[key]))
        return self._constants[key]
