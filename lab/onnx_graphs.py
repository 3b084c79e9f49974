"""What is asked of an ONNX graph, message by message: inputs, readers, constants, sizes."""

import math
from collections.abc import Iterable, Iterator, Mapping

import onnx
from onnx import TensorProto, helper

PROTOBUF_LIMIT = 2**31 - 2**20
"""Bytes that protobuf serialises at most, with room for what surrounds the weights."""
RANDOM = frozenset(
    ["RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"]
)


class NetworkError(ValueError):
    """A network, or a cut through it, that cannot be taken; the text says why and what to do."""


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The bodies of a control flow node."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def reads(node: onnx.NodeProto) -> set[str]:
    """Every tensor that a node needs, those that its bodies take from outside among them."""
    names = {name for name in node.input if name}
    for body in subgraphs(node):
        within = {value.name for value in body.input} | {value.name for value in body.initializer}
        within |= {name for inner in body.node for name in inner.output}
        taken = {name for inner in body.node for name in reads(inner)} | {v.name for v in body.output}
        names |= taken - within
    return names


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """A graph's nodes, those in bodies among them."""
    for node in graph.node:
        yield node
        for body in subgraphs(node):
            yield from all_nodes(body)


def rename(nodes: Iterable[onnx.NodeProto], names: Mapping[str, str]) -> None:
    """Give tensors other names wherever nodes, and bodies within them, read or make them."""
    for node in nodes:
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]
        for body in subgraphs(node):
            rename(body.node, names)
            for value in body.output:
                value.name = names.get(value.name, value.name)


def weights(graph: onnx.GraphProto) -> dict[str, TensorProto]:
    """Initialisers by name."""
    return {tensor.name: tensor for tensor in graph.initializer}


def given_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that a caller gives: before IR version 4 the weights stand among a graph's inputs."""
    stored = weights(graph)
    return [value for value in graph.input if value.name not in stored]


def constant_names(graph: onnx.GraphProto) -> set[str]:
    """Tensors that no picture changes: weights, and what is computed from weights alone."""
    names = set(weights(graph)) | {tensor.values.name for tensor in graph.sparse_initializer}
    for node in graph.node:
        if node.op_type not in RANDOM and reads(node) <= names:
            names |= set(node.output)
    return names


def weight_bytes(tensor: TensorProto) -> int:
    """Bytes that a tensor takes in a file."""
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data)
    return count(tensor) * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def count(tensor: TensorProto) -> int:
    """Values in a tensor."""
    return math.prod(tensor.dims)


def type_name(number: int) -> str:
    """What ONNX calls a type of tensors; its number where it knows none of that number.

    >>> type_name(1), type_name(40)
    ('FLOAT', 'type 40')
    """
    names = {value: name for name, value in TensorProto.DataType.items()}
    return names.get(number, f"type {number}")


def exceeds_protobuf(model: onnx.ModelProto) -> bool:
    """Whether a graph's weights are too many for one message, found without serialising it."""
    return sum(map(weight_bytes, model.graph.initializer)) > PROTOBUF_LIMIT


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of everything but initialisers, which may be too many to copy as one message."""
    bare = onnx.ModelProto(
        ir_version=model.ir_version, producer_name=model.producer_name, opset_import=model.opset_import
    )
    bare.functions.extend(model.functions)
    graph = model.graph
    bare.graph.name = graph.name or "network"
    for field in ("node", "input", "output", "value_info", "sparse_initializer", "quantization_annotation"):
        getattr(bare.graph, field).extend(getattr(graph, field))
    return bare


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that can be changed, of any size."""
    copy = without_weights(model)
    copy.graph.initializer.extend(model.graph.initializer)
    return copy


def set_shape(value: onnx.ValueInfoProto, shape: tuple[int | str | None, ...]) -> None:
    """Give a tensor's description other axes: lengths, names of free ones, None for those unknown."""
    tensor = value.type.tensor_type
    tensor.ClearField("shape")
    tensor.shape.SetInParent()
    for axis in shape:
        dimension = tensor.shape.dim.add()
        if isinstance(axis, int):
            dimension.dim_value = axis
        elif axis is not None:
            dimension.dim_param = axis
