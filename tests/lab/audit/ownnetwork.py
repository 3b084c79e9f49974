"""A bundle of schema 2 in milliseconds: two tensors at the cut, any input, any outputs, random weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from siftfunnel.shared.bundle import Bundle, write_bundle
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.manifest import CodecSpec, Manifest
from siftfunnel.shared.tensors import OutputSpec, TensorSpec, pack
from siftfunnel.shared.wire import packed

FP32 = CodecSpec("fp32", "float", {"dtype": "float32"})
FP16 = CodecSpec("fp16", "float", {"dtype": "float16"})
CLASSES = ("blue", "green", "red")
End = tuple[str, Any, list[Any]]
SCORES = (OutputSpec("scores", "logits", (3,)),)


def model(
    nodes: Sequence[Any],
    ends: tuple[list[tuple[str, Any, list[Any]]], list[tuple[str, Any, list[Any]]]],
    **held: Any,
) -> bytes:
    """A graph of nodes with these constants."""
    inputs, outputs = ([helper.make_tensor_value_info(*end) for end in side] for side in ends)
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()]
    graph = helper.make_graph(list(nodes), "half", inputs, outputs, weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def edge_half(spec: InputSpec, tensors: Sequence[TensorSpec], rng: np.random.Generator) -> bytes:
    """Maps of the picture at the side of each tensor, each by one strided convolution."""
    kind = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}[spec.dtype]
    nodes = [helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT)]
    nodes.append(
        helper.make_node("Transpose", ["float"], ["x"], perm=[0, 3, 1, 2])
        if spec.layout == "NHWC"
        else helper.make_node("Identity", ["float"], ["x"])
    )
    held: dict[str, Any] = {}
    for tensor in tensors:
        channels, height, _ = tensor.shape
        step = spec.height // height
        scale = 1 / step / (100 if spec.dtype == "uint8" else 1)
        held[f"w_{tensor.name}"] = rng.normal(0, scale, (channels, spec.channels, step, step)).astype(
            np.float32
        )
        nodes.append(helper.make_node("Conv", ["x", f"w_{tensor.name}"], [tensor.name], strides=[step, step]))
    image = ("image", kind, ["N", *spec.tensor_shape])
    return model(nodes, ([image], [(t.name, TensorProto.FLOAT, ["N", *t.shape]) for t in tensors]), **held)


def normal(rng: np.random.Generator, scale: float, *shape: int) -> Any:
    return rng.normal(0, scale, shape).astype(np.float32)


def cloud_half(
    tensors: Sequence[TensorSpec], outputs: Sequence[OutputSpec], rng: np.random.Generator
) -> bytes:
    """A linear layer of all tensors for each output."""
    nodes = [
        helper.make_node("Flatten", [tensor.name], [f"flat_{tensor.name}"], axis=1) for tensor in tensors
    ]
    nodes.append(helper.make_node("Concat", [f"flat_{t.name}" for t in tensors], ["all"], axis=1))
    held: dict[str, Any] = {}
    total = sum(tensor.size for tensor in tensors)
    for output in outputs:
        sides = [side or 2 for side in output.shape]
        held[f"v_{output.name}"] = normal(rng, total**-0.5, total, int(np.prod(sides)))
        held[f"s_{output.name}"] = np.array([-1, *sides])
        nodes.append(helper.make_node("MatMul", ["all", f"v_{output.name}"], [f"row_{output.name}"]))
        nodes.append(helper.make_node("Reshape", [f"row_{output.name}", f"s_{output.name}"], [output.name]))
    taken = [(t.name, TensorProto.FLOAT, ["N", *t.shape]) for t in tensors]
    given = [(o.name, TensorProto.FLOAT, ["N", *(side or 2 for side in o.shape)]) for o in outputs]
    return model(nodes, (taken, given), **held)


def own_bundle(
    folder: Path,
    spec: InputSpec,
    shapes: Sequence[tuple[int, ...]],
    outputs: tuple[OutputSpec, ...] = SCORES,
    cloud: bytes | None = None,
    **changes: Any,
) -> Bundle:
    """A bundle as `siftfunnel split export` writes one; its codecs are fp32 and, recommended, fp16."""
    rng = np.random.default_rng(5)
    tensors = tuple(TensorSpec(f"t{index}", shape) for index, shape in enumerate(shapes))
    classes = CLASSES if any(output.is_scores for output in outputs) else ()
    manifest = Manifest(
        name="mine",
        architecture="foreign",
        defence="none",
        split_point="cut",
        input=spec,
        feature=pack(tensors),
        classes=classes,
        label_kind="category",
        codecs=(FP32, FP16)
        if len(tensors) == 1
        else tuple(packed(c.name, [c] * len(tensors)) for c in (FP32, FP16)),
        default_codec="fp16",
        schema_version=2,
        tensors=tensors,
        outputs=outputs,
        **changes,
    )
    halves = {
        "edge.onnx": edge_half(spec, tensors, rng),
        "cloud.onnx": cloud or cloud_half(tensors, outputs, rng),
    }
    return write_bundle(folder, manifest, halves, {})
