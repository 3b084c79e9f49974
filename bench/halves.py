"""A bundle's halves under measurement: features to send, the bare cloud half, and one that does nothing."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siftfunnel.edge_client.model import EdgeModel
from siftfunnel.shared.bundle import CLOUD, EDGE, Bundle, write_bundle
from siftfunnel.shared.graphs import open_session

_IR_VERSION, _OPSET = 9, 17
_STEP = 16


def edge_features(bundle: Bundle, count: int = 64) -> NDArray[np.float32]:
    """Features [count, C, H, W] of random pictures, as sparse and as scaled as the device sends them."""
    spec = bundle.manifest.input
    pictures = np.random.default_rng(0).standard_normal((count, *spec.tensor_shape)).astype(spec.dtype)
    return EdgeModel(bundle).features(pictures)


class BareModel:
    """The cloud half in ONNX Runtime on one thread that does not spin, nothing around it.

    Args:
        bundle: Whose cloud half runs.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._session = open_session(bundle.read(CLOUD), f"bundle {bundle.name}: {CLOUD}")
        self._input = self._session.get_inputs()[0].name

    def logits(self, features_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Its first output [N, K]."""
        found: NDArray[np.float32] = self._session.run(None, {self._input: features_NCHW})[0]
        return found

    def run_s(self, features_NCHW: NDArray[np.float32], runs: int) -> list[float]:
        """Seconds of each of so many runs in a loop."""
        piece = np.ascontiguousarray(features_NCHW)
        seconds = []
        for _ in range(runs):
            started_s = time.perf_counter()
            self._session.run(None, {self._input: piece})
            seconds.append(time.perf_counter() - started_s)
        return seconds

    def frames_per_s(self, features_NCHW: NDArray[np.float32], seconds: float) -> float:
        """Frames per second in a loop at the batch size of the features, after one run that is dropped."""
        self.run_s(features_NCHW, 1)
        runs, taken_s = 0, 0.0
        while taken_s < seconds:
            taken_s += sum(self.run_s(features_NCHW, _STEP))
            runs += _STEP
        return runs * len(features_NCHW) / taken_s


def write_null_bundle(directory: Path, bundle: Bundle) -> Bundle:
    """The same bundle with a cloud half that takes its first values as logits: what is left is the serving.

    Raises:
        ValueError: a feature has fewer values than there are classes.
    """
    manifest = bundle.manifest
    files = {EDGE: bundle.read(EDGE), CLOUD: null_model(manifest.feature.shape, len(manifest.classes))}
    return write_bundle(directory, replace(manifest, name=f"{manifest.name}-null"), files, {})


def null_model(shape: tuple[int, int, int], classes: int) -> bytes:
    """``feature`` [N, C, H, W] to ``logits`` [N, K]: the first K values of each frame.

    Raises:
        ValueError: there are fewer than K values.
    """
    from onnx import checker, parser

    channels, height, width = shape
    if classes > channels * height * width:
        raise ValueError(f"a feature of {shape} has fewer values than there are classes ({classes})")
    model = parser.parse_model(f"""
        <ir_version: {_IR_VERSION}, opset_import: ["": {_OPSET}]>
        null (float[N, {channels}, {height}, {width}] feature) => (float[N, {classes}] logits)
        <int64[1] begin = {{0}}, int64[1] end = {{{classes}}}, int64[1] axis = {{1}}>
        {{ flat = Flatten <axis = 1> (feature)  logits = Slice (flat, begin, end, axis) }}
    """)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
