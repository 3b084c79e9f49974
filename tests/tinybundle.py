"""Real bundles that are small enough to make and run in milliseconds.

The graphs are written node by node with `onnx.helper`: random weights, real arithmetic, no
PyTorch. The edge half is a strided convolution with ReLU, the cloud half a linear layer, the
inverter a convolution followed by depth-to-space.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from siftfunnel.shared.bundle import Bundle, Inverter, write_bundle, write_inverter
from siftfunnel.shared.graphs import open_session
from siftfunnel.shared.manifest import FeatureSpec, LabelKind, Manifest
from siftfunnel.shared.preprocess import InputSpec, normalise
from siftfunnel.shared.wire import calibrate

IR_VERSION, OPSET = 9, 17
CALIBRATION_PICTURES = 24


def make_tiny_bundle(
    directory: str | Path,
    name: str = "tiny",
    classes: Sequence[str] = ("circle", "square", "triangle"),
    shape: tuple[int, int, int] = (12, 8, 8),
    input_size: int = 32,
    seed: int = 0,
    label_kind: LabelKind = "category",
    default_codec: str = "q6",
    defence: str = "none",
) -> Bundle:
    """Make a bundle in `directory` (which becomes the bundle itself) and load it.

    The same arguments give the same digest.
    """
    channels, height, width = shape
    if height != width or input_size % height:
        raise ValueError(f"a tiny edge half needs a square map whose side divides {input_size}, not {shape}")
    rng = np.random.default_rng(seed)
    spec = InputSpec(input_size, input_size)
    edge = _edge_model(rng, channels, stride=input_size // height)
    pictures = rng.integers(0, 256, (CALIBRATION_PICTURES, input_size, input_size, 3), dtype=np.uint8)
    manifest = Manifest(
        name=name,
        architecture="tiny",
        defence=defence,
        split_point="conv1",
        input=spec,
        feature=FeatureSpec(channels, height, width),
        classes=tuple(classes),
        label_kind=label_kind,
        codecs=calibrate(run_model(edge, normalise(_smooth(pictures), spec))),
        default_codec=default_codec,
    )
    files = {"edge.onnx": edge, "cloud.onnx": _cloud_model(rng, shape, len(classes))}
    return write_bundle(
        directory, manifest, files, {"provenance": {"seed": seed}, "made_by": "tests/tinybundle.py"}
    )


def make_tiny_inverter(directory: str | Path, bundle: Bundle, seed: int = 1) -> Inverter:
    """Make an inverter for a tiny bundle in `directory` and load it; its pictures are noise in [0, 1]."""
    feature = bundle.manifest.feature
    block = bundle.manifest.input.height // feature.height
    model = _inverter_model(np.random.default_rng(seed), feature.channels, block)
    return write_inverter(directory, bundle.name, bundle.digest, model, {"provenance": {"seed": seed}})


def run_model(model: bytes, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a model of one input and one output, one thread."""
    session = open_session(model, "a graph of the tests")
    (output,) = session.run(None, {session.get_inputs()[0].name: batch})
    return np.asarray(output, dtype=np.float32)


def _smooth(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures whose values differ more between pictures than within: nearer to real ones than noise."""
    means = pictures.mean(axis=(1, 2), keepdims=True)
    contrast = np.linspace(0.05, 1.0, len(pictures))[:, None, None, None]
    shift = np.linspace(-90, 90, len(pictures))[:, None, None, None]
    return np.clip((pictures - means) * contrast + 128 + shift, 0, 255).astype(np.uint8)


def _edge_model(rng: np.random.Generator, channels: int, stride: int) -> bytes:
    weights = rng.normal(0, 1 / stride, (channels, 3, stride, stride))
    nodes = [
        helper.make_node("Conv", ["image", "w", "b"], ["conv"], strides=[stride, stride]),
        helper.make_node("Relu", ["conv"], ["feature"]),
    ]
    constants = {"w": weights, "b": rng.normal(0, 0.5, channels)}
    return _model("edge", nodes, constants, ("image", 4), ("feature", 4))


def _cloud_model(rng: np.random.Generator, shape: tuple[int, int, int], num_classes: int) -> bytes:
    values = int(np.prod(shape))
    nodes = [
        helper.make_node("Flatten", ["feature"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w", "b"], ["logits"]),
    ]
    constants = {"w": rng.normal(0, values**-0.5, (values, num_classes)), "b": np.zeros(num_classes)}
    return _model("cloud", nodes, constants, ("feature", 4), ("logits", 2))


def _inverter_model(rng: np.random.Generator, channels: int, block: int) -> bytes:
    outputs = 3 * block * block
    nodes = [
        helper.make_node("Conv", ["feature", "w", "b"], ["conv"]),
        helper.make_node("DepthToSpace", ["conv"], ["large"], blocksize=block),
        helper.make_node("Sigmoid", ["large"], ["image"]),
    ]
    constants = {"w": rng.normal(0, channels**-0.5, (outputs, channels, 1, 1)), "b": np.zeros(outputs)}
    return _model("inverter", nodes, constants, ("feature", 4), ("image", 4))


def _model(
    name: str,
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[np.float64]],
    taken: tuple[str, int],
    given: tuple[str, int],
) -> bytes:
    def value(port: tuple[str, int]) -> onnx.ValueInfoProto:
        label, rank = port
        sides = ["batch", *(f"{label}_{axis}" for axis in range(1, rank))]
        return helper.make_tensor_value_info(label, TensorProto.FLOAT, sides)

    weights = [numpy_helper.from_array(w.astype(np.float32), label) for label, w in constants.items()]
    graph = helper.make_graph(nodes, name, [value(taken)], [value(given)], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
