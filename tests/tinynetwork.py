"""Bundles of schema 2 as somebody's own network would make them, small enough to make in milliseconds.

make_tiny_network   everything that one can say: NHWC, uint8, letterbox, packed tensors, four kinds of
                    outputs, a self-test
make_own_bundle     a detector: no classes, a picture that is no square, boxes with scores, an embedding
own_bundle          any input, any tensors, any outputs of random weights
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from siftfunnel.shared import graphs
from siftfunnel.shared.bundle import Bundle, Inverter, write_bundle, write_inverter
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
CLASSES = ("blue", "green", "red")
SCORES = (OutputSpec("scores", "logits", (3,)),)
OWN_SIZE = (48, 64)
STRIDE, MAPS, NECK = 8, 8, 16
BOXES = (
    (0.1, 0.15, 0.45, 0.8),
    (0.55, 0.2, 0.95, 0.7),
    (0.12, 0.17, 0.44, 0.82),
    (0.0, 0.0, 0.2, 0.2),
    (0.7, 0.7, 1.0, 1.0),
    (0.4, 0.4, 0.6, 0.6),
)
BOX_SCORES = (0.97, 0.81, 0.6, 0.1, 0.05, 0.02)
_FLOATS = {"fp32": "float32", "fp16": "float16"}
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
        codecs=_codecs(2),
        default_codec="fp32",
        frames_per_run=frames_per_run,
        **changes,
    )
    edge, cloud = _edge(rng), _cloud(rng, given, frames_per_run)
    files = {"edge.onnx": edge, "cloud.onnx": cloud}
    return write_bundle(directory, manifest, files | self_test(manifest, files), {})


def self_test(manifest: Manifest, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The self-test's files of two halves."""
    sent, wanted = [tensor.name for tensor in manifest.sent], [output.name for output in manifest.given]

    def run_edge(tensor: NDArray[Any]) -> NDArray[np.float32]:
        return pack_arrays(run(files["edge.onnx"], {"image": tensor}, sent), manifest.sent)

    def run_cloud(feature: NDArray[np.float32]) -> list[NDArray[Any]]:
        tensors = unpack_array(feature, manifest.sent)
        fill = manifest.frames_per_run or 1
        feeds = {name: each.repeat(fill, axis=0) for name, each in zip(sent, tensors, strict=True)}
        return [array[:1] for array in run(files["cloud.onnx"], feeds, wanted)]

    return make_selftest(manifest, run_edge, run_cloud)


def own_bundle(
    folder: str | Path,
    spec: InputSpec,
    shapes: Sequence[tuple[int, ...]],
    outputs: tuple[OutputSpec, ...] = SCORES,
    cloud: bytes | None = None,
    seed: int = 5,
    **changes: Any,
) -> Bundle:
    """A bundle whose halves are random: each tensor one strided convolution, each output a linear layer.

    Args:
        folder: becomes the bundle.
        spec: of the input.
        shapes: of the tensors `t0`, `t1`, ... between the halves; one place is the mean over all.
        outputs: of the cloud half.
        cloud: another cloud half.
        seed: of the weights.
        changes: fields of the manifest.
    """
    rng = np.random.default_rng(seed)
    tensors = tuple(TensorSpec(f"t{index}", shape) for index, shape in enumerate(shapes))
    told: dict[str, Any] = {
        "name": "mine",
        "architecture": "foreign",
        "defence": "none",
        "split_point": "cut",
        "classes": CLASSES if any(output.is_scores for output in outputs) else (),
        "label_kind": "category",
        "default_codec": "fp16",
        "codecs": _codecs(len(tensors)),
        **changes,
    }
    manifest = Manifest(
        schema_version=2, input=spec, feature=pack(tensors), tensors=tensors, outputs=outputs, **told
    )
    edge = _any_edge(spec, tensors, rng)
    return write_bundle(
        folder, manifest, {"edge.onnx": edge, "cloud.onnx": cloud or _any_cloud(tensors, outputs, rng)}, {}
    )


