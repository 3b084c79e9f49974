"""Small networks, cut, and pictures for them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from PIL import Image

from siftfunnel.lab.split.features import Ends, Seen, see
from siftfunnel.lab.split.fit import fit_run
from siftfunnel.lab.split.folder import SplitRun
from siftfunnel.lab.split.halves import Halves
from siftfunnel.lab.split.settings import FitSettings
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.tensors import OutputSpec, TensorSpec
from tests.tinynetwork import make_model

SPEC = InputSpec(16, 16, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
GENERATOR = np.random.default_rng(0)


def pictures(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colour fields of 16x16."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, (16, 16), mode="bicubic").clamp(0, 1)
    return (fine * 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def stored_pictures(place: Path, count: int, seed: int = 5) -> Path:
    """Those pictures as files."""
    place.mkdir(exist_ok=True)
    for number, picture in enumerate(pictures(count, seed)):
        Image.fromarray(picture).save(place / f"{number}.png")
    return place


def _model(
    nodes: list[onnx.NodeProto],
    ins: dict[str, tuple[int, ...]],
    outs: dict[str, tuple[int, ...]],
    weights: dict[str, NDArray[np.float32]],
) -> onnx.ModelProto:
    taken, given = ([(name, "float32", shape) for name, shape in side.items()] for side in (ins, outs))
    return onnx.load_from_string(make_model(nodes, weights, taken, given))


def _drawn(*shape: int, seed: int) -> NDArray[np.float32]:
    fan_in = int(np.prod(shape[1:]))
    drawn = np.random.default_rng(seed).normal(size=shape) / np.sqrt(fan_in)
    return np.asarray(drawn, np.float32)


def classifier(kind: str = "logits", *, ignored: int = 0, operator: str | None = None) -> Halves:
    """A convolution to 6 x 8 x 8 on the device; another, a pool and 5 classes in the cloud.

    Args:
        kind: Of the output; probabilities and embeddings are made so.
        ignored: How many of the 6 channels the cloud half multiplies by 0.
        operator: One that is put before the output, doing nothing.
    """
    edge = _model(
        [helper.make_node("Conv", ["image", "w"], ["maps"], strides=[2, 2], pads=[1, 1, 1, 1])],
        {"image": (3, 16, 16)},
        {"maps": (6, 8, 8)},
        {"w": 3 * _drawn(6, 3, 3, 3, seed=1)},
    )
    second = _drawn(8, 6, 3, 3, seed=2)
    second[:, : ignored or 0] = 0
    nodes = [
        helper.make_node("Conv", ["maps", "w"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["c"]),
        helper.make_node("Gemm", ["c", "v"], ["d"], transB=1),
    ]
    last = {"logits": "Identity", "probabilities": "Softmax"}
    if kind == "embedding":
        nodes.append(helper.make_node("ReduceL2", ["d"], ["length"], axes=[1]))
        nodes.append(helper.make_node("Div", ["d", "length"], ["e"]))
    else:
        nodes.append(helper.make_node(last.get(kind, "Identity"), ["d"], ["e"]))
    nodes.append(helper.make_node(operator or "Identity", ["e"], ["out"]))
    cloud = _model(nodes, {"maps": (6, 8, 8)}, {"out": (5,)}, {"w": second, "v": 6 * _drawn(5, 128, seed=3)})
    tensors, outputs = (
        (TensorSpec("maps", (6, 8, 8)),),
        (OutputSpec("out", kind, (5,)),),
    )  # a word of OutputKind
    return Halves(edge, cloud, tensors, outputs, None, None, 0.0)


def of_two_frames() -> Halves:
    """A classifier whose cloud half takes two frames at once, neither more nor less."""
    made = classifier()
    cloud = onnx.ModelProto()
    cloud.CopyFrom(made.cloud)
    (flatten,) = (node for node in cloud.graph.node if node.op_type == "Flatten")
    flatten.op_type = "Reshape"
    flatten.input.append("two")
    cloud.graph.initializer.append(numpy_helper.from_array(np.array([2, 128], np.int64), "two"))
    return Halves(made.edge, cloud, made.tensors, made.outputs, None, 2, 0.0)


def two_tensors() -> Halves:
    """Two tensors between the halves, one of maps and one vector; an output that is no score."""
    edge = _model(
        [
            helper.make_node("Conv", ["image", "w"], ["maps"], strides=[4, 4]),
            helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["vector"]),
        ],
        {"image": (3, 16, 16)},
        {"maps": (4, 4, 4), "vector": (3,)},
        {"w": _drawn(4, 3, 4, 4, seed=1)},
    )
    cloud = _model(
        [
            helper.make_node("Flatten", ["maps"], ["flat"]),
            helper.make_node("Concat", ["flat", "vector"], ["all"], axis=1),
            helper.make_node("Gemm", ["all", "v"], ["d"], transB=1),
            helper.make_node("Tanh", ["d"], ["out"]),
        ],
        {"maps": (4, 4, 4), "vector": (3,)},
        {"out": (7,)},
        {"v": _drawn(7, 67, seed=2)},
    )
    tensors = (TensorSpec("maps", (4, 4, 4)), TensorSpec("vector", (3,)))
    return Halves(edge, cloud, tensors, (OutputSpec("out", "tensor", (7,)),), None, None, 0.0)


def quiet(text: str) -> None:
    """Say nothing."""


def fitted(
    halves: Halves,
    pictures: Path,
    folder: Path,
    settings: FitSettings,
    *,
    side: int | None = None,
    **changes: Any,
) -> SplitRun:
    """A run of halves that nobody cut from a network; with a side of patches, only that one is tried."""
    told: dict[str, Any] = {
        "network": "tiny",
        "original_sha256": "0" * 64,
        "cut": "maps",
        "macs": (100, 1000),
    }
    run = SplitRun(spec=SPEC, halves=halves, pictures=pictures, **{**told, **changes})
    with pytest.MonkeyPatch.context() as patch:
        if side is not None:
            patch.setattr("siftfunnel.lab.split.funnel.possible_sides", lambda maps: (side,))
        return fit_run(run, settings, folder, quiet)


def seen(halves: Halves, count: int, seed: int = 0) -> tuple[Ends, Seen]:
    """A cut network and what it made of pictures."""
    ends = Ends(halves)
    return ends, see(ends, pictures(count, seed), SPEC)
