"""A tiny bundle as somebody's own network would make it: schema 2, no classes, a picture that is no square.

image 3 x H x W -> body (8 maps) and neck (16 numbers)  |  -> embedding, boxes with scores, heat (a map)
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import helper

from siftfunnel.shared.bundle import Bundle, Inverter, write_bundle, write_inverter
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.manifest import CodecSpec, Manifest
from siftfunnel.shared.tensors import OutputSpec, TensorSpec, pack
from siftfunnel.shared.wire import packed
from tests.tinynetwork import Port, make_model

SIZE = (48, 64)
STRIDE, MAPS, NECK = 8, 8, 16
BOXES = (
    (0.1, 0.15, 0.45, 0.8),
    (0.55, 0.2, 0.95, 0.7),
    (0.12, 0.17, 0.44, 0.82),
    (0.0, 0.0, 0.2, 0.2),
    (0.7, 0.7, 1.0, 1.0),
    (0.4, 0.4, 0.6, 0.6),
)
SCORES = (0.97, 0.81, 0.6, 0.1, 0.05, 0.02)


def make_own_bundle(
    directory: str | Path, name: str = "own", size: tuple[int, int] = SIZE, seed: int = 0
) -> Bundle:
    """Make a bundle in `directory`; boxes and scores are constants, the rest depends on the picture.

    Args:
        directory: becomes the bundle.
        name: the bundle's.
        size: height and width of the input, multiples of `STRIDE`.
        seed: of the weights.
    """
    rng = np.random.default_rng(seed)
    tensors = _tensors(size)
    manifest = Manifest(
        name=name,
        architecture="tiny",
        defence="none",
        split_point="body, neck",
        input=InputSpec(*size, mean=(0.5,) * 3, std=(0.5,) * 3, crop="letterbox"),
        feature=pack(tensors),
        classes=(),
        label_kind="category",
        codecs=tuple(
            packed(name, [CodecSpec(name, "float", {"dtype": dtype})] * len(tensors))
            for name, dtype in (("fp32", "float32"), ("fp16", "float16"))
        ),
        default_codec="fp16",
        schema_version=2,
        tensors=tensors,
        outputs=_given(size),
    )
    return write_bundle(
        directory,
        manifest,
        {"edge.onnx": _edge(rng, tensors), "cloud.onnx": _cloud(size, tensors)},
        {"made_by": "tests/ownbundle.py"},
    )


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
        "inverter",
        nodes,
        constants,
        [("feature", "float32", feature)],
        [("image", "float32", (3, height, width))],
    )
    return write_inverter(directory, bundle.name, bundle.digest, model, {"made_by": "tests/ownbundle.py"})


def _tensors(size: tuple[int, int]) -> tuple[TensorSpec, ...]:
    body = (MAPS, size[0] // STRIDE, size[1] // STRIDE)
    return TensorSpec("body", body), TensorSpec("neck", (NECK, 1, 1))


def _given(size: tuple[int, int]) -> tuple[OutputSpec, ...]:
    return (
        OutputSpec("embedding", "embedding", (NECK,)),
        OutputSpec("boxes", "tensor", (len(BOXES), 4)),
        OutputSpec("scores", "tensor", (len(BOXES),)),
        OutputSpec("heat", "tensor", (1, size[0] // STRIDE, size[1] // STRIDE)),
    )


def _edge(rng: np.random.Generator, tensors: tuple[TensorSpec, ...]) -> bytes:
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["conv"], strides=[STRIDE, STRIDE]),
        helper.make_node("Relu", ["conv"], ["body"]),
        helper.make_node("GlobalAveragePool", ["conv"], ["mean"]),
        helper.make_node("Conv", ["mean", "v"], ["neck"]),
    ]
    constants = {
        "w": rng.normal(0, 1 / STRIDE, (MAPS, 3, STRIDE, STRIDE)).astype(np.float32),
        "v": rng.normal(0, 1, (NECK, MAPS, 1, 1)).astype(np.float32),
    }
    _, rows, columns = tensors[0].shape
    taken: list[Port] = [("image", "float32", (3, rows * STRIDE, columns * STRIDE))]
    return make_model("edge", nodes, constants, taken, _ports(tensors))


def _cloud(size: tuple[int, int], tensors: tuple[TensorSpec, ...]) -> bytes:
    height, width = size
    boxes = np.asarray(BOXES, np.float32) * np.asarray([width, height, width, height], np.float32)
    nodes = [
        helper.make_node("Flatten", ["neck"], ["embedding"]),
        helper.make_node("ReduceMean", ["body"], ["heat"], axes=[1]),
        helper.make_node("Gemm", ["embedding", "none", "boxes_1"], ["boxes_flat"]),
        helper.make_node("Reshape", ["boxes_flat", "rows"], ["boxes"]),
        helper.make_node("Gemm", ["embedding", "no_score", "scores_1"], ["scores"]),
    ]
    constants = {
        "none": np.zeros((NECK, boxes.size), np.float32),
        "boxes_1": boxes.reshape(-1),
        "rows": np.asarray([-1, len(BOXES), 4]),
        "no_score": np.zeros((NECK, len(SCORES)), np.float32),
        "scores_1": np.asarray(SCORES, np.float32),
    }
    return make_model("cloud", nodes, constants, _ports(tensors), _ports(_given(size)))


def _ports(specs: Sequence[TensorSpec | OutputSpec]) -> list[Port]:
    return [(each.name, "float32", each.shape) for each in specs]
