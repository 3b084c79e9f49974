"""The edge halves that are compared: as PyTorch's exporter writes them, as ours does, and in 8 bits."""

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from siftfunnel.bench.edge.int8 import quantise
from siftfunnel.lab.export.bundle import convert
from siftfunnel.lab.networks.registry import build_network
from siftfunnel.lab.networks.split import SplitNetwork, count_parameters

COMPARED = ("cnn-unprotected", "cnn-siftfunnel")
OURS, PLAIN, INT8 = "ours", "plain", "int8"
CALIBRATION_PICTURES = 20


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
