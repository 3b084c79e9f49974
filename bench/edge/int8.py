"""An edge half in 8 bits: ONNX Runtime's static quantisation, per channel, and what it costs in accuracy.

Convolutions and pools are quantised; what lies between them stays float32. Weights keep 7 bits: without VNNI
the CPU adds pairs of products in 16 bits, which 8-bit weights overflow.
"""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.shared.bundle import Bundle

QUANTISED = ("Conv", "MaxPool")


def quantise(edge_onnx: bytes, pictures_NCHW: NDArray[np.float32]) -> bytes:
    """Quantise an edge half.

    Args:
        edge_onnx: its graph.
        pictures_NCHW: normalised pictures; the least and largest value of each tensor on them are its range.
    """
    import onnxruntime
    from onnxruntime import quantization

    class Pictures(quantization.CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self._left: Iterator[Any] = iter(pictures_NCHW)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            picture = next(self._left, None)
            return None if picture is None else {"image": picture[None]}

    with tempfile.TemporaryDirectory() as folder, _quiet():
        float_path, int8_path = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        options = onnxruntime.SessionOptions()
        # the quantiser looks for weights as constants, not behind the Cast that stores them in half precision
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(float_path)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(edge_onnx, options, providers=["CPUExecutionProvider"])
        quantization.quantize_static(
            float_path,
            int8_path,
            Pictures(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return int8_path.read_bytes()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser prints advice and warnings about what we mean to do."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def measure_accuracy(
    bundle: Bundle,
    calibration_NCHW: NDArray[np.float32],
    pictures_NCHW: NDArray[np.float32],
    labels: NDArray[np.int64],
) -> dict[str, Any]:
    """Accuracy of a bundle's edge half in float32 and in 8 bits before its own cloud half.

    Args:
        bundle: both halves.
        calibration_NCHW: normalised training pictures.
        pictures_NCHW: normalised pictures to classify.
        labels: their classes.

    Returns:
        Both accuracies, and the root mean square error of the feature as a share of its root mean square.
    """
    cloud = Runner(bundle.path("cloud.onnx"))
    edge_onnx = bundle.path("edge.onnx").read_bytes()
    exact = Runner(edge_onnx).first(pictures_NCHW)
    coarse = Runner(quantise(edge_onnx, calibration_NCHW)).first(pictures_NCHW)
    correct = [float((cloud.first(features).argmax(1) == labels).mean()) for features in (exact, coarse)]
    return {
        "pictures": len(labels),
        "calibrated_on": len(calibration_NCHW),
        "accuracy_float32": round(correct[0], 4),
        "accuracy_int8": round(correct[1], 4),
        "feature_error": round(float(np.sqrt(np.mean((coarse - exact) ** 2) / np.mean(exact**2))), 4),
    }
