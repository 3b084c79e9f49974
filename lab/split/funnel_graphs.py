"""A funnel as nodes: a convolution behind the edge half, a transposed one before the cloud half."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from siftfunnel.lab.onnx_graphs import copy_of, rename
from siftfunnel.lab.split.linear import Refinement, TensorFunnel, maps_spec

PREFIX = "funnel."


class _Nodes:
    """Nodes and weights of one tensor's funnel, named so that no network's names are met."""

    def __init__(self, name: str) -> None:
        self._stem = f"{PREFIX}{name}"
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []

    def weight(self, what: str, values: NDArray[np.generic]) -> str:
        name = f"{self._stem}.{what}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, operator: str, inputs: Sequence[str], output: str | None = None, **how: Any) -> str:
        output = output or f"{self._stem}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **how))
        return output

    def reshape(self, name: str, shape: Sequence[int], what: str) -> str:
        return self.add("Reshape", [name, self.weight(what, np.array([0, *shape], np.int64))])


def funnelled_edge(edge: onnx.ModelProto, funnels: Sequence[TensorFunnel]) -> onnx.ModelProto:
    """The edge half with the funnels behind it; its outputs keep their names."""
    copy = copy_of(edge)
    inner = {funnel.tensor.name: f"{PREFIX}{funnel.tensor.name}.in" for funnel in funnels}
    _rename(copy.graph, inner)
    del copy.graph.output[:]
    for funnel in funnels:
        nodes = _Nodes(funnel.tensor.name)
        _encode(nodes, funnel, inner[funnel.tensor.name])
        copy.graph.node.extend(nodes.nodes)
        copy.graph.initializer.extend(nodes.weights)
        copy.graph.output.append(_described(funnel))
    return copy


def funnelled_cloud(cloud: onnx.ModelProto, funnels: Sequence[TensorFunnel]) -> onnx.ModelProto:
    """The cloud half with the funnels' inverses before it; its inputs keep their names."""
    copy = copy_of(cloud)
    inner = {funnel.tensor.name: f"{PREFIX}{funnel.tensor.name}.out" for funnel in funnels}
    _rename(copy.graph, inner)
    del copy.graph.input[:]
    before: list[onnx.NodeProto] = []
    for funnel in funnels:
        nodes = _Nodes(funnel.tensor.name)
        _decode(nodes, funnel, inner[funnel.tensor.name])
        before += nodes.nodes
        copy.graph.initializer.extend(nodes.weights)
        copy.graph.input.append(_described(funnel))
    own = list(copy.graph.node)
    del copy.graph.node[:]
    copy.graph.node.extend([*before, *own])
    return copy


def with_batch(half: onnx.ModelProto, frames: int) -> onnx.ModelProto:
    """The half with its number of frames told at its doors, where it is fixed inside."""
    copy = copy_of(half)
    for value in (*copy.graph.input, *copy.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = frames
    return copy


def _encode(nodes: _Nodes, funnel: TensorFunnel, name: str) -> None:
    maps, side = maps_spec(funnel.tensor), funnel.side
    if len(funnel.tensor.shape) == 2:
        name = nodes.add("Transpose", [name], perm=[0, 2, 1])
    if len(funnel.tensor.shape) != 3:
        name = nodes.reshape(name, maps.shape, "maps")
    kernel = _array(funnel.encode_KI).reshape(-1, maps.channels, side, side)
    bias = _array(-funnel.encode_KI @ funnel.mean_I)
    inputs = [name, nodes.weight("encode", kernel), nodes.weight("encode_bias", bias)]
    nodes.add("Conv", inputs, funnel.tensor.name, kernel_shape=[side, side], strides=[side, side])


def _decode(nodes: _Nodes, funnel: TensorFunnel, output: str) -> None:
    maps, side = maps_spec(funnel.tensor), funnel.side
    kernel = _array(funnel.decode_IK.T).reshape(-1, maps.channels, side, side)
    inputs = [funnel.tensor.name, nodes.weight("decode", kernel)]
    name = nodes.add("ConvTranspose", inputs, kernel_shape=[side, side], strides=[side, side])
    patch = _array(funnel.mean_I).reshape(1, maps.channels, side, side)
    mean = nodes.weight("mean", np.tile(patch, (1, 1, maps.height // side, maps.width // side)))
    name = nodes.add("Add", [name, mean])
    if funnel.refinement is not None:
        name = _refined(nodes, funnel.refinement, name)
    if len(funnel.tensor.shape) == 2:
        name = nodes.reshape(name, maps.shape[:2], "tokens")
        nodes.add("Transpose", [name], output, perm=[0, 2, 1])
    elif len(funnel.tensor.shape) != 3:
        shape = nodes.weight("shape", np.array([0, *funnel.tensor.shape], np.int64))
        nodes.add("Reshape", [name, shape], output)
    else:
        nodes.add("Identity", [name], output)


def _refined(nodes: _Nodes, refinement: Refinement, name: str) -> str:
    hidden = name
    for what, weight, bias in (
        ("first", refinement.first_HC33, refinement.first_H),
        ("second", refinement.second_CH33, refinement.second_C),
    ):
        if what == "second":
            hidden = nodes.add("Relu", [hidden])
        inputs = [hidden, nodes.weight(what, _array(weight)), nodes.weight(f"{what}_bias", _array(bias))]
        hidden = nodes.add("Conv", inputs, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    return nodes.add("Add", [name, hidden])


def _array(values: Tensor) -> NDArray[np.float32]:
    return values.detach().numpy().astype(np.float32)


def _described(funnel: TensorFunnel) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(funnel.tensor.name, TensorProto.FLOAT, ["N", *funnel.sent.shape])


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Give a half's outer tensors other names, wherever they stand at its doors."""
    rename(graph.node, names)
    for value in [value for value in graph.value_info if value.name in names]:
        graph.value_info.remove(value)
