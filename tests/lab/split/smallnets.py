"""Small ONNX graphs of each kind that somebody may bring."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from siftfunnel.lab.split.network import Network, network_of_graph

FLOAT = TensorProto.FLOAT


def drawn(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Weights."""
    return (np.random.default_rng(seed).standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(
        np.float32
    )


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node; tensors' names with blanks between."""
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def graph(
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, NDArray[Any]],
    *,
    image: Sequence[int | str] = ("N", 3, 8, 8),
    outputs: Sequence[str] = ("out",),
    dtype: int = FLOAT,
    opset: int = 17,
) -> onnx.ModelProto:
    """A model with one input `image`; its outputs' shapes are left open."""
    made = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("image", dtype, image)],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


CONV_WEIGHTS = {"w1": drawn(4, 3, 3, 3), "w2": drawn(4, 4, 3, 3, seed=1), "w3": drawn(5, 4, seed=2)}
PADDED = {"pads": [1, 1, 1, 1]}


def residual(**changes: Any) -> onnx.ModelProto:
    """Conv, Relu, Conv added to what went in, mean, Gemm: 5 logits."""
    nodes = [
        node("Conv", "image w1", "a", **PADDED),
        node("Relu", "a", "b"),
        node("Conv", "b w2", "c", **PADDED),
        node("Add", "b c", "d"),
        node("GlobalAveragePool", "d", "e"),
        node("Flatten", "e", "f"),
        node("Gemm", "f w3", "out", transB=1),
    ]
    return graph(nodes, CONV_WEIGHTS, **changes)


def batch_norm_values(channels: int) -> dict[str, NDArray[np.float32]]:
    """Scale, shift, mean, variance."""
    rng = np.random.default_rng(3)
    return {
        name: rng.uniform(0.5, 1.5, channels).astype(np.float32) for name in ("scale", "shift", "mean", "var")
    }


def fixed_reshape(batch: int, image: Sequence[int | str] | None = None) -> onnx.ModelProto:
    """A network whose Reshape has the batch in it as a number."""
    nodes = [
        node("Conv", "image w1", "a", **PADDED),
        node("Reshape", "a shape", "b"),
        node("Gemm", "b w", "out"),
    ]
    weights = {"w1": CONV_WEIGHTS["w1"], "shape": np.array([batch, -1]), "w": drawn(256, 3)}
    return graph(nodes, weights, image=image or (batch, 3, 8, 8))


def merged_frames(batch: int) -> onnx.ModelProto:
    """A network in which frames of a batch see each other: each minus the batch's mean."""
    nodes = [
        node("Conv", "image w1", "a", **PADDED),
        node("ReduceMean", "a", "m", axes=[0], keepdims=1),
        node("Sub", "a m", "b"),
        node("Flatten", "b", "out"),
    ]
    return graph(nodes, {"w1": CONV_WEIGHTS["w1"]}, image=(batch, 3, 8, 8))


def network(model: onnx.ModelProto, **arguments: Any) -> Network:
    """A model as a network."""
    return network_of_graph(model, "net", "0" * 64, **arguments)


def save(model: onnx.ModelProto, folder: Path, name: str = "net.onnx", **arguments: Any) -> Path:
    """A model as a file."""
    onnx.save_model(model, str(folder / name), **arguments)
    return folder / name
