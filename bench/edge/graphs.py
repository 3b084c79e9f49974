"""Edge halves compared, interleaved on one thread: as PyTorch exports them, as ours does, and in 8 bits.

Weights do not change how long a graph takes, so freshly initialised networks serve: no training is needed.
In 8 bits, by ONNX Runtime's static quantisation per channel, convolutions and pools are quantised; what lies
between them stays float32. Weights keep 7 bits: without VNNI the CPU adds pairs of products in 16 bits, which
8-bit weights overflow.
"""

import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from siftfunnel.lab.export.bundle import convert
from siftfunnel.lab.networks.registry import build_network
from siftfunnel.lab.networks.split import SplitNetwork, count_parameters
from siftfunnel.lab.onnx_runner import Runner, open_session, session_options
from siftfunnel.lab.turns import interleaved_times_ms, quartiles_ms
from siftfunnel.shared.bundle import Bundle

COMPARED = ("cnn-unprotected", "cnn-siftfunnel")
OURS, PLAIN, INT8 = "ours", "plain", "int8"
CALIBRATION_PICTURES = 20
QUANTISED = ("Conv", "MaxPool")


def measure_edge(*, width: int = 128, input_size: int = 64, rounds: int = 200) -> dict[str, Any]:
    """One picture through each edge half: quartiles, ratios, and each operator's share.

    Args:
        width: width n of both networks; the paper's is 128.
        input_size: side of the input in pixels.
        rounds: timed pictures per graph.
    """
    graphs, parameters = edge_variants(width=width, input_size=input_size)
    picture: NDArray[np.float32] = np.random.default_rng(0).standard_normal(
        (1, 3, input_size, input_size), dtype=np.float32
    )
    calls = {name: partial(Runner(graph).first, picture) for name, graph in graphs.items()}
    times = {name: quartiles_ms(taken) for name, taken in interleaved_times_ms(calls, rounds).items()}
    return {
        "width": width,
        "input_size": input_size,
        "threads": 1,
        "rounds": rounds,
        "edge_ms": times,
        "edge_parameters": parameters,
        "edge_bytes": {name: len(graph) for name, graph in graphs.items()},
        "siftfunnel_to_unprotected": {
            variant: round(
                times[f"cnn-siftfunnel/{variant}"]["p50"] / times[f"cnn-unprotected/{variant}"]["p50"], 3
            )
            for variant in (PLAIN, OURS, INT8)
        },
        "operators": {name: operator_times(graph, picture, rounds) for name, graph in graphs.items()},
    }


def fresh_network(architecture: str, *, width: int, input_size: int) -> SplitNetwork:
    """A freshly initialised network in evaluation mode: weights do not change how long a graph takes."""
    torch.manual_seed(0)
    return build_network(architecture, width=width, input_size=input_size, num_classes=10).eval()


def plain_export(network: SplitNetwork) -> bytes:
    """The edge half as ``torch.onnx.export`` writes it."""
    size = network.input_size
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "plain.onnx"
        # the exporter that needs no further package is the one PyTorch calls deprecated
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.edge,
            (torch.zeros(1, 3, size, size),),
            str(path),
            input_names=["image"],
            output_names=["feature"],
            dynamic_axes={"image": {0: "N"}, "feature": {0: "N"}},
            opset_version=17,
            dynamo=False,
        )
        return path.read_bytes()


def edge_variants(*, width: int, input_size: int) -> tuple[dict[str, bytes], Mapping[str, int]]:
    """Graphs by ``network/variant``, and each network's edge parameters.

    Args:
        width: width n of both networks; the paper's is 128.
        input_size: side of the input in pixels.
    """
    graphs, parameters = {}, {}
    noise: NDArray[np.float32] = np.random.default_rng(0).standard_normal(
        (CALIBRATION_PICTURES, 3, input_size, input_size), dtype=np.float32
    )
    for name in COMPARED:
        network = fresh_network(name, width=width, input_size=input_size)
        parameters[name] = count_parameters(network.edge)
        graphs[f"{name}/{PLAIN}"] = plain_export(network)
        graphs[f"{name}/{OURS}"] = convert(network).edge_onnx
        graphs[f"{name}/{INT8}"] = quantise(graphs[f"{name}/{OURS}"], noise)
    return graphs, parameters


def quantise(edge_onnx: bytes, pictures_NCHW: NDArray[np.float32]) -> bytes:
    """Quantise an edge half.

    Args:
        edge_onnx: its graph.
        pictures_NCHW: normalised pictures; the least and largest value of each tensor on them are its range.
    """
    from onnxruntime import quantization

    class Pictures(quantization.CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self._left: Iterator[Any] = iter(pictures_NCHW)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            picture = next(self._left, None)
            return None if picture is None else {"image": picture[None]}

    with tempfile.TemporaryDirectory() as folder, _quiet():
        float_path, int8_path = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        # the quantiser looks for weights as constants, not behind the Cast that stores them in half precision
        options = session_options(onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC)
        options.optimized_model_filepath = str(float_path)
        open_session(edge_onnx, options)
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


def operator_times(model: bytes, picture_NCHW: NDArray[np.float32], rounds: int) -> list[dict[str, Any]]:
    """Operators as they run after ONNX Runtime's own fusions, the longest first.

    Profiling itself adds some microseconds to every node.

    Args:
        model: the graph.
        picture_NCHW: its input.
        rounds: pictures run; the first tenth does not count.

    Returns:
        Per operator its name, how many nodes, and their median microseconds added up.
    """
    events = _profile(model, picture_NCHW, rounds + rounds // 10)
    durations_us: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            durations_us[event["args"]["op_name"], event["name"]].append(event["dur"])
    totals: dict[str, list[float]] = defaultdict(list)
    for (operator, _), durations in durations_us.items():
        totals[operator].append(float(np.median(durations[rounds // 10 :])))
    rows = [
        {"operator": operator, "nodes": len(times), "us": round(sum(times), 1)}
        for operator, times in totals.items()
    ]
    return sorted(rows, key=lambda row: -float(str(row["us"])))


def _profile(model: bytes, picture_NCHW: NDArray[np.float32], rounds: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = open_session(model, options)
        for _ in range(rounds):
            session.run(None, {"image": picture_NCHW})
        events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text())
        return events
