"""Halves of schema 2 as people bring them: two tensors between them, scores, a vector and boxes.

The graphs are written node by node; whatever a test wants wrong is one argument.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.manifest import CodecSpec, Manifest
from siftfunnel.shared.tensors import OutputSpec, TensorSpec, pack
from siftfunnel.shared.wire import packed

TENSORS = (TensorSpec("/deep/cut", (4, 6, 8)), TensorSpec("skip", (5,)))
OUTPUTS = (
    OutputSpec("scores", "logits", (3,)),
    OutputSpec("vector", "embedding", (7,)),
    OutputSpec("boxes", "tensor", (2, 4)),
)
SPEC = InputSpec(24, 32, shorter_side=36, filter="bicubic", colour="BGR", layout="NHWC")
MANIFEST = Manifest(
    schema_version=2,
    name="own",
    architecture="foreign",
    defence="none",
    split_point="cut",
    input=SPEC,
    feature=pack(TENSORS),
    tensors=TENSORS,
    outputs=OUTPUTS,
    classes=("crane", "crane", "tench"),
    class_ids=("n02012849", "n03126707", "n01440764"),
    label_kind="category",
    codecs=(packed("fp32", [CodecSpec("fp32", "float", {"dtype": "float32"})] * len(TENSORS)),),
    default_codec="fp32",
)
KINDS = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}


@dataclass(frozen=True)
class Graph:
    """A graph that is being written.

    Attributes:
        nodes: in order.
        inputs: name to type and shape.
        outputs: likewise.
        opset: of ONNX.
        weights: by name.
    """

    nodes: Sequence[onnx.NodeProto]
    inputs: Mapping[str, tuple[int, Sequence[Any]]]
    outputs: Mapping[str, tuple[int, Sequence[Any]]]
    weights: Mapping[str, NDArray[Any]]
    opset: int = 17
    domains: Sequence[str] = ()

    def to_bytes(self) -> bytes:
        """The file."""

        def ends(named: Mapping[str, tuple[int, Sequence[Any]]]) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(name, *form) for name, form in named.items()]

        weights = [numpy_helper.from_array(value, name) for name, value in self.weights.items()]
        graph = helper.make_graph(self.nodes, "g", ends(self.inputs), ends(self.outputs), weights)
        opsets = [helper.make_opsetid("", self.opset), *(helper.make_opsetid(d, 1) for d in self.domains)]
        return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def edge_graph(frames: int | str = "N", dtype: str = "float32") -> Graph:
    """image [N, 24, 32, 3] -> /deep/cut [N, 4, 6, 8], skip [N, 5]."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "w"], ["conv"], strides=[4, 4]),
        helper.make_node("Relu", ["conv"], ["/deep/cut"]),
        helper.make_node("GlobalAveragePool", ["planes"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "m"], ["skip"]),
    ]
    weights = {"w": rng.normal(0, 0.2, (4, 3, 4, 4)), "m": rng.normal(0, 1, (3, 5))}
    return Graph(
        nodes,
        {"image": (KINDS[dtype], [frames, 24, 32, 3])},
        {"/deep/cut": (TensorProto.FLOAT, [frames, 4, 6, 8]), "skip": (TensorProto.FLOAT, [frames, 5])},
        {name: value.astype(np.float32) for name, value in weights.items()},
    )


def cloud_graph(frames: int | str = "N", softmax: bool = False) -> Graph:
    """/deep/cut, skip -> scores [N, 3], vector [N, 7], boxes [N, 2, 4]."""
    rng = np.random.default_rng(1)
    nodes = [
        helper.make_node("Flatten", ["/deep/cut"], ["flat"]),
        helper.make_node("Concat", ["flat", "skip"], ["all"], axis=1),
        helper.make_node("MatMul", ["all", "k"], ["ranked" if softmax else "scores"]),
        helper.make_node("MatMul", ["all", "v"], ["vector"]),
        helper.make_node("MatMul", ["all", "b"], ["corners"]),
        helper.make_node("Reshape", ["corners", "form"], ["boxes"]),
        *([helper.make_node("Softmax", ["ranked"], ["scores"], axis=1)] if softmax else []),
    ]
    weights: dict[str, NDArray[Any]] = {
        name: rng.normal(0, 0.1, (197, columns)).astype(np.float32)
        for name, columns in (("k", 3), ("v", 7), ("b", 8))
    }
    return Graph(
        nodes,
        {"/deep/cut": (TensorProto.FLOAT, [frames, 4, 6, 8]), "skip": (TensorProto.FLOAT, [frames, 5])},
        {
            "scores": (TensorProto.FLOAT, [frames, 3]),
            "vector": (TensorProto.FLOAT, [frames, 7]),
            "boxes": (TensorProto.FLOAT, [frames, 2, 4]),
        },
        weights | {"form": np.array([0, 2, 4], np.int64)},
    )


def own_files(edge: Graph | None = None, cloud: Graph | None = None) -> dict[str, bytes]:
    """Both halves."""
    return {
        "edge.onnx": (edge or edge_graph()).to_bytes(),
        "cloud.onnx": (cloud or cloud_graph()).to_bytes(),
    }


def renamed(graph: Graph, old: str, new: str) -> Graph:
    """The same graph with an end of another name."""

    def swap(names: Sequence[str]) -> list[str]:
        return [new if name == old else name for name in names]

    nodes = []
    for node in graph.nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:], copy.output[:] = swap(node.input), swap(node.output)
        nodes.append(copy)
    inputs, outputs = (
        {new if name == old else name: form for name, form in ends.items()}
        for ends in (graph.inputs, graph.outputs)
    )
    return replace(graph, nodes=nodes, inputs=inputs, outputs=outputs)
