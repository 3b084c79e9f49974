"""Halves with several tensors between them, given one end for all of them: packed as they travel.

edge:   tensors -> flattened, laid end to end -> N x total x 1 x 1
cloud:  N x total x 1 x 1 -> cut, each in its shape -> tensors
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from siftfunnel.shared.tensors import TensorSpec, pack

PACKED = "siftfunnel_packed"
_SPLIT_TAKES_INPUTS = 13


def packed_edge(model: onnx.ModelProto, tensors: Sequence[TensorSpec]) -> onnx.ModelProto:
    """The edge half with one output, all tensors packed in their order.

    Raises:
        ValueError: it does not give one of them.
    """
    packed = _copied(model)
    graph: Any = packed.graph
    _require(graph.output, tensors, "gives")
    flat = [f"{PACKED}_{index}" for index in range(len(tensors))]
    for tensor, name in zip(tensors, flat, strict=True):
        graph.node.append(helper.make_node("Flatten", [tensor.name], [name], axis=1))
    graph.node.append(helper.make_node("Concat", flat, [f"{PACKED}_flat"], axis=1))
    # -1 counts the frames, so that a batch that is fixed elsewhere stays what it is
    shape = _integers(graph, "shape", -1, *pack(tuple(tensors)).shape)
    graph.node.append(helper.make_node("Reshape", [f"{PACKED}_flat", shape], [PACKED]))
    _replace(graph.output, tensors)
    return packed


def packed_cloud(model: onnx.ModelProto, tensors: Sequence[TensorSpec]) -> onnx.ModelProto:
    """The cloud half with one input, all tensors packed in their order.

    Raises:
        ValueError: it does not take one of them.
    """
    packed = _copied(model)
    graph: Any = packed.graph
    _require(graph.input, tensors, "takes")
    nodes = [helper.make_node("Flatten", [PACKED], [f"{PACKED}_flat"], axis=1)]
    parts = [f"{PACKED}_{index}" for index in range(len(tensors))]
    sizes = [tensor.size for tensor in tensors]
    opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset >= _SPLIT_TAKES_INPUTS:
        taken = [f"{PACKED}_flat", _integers(graph, "sizes", *sizes)]
        nodes.append(helper.make_node("Split", taken, parts, axis=1))
    else:
        nodes.append(helper.make_node("Split", [f"{PACKED}_flat"], parts, axis=1, split=sizes))
    for index, tensor in enumerate(tensors):
        shape = _integers(graph, f"shape_{index}", -1, *tensor.shape)
        nodes.append(helper.make_node("Reshape", [parts[index], shape], [tensor.name]))
    for node in reversed(nodes):
        graph.node.insert(0, node)
    _replace(graph.input, tensors)
    return packed


def _copied(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def _require(ends: Any, tensors: Sequence[TensorSpec], verb: str) -> None:
    found = {end.name for end in ends}
    missing = [tensor.name for tensor in tensors if tensor.name not in found]
    if missing:
        raise ValueError(f"{verb} no tensor {missing[0]!r}; it {verb} {', '.join(sorted(found))}")


def _integers(graph: Any, name: str, *values: int) -> str:
    full = f"{PACKED}_{name}"
    graph.initializer.append(numpy_helper.from_array(np.array(values, dtype=np.int64), full))
    return full


def _replace(ends: Any, tensors: Sequence[TensorSpec]) -> None:
    """All ends by the packed one, whose batch is that of the first."""
    sides = next(end.type.tensor_type.shape.dim for end in ends if end.name == tensors[0].name)
    batch = sides[0].dim_value if len(sides) and sides[0].dim_value > 0 else "N"
    shape = [batch, *pack(tuple(tensors)).shape]
    del ends[:]
    ends.append(helper.make_tensor_value_info(PACKED, TensorProto.FLOAT, shape))
