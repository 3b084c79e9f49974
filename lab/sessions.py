"""Running an exported half with ONNX Runtime, on one thread, in batches."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from siftfunnel.shared.manifest import EdgeStage
from siftfunnel.shared.stages import make_stages

BATCH = 100


class OnnxModel:
    """A model with one input and one output, from a file or from its bytes."""

    def __init__(self, model: bytes | Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        source = str(model) if isinstance(model, Path) else model
        self._session: Any = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run all of ``values`` (the first axis is the batch)."""
        outputs = [
            self._session.run(None, {self._input: np.ascontiguousarray(values[start : start + BATCH])})[0]
            for start in range(0, len(values), BATCH)
        ]
        return np.concatenate(outputs)


class DeviceModel:
    """An edge half as the device runs it: the graph, then the bundle's stages with fresh noise at every call.

    Args:
        model: The edge half, as a file or its bytes.
        stages: As the manifest names them.

    Raises:
        StageError: a stage that is not known, or parameters that make no sense.
    """

    def __init__(self, model: bytes | Path, stages: Sequence[EdgeStage]) -> None:
        self._graph = OnnxModel(model)
        self._stages = make_stages(stages)

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features as they leave the device; batch by batch, for noise takes four times the room."""
        return np.concatenate(
            [self._one_batch(values[start : start + BATCH]) for start in range(0, len(values), BATCH)]
        )

    def _one_batch(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        features = self._graph(values)
        for stage in self._stages:
            features = stage(features)
        return features