def make_own_bundle(
    directory: str | Path, name: str = "own", size: tuple[int, int] = OWN_SIZE, seed: int = 0
) -> Bundle:
    """Make a detector's bundle in `directory`; boxes and scores are constants, the rest is the picture's.

    Args:
        directory: becomes the bundle.
        name: the bundle's.
        size: height and width of the input, multiples of `STRIDE`.
        seed: of the weights.
    """
    spec = InputSpec(*size, mean=(0.5,) * 3, std=(0.5,) * 3, crop="letterbox")
    shapes = ((MAPS, size[0] // STRIDE, size[1] // STRIDE), (NECK, 1, 1))
    tensors = tuple(TensorSpec(f"t{index}", shape) for index, shape in enumerate(shapes))
    return own_bundle(directory, spec, shapes, _detected(size), _detecting(size, tensors), seed, name=name)


def make_own_inverter(directory: str | Path, bundle: Bundle) -> Inverter:
    """An inverter for it; its pictures are no likeness."""
    height, width = bundle.manifest.input.height, bundle.manifest.input.width
    body = bundle.manifest.sent[0]
    nodes = [
        helper.make_node("Slice", ["feature", "from", "to", "axis"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["maps"]),
        helper.make_node("Conv", ["maps", "w"], ["conv"]),
        helper.make_node("DepthToSpace", ["conv"], ["large"], blocksize=STRIDE),
        helper.make_node("Sigmoid", ["large"], ["image"]),
    ]
    rng = np.random.default_rng(1)
    constants = {
        "from": np.asarray([0]),
        "to": np.asarray([body.size]),
        "axis": np.asarray([1]),
        "shape": np.asarray([-1, *body.shape]),
        "w": rng.normal(0, 0.3, (3 * STRIDE**2, MAPS, 1, 1)).astype(np.float32),
    }
    feature = bundle.manifest.feature.shape
    model = make_model(
        nodes,
        constants,
        [("feature", "float32", feature)],
        [("image", "float32", (3, height, width))],
    )
    return write_inverter(directory, bundle.name, bundle.digest, model, {})


def run(model: bytes, feeds: dict[str, NDArray[Any]], names: Sequence[str]) -> list[NDArray[Any]]:
    """Outputs by name, one thread."""
    session = graphs.open_session(model, "a graph of the tests")
    return graphs.run(session, feeds, names, "a graph of the tests")


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
    return make_model(nodes, constants, taken, [(each.name, "float32", each.shape) for each in SENT])


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
    constants: dict[str, np.ndarray] = {
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
        nodes,
        {name: value for name, value in constants.items() if name in needed},
        [(each.name, "float32", each.shape) for each in SENT],
        [(each.name, each.dtype, each.shape) for each in given],
        frames,
    )


def make_model(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, ArrayLike],
    taken: Sequence[Port],
    given: Sequence[Port],
    frames: int | None = None,
) -> bytes:
    """A graph that the checker accepts; every port has a batch axis beside its shape."""

    def value(port: Port) -> onnx.ValueInfoProto:
        label, dtype, shape = port
        axes = [frames or "batch", *(side or f"{label}_{axis}" for axis, side in enumerate(shape))]
        return helper.make_tensor_value_info(label, _ONNX_TYPES[dtype], axes)

    weights = [numpy_helper.from_array(np.asarray(array), label) for label, array in constants.items()]
    graph = helper.make_graph(
        list(nodes), "half", [value(each) for each in taken], [value(g) for g in given], weights
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _codecs(tensors: int) -> tuple[CodecSpec, ...]:
    plain = [CodecSpec(name, "float", {"dtype": dtype}) for name, dtype in _FLOATS.items()]
    return tuple(spec if tensors == 1 else packed(spec.name, [spec] * tensors) for spec in plain)


def _any_edge(spec: InputSpec, tensors: Sequence[TensorSpec], rng: np.random.Generator) -> bytes:
    nodes = [helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT)]
    nodes.append(
        helper.make_node("Transpose", ["float"], ["x"], perm=[0, 3, 1, 2])
        if spec.layout == "NHWC"
        else helper.make_node("Identity", ["float"], ["x"])
    )
    nodes.append(helper.make_node("GlobalAveragePool", ["x"], ["mean"]))
    constants = {}
    for tensor in tensors:
        channels, height, width = tensor.shape
        step = 1 if height == width == 1 else spec.height // height
        scale = 1 / step / (100 if spec.dtype == "uint8" else 1)
        constants[f"w_{tensor.name}"] = _normal(rng, scale, channels, spec.channels, step, step)
        taken = ["mean" if height == width == 1 else "x", f"w_{tensor.name}"]
        nodes.append(helper.make_node("Conv", taken, [tensor.name], strides=[step, step]))
    return make_model(nodes, constants, [("image", spec.dtype, spec.tensor_shape)], _ports(tensors))


def _any_cloud(
    tensors: Sequence[TensorSpec], outputs: Sequence[OutputSpec], rng: np.random.Generator
) -> bytes:
    flat = [f"flat_{tensor.name}" for tensor in tensors]
    nodes = [
        helper.make_node("Flatten", [t.name], [name], axis=1) for t, name in zip(tensors, flat, strict=True)
    ]
    nodes.append(helper.make_node("Concat", flat, ["all"], axis=1))
    constants: dict[str, ArrayLike] = {}
    total = sum(tensor.size for tensor in tensors)
    for output in outputs:
        sides = [side or 2 for side in output.shape]
        constants[f"v_{output.name}"] = _normal(rng, total**-0.5, total, int(np.prod(sides)))
        constants[f"s_{output.name}"] = np.array([-1, *sides])
        nodes.append(helper.make_node("MatMul", ["all", f"v_{output.name}"], [f"row_{output.name}"]))
        nodes.append(helper.make_node("Reshape", [f"row_{output.name}", f"s_{output.name}"], [output.name]))
    given = [(o.name, "float32", tuple(side or 2 for side in o.shape)) for o in outputs]
    return make_model(nodes, constants, _ports(tensors), given)


def _normal(rng: np.random.Generator, scale: float, *shape: int) -> NDArray[np.float32]:
    return rng.normal(0, scale, shape).astype(np.float32)


def _detected(size: tuple[int, int]) -> tuple[OutputSpec, ...]:
    return (
        OutputSpec("embedding", "embedding", (NECK,)),
        OutputSpec("boxes", "tensor", (len(BOXES), 4)),
        OutputSpec("scores", "tensor", (len(BOXES),)),
        OutputSpec("heat", "tensor", (1, size[0] // STRIDE, size[1] // STRIDE)),
    )


def _detecting(size: tuple[int, int], tensors: tuple[TensorSpec, ...]) -> bytes:
    height, width = size
    boxes = np.asarray(BOXES, np.float32) * np.asarray([width, height, width, height], np.float32)
    nodes = [
        helper.make_node("Flatten", ["t1"], ["embedding"]),
        helper.make_node("ReduceMean", ["t0"], ["heat"], axes=[1]),
        helper.make_node("Gemm", ["embedding", "none", "boxes_1"], ["boxes_flat"]),
        helper.make_node("Reshape", ["boxes_flat", "rows"], ["boxes"]),
        helper.make_node("Gemm", ["embedding", "no_score", "scores_1"], ["scores"]),
    ]
    constants = {
        "none": np.zeros((NECK, boxes.size), np.float32),
        "boxes_1": boxes.reshape(-1),
        "rows": np.asarray([-1, len(BOXES), 4]),
        "no_score": np.zeros((NECK, len(BOX_SCORES)), np.float32),
        "scores_1": np.asarray(BOX_SCORES, np.float32),
    }
    return make_model(nodes, constants, _ports(tensors), _ports(_detected(size)))


def _ports(specs: Sequence[TensorSpec | OutputSpec]) -> list[Port]:
    return [(each.name, "float32", each.shape) for each in specs]
