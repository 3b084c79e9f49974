"""A bundle of schema 2 that is small enough to make and run in milliseconds: everything that one can say.

image (NHWC, uint8, letterbox) -> maps [6, 8, 8] and pooled [6], packed
-> scores (probabilities), code (an embedding), spots (one row for each bright place), heat (float16)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from siftfunnel.shared.bundle import Bundle, write_bundle
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.manifest import CodecSpec, Manifest
from siftfunnel.shared.selftest import make_selftest
from siftfunnel.shared.tensors import OutputSpec, TensorSpec, pack, pack_arrays, unpack_array
from siftfunnel.shared.wire import packed
from tests.tinybundle import IR_VERSION, OPSET

SENT = (TensorSpec("maps", (6, 8, 8)), TensorSpec("pooled", (6,)))
GIVEN = (
    OutputSpec("scores", "probabilities", (3,)),
    OutputSpec("code", "embedding", (4,)),
    OutputSpec("heat", "tensor", (6, 8, 8), "float16"),
    OutputSpec("spots", "tensor", (None, 2), "int64"),
)
SIZE, BRIGHT = 32, 1.1
_ONNX_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
}

Port = tuple[str, str, Sequence[int | None]]
"""Name, type and shape without the batch axis."""


def make_tiny_network(
    directory: str | Path,
    *,
    name: str = "network",
    outputs: Sequence[str] = ("scores", "code", "heat", "spots"),
    frames_per_run: int | None = None,
    seed: int = 0,
    **changes: Any,
) -> Bundle:
    """Make a bundle in `directory` and load it.

    Args:
        directory: becomes the bundle.
        name: of the bundle.
        outputs: those of `GIVEN` that its cloud half has; without "scores" it has no classes.
        frames_per_run: a number of frames that the cloud half takes at once.
        seed: of its weights.
        changes: fields of the manifest.
    """
    rng = np.random.default_rng(seed)
    given = tuple(output for output in GIVEN if output.name in outputs)
    scored = "scores" in outputs
    manifest = Manifest(
        schema_version=2,
        name=name,
        architecture="tiny",
        defence="none",
        split_point="maps",
        input=InputSpec(
            SIZE, SIZE, (0.0,) * 3, (1.0,) * 3, "letterbox", scale=1.0, layout="NHWC", dtype="uint8"
        ),
        tensors=SENT,
        feature=pack(SENT),
        outputs=given,
        classes=("crane", "crane", "kite") if scored else (),
        class_ids=("n1", "n2", "n3") if scored else (),
        label_kind="category",
        codecs=(
            packed("fp32", [CodecSpec("fp32", "float", {"dtype": "float32"})] * 2),
            packed("fp16", [CodecSpec("fp16", "float", {"dtype": "float16"})] * 2),
        ),
        default_codec="fp32",
        frames_per_run=frames_per_run,
        **changes,
    )
    edge, cloud = _edge(rng), _cloud(rng, given, frames_per_run)
    sent, wanted = [tensor.name for tensor in SENT], [output.name for output in given]

    def run_cloud(feature: NDArray[np.float32]) -> list[NDArray[Any]]:
        tensors = unpack_array(feature, SENT)
        fill = frames_per_run or 1
        feeds = {name: each.repeat(fill, axis=0) for name, each in zip(sent, tensors, strict=True)}
        return [array[:1] for array in run(cloud, feeds, wanted)]

    tests = make_selftest(
        manifest, lambda tensor: pack_arrays(run(edge, {"image": tensor}, sent), SENT), run_cloud
    )
    return write_bundle(directory, manifest, {"edge.onnx": edge, "cloud.onnx": cloud, **tests}, {})


def run(model: bytes, feeds: dict[str, NDArray[Any]], names: Sequence[str]) -> list[NDArray[Any]]:
    """Outputs by name, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [np.asarray(array) for array in session.run(list(names), feeds)]


def said_of(bundle: Bundle, tensor: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """What the whole network says of one input, without batch axis: what answers are held against."""
    sent = run(bundle.read("edge.onnx"), {"image": tensor}, [each.name for each in SENT])
    feeds = {each.name: array for each, array in zip(SENT, sent, strict=True)}
    names = [output.name for output in bundle.manifest.given]
    return dict(zip(names, (each[0] for each in run(bundle.read("cloud.onnx"), feeds, names)), strict=True))


def _edge(rng: np.random.Generator) -> bytes:
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["planes", "scale"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "w", "b"], ["conv"], strides=[4, 4]),
        helper.make_node("Relu", ["conv"], ["maps"]),
        helper.make_node("ReduceMean", ["maps"], ["pooled"], axes=[2, 3], keepdims=0),
    ]
    constants = {
        "scale": np.array(1 / 255, np.float32),
        "w": rng.normal(0, 0.25, (6, 3, 4, 4)).astype(np.float32),
        "b": rng.normal(0, 0.5, 6).astype(np.float32),
    }
    taken: list[Port] = [("image", "uint8", (SIZE, SIZE, 3))]
    return make_model("edge", nodes, constants, taken, [(each.name, "float32", each.shape) for each in SENT])


def _cloud(rng: np.random.Generator, given: Sequence[OutputSpec], frames: int | None) -> bytes:
    values = SENT[0].size
    parts = {
        "scores": [
            helper.make_node("Flatten", ["maps"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "w"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
        ],
        "code": [helper.make_node("Gemm", ["pooled", "v"], ["code"])],
        "heat": [helper.make_node("Cast", ["maps"], ["heat"], to=TensorProto.FLOAT16)],
        "spots": [
            helper.make_node("ReduceMax", ["maps"], ["brightest"], axes=[0, 1], keepdims=0),
            helper.make_node("Greater", ["brightest", "bright"], ["lit"]),
            helper.make_node("NonZero", ["lit"], ["places"]),
            helper.make_node("Transpose", ["places"], ["rows"], perm=[1, 0]),
            helper.make_node("Unsqueeze", ["rows", "first"], ["spots"]),
        ],
    }
    constants = {
        "w": rng.normal(0, 4 * values**-0.5, (values, 3)).astype(np.float32),
        "v": rng.normal(0, 1, (6, 4)).astype(np.float32),
        "bright": np.array(BRIGHT, np.float32),
        "first": np.array([0], np.int64),
    }
    nodes = [node for output in given for node in parts[output.name]]
    needed = {name for node in nodes for name in node.input}
    # a half that does not read a tensor would not have it as an input
    nodes += [
        helper.make_node("Identity", [tensor.name], [f"{tensor.name}_unread"])
        for tensor in SENT
        if tensor.name not in needed
    ]
    return make_model(
        "cloud",
        nodes,
        {name: value for name, value in constants.items() if name in needed},
        [(each.name, "float32", each.shape) for each in SENT],
        [(each.name, each.dtype, each.shape) for each in given],
        frames,
    )


def make_model(
    name: str,
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
    taken: Sequence[Port],
    given: Sequence[Port],
    frames: int | None = None,
) -> bytes:
    """A graph that the checker accepts; every port has a batch axis beside its shape."""

    def value(port: Port) -> onnx.ValueInfoProto:
        label, dtype, shape = port
        axes = [frames or "batch", *(side or f"{label}_{axis}" for axis, side in enumerate(shape))]
        return helper.make_tensor_value_info(label, _ONNX_TYPES[dtype], axes)

    weights = [numpy_helper.from_array(array, label) for label, array in constants.items()]
    graph = helper.make_graph(
        nodes, name, [value(each) for each in taken], [value(g) for g in given], weights
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
