"""Multiply-adds and parameters of a graph's nodes."""

import math
from collections.abc import Callable, Mapping

import onnx

from siftfunnel.lab.onnx_graphs import count, weights

Shapes = Mapping[str, tuple[int, ...]]


def _convolution(weight: int) -> Callable[[onnx.NodeProto, Shapes], int]:
    def work(node: onnx.NodeProto, shapes: Shapes) -> int:
        return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[weight]][1:])

    return work


def _transposed(node: onnx.NodeProto, shapes: Shapes) -> int:
    return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])


def _gemm(node: onnx.NodeProto, shapes: Shapes) -> int:
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]


def _matmul(node: onnx.NodeProto, shapes: Shapes) -> int:
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


MULTIPLY_ADDS: Mapping[str, Callable[[onnx.NodeProto, Shapes], int]] = {
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "QLinearConv": _convolution(3),
    "FusedConv": _convolution(1),
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
}
"""What counts as work: sums of products. All other operators are counted as nothing, as the field does."""


def multiply_adds(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Of one frame; 0 for an operator that is no sum of products or whose shapes each picture decides."""
    work = MULTIPLY_ADDS.get(node.op_type)
    try:
        return work(node, shapes) if work else 0
    except (KeyError, IndexError):
        return 0


def parameter_counts(graph: onnx.GraphProto) -> dict[str, int]:
    """Values of every weight that is no shape or index."""
    indices = (onnx.TensorProto.INT64, onnx.TensorProto.BOOL)
    return {n: count(tensor) for n, tensor in weights(graph).items() if tensor.data_type not in indices}
