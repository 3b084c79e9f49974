"""A bundle whose cloud half does next to nothing, so that what is left is the service itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from siftfunnel.shared.bundle import Bundle, write_bundle


def write_null_bundle(directory: Path, real: Bundle) -> Bundle:
    """A bundle with the features, codecs and classes of a real one.

    Its cloud half is the mean of each channel and one linear layer with fixed weights.
    """
    manifest = replace(real.manifest, name="null")
    files = {
        "edge.onnx": real.path("edge.onnx").read_bytes(),
        "cloud.onnx": _mean_and_linear(manifest.feature.channels, len(manifest.classes)),
    }
    return write_bundle(directory, manifest, files, {"made_by": "siftfunnel.bench.serving.null_bundle"})


def _mean_and_linear(channels: int, num_classes: int) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(channels, num_classes)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["feature"], ["means"]),
            helper.make_node("Flatten", ["means"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "weights"], ["logits"]),
        ],
        "null",
        [helper.make_tensor_value_info("feature", TensorProto.FLOAT, ["batch", channels, "height", "width"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", num_classes])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())
