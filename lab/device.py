"""An edge half as the device runs it: the graph, then the bundle's stages with fresh noise at every call."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.onnx_runner import BATCH, Graph, Runner
from siftfunnel.shared.manifest import EdgeStage
from siftfunnel.shared.stages import make_stages


class DeviceModel:
    """Normalised pictures to features as they leave the device, before any codec.

    Args:
        model: The edge half, as a file or its bytes.
        stages: As the manifest names them.

    Raises:
        NetworkError: a graph that does not load.
        StageError: a stage that is not known, or parameters that make no sense.
    """

    def __init__(self, model: Graph, stages: Sequence[EdgeStage]) -> None:
        self._graph = Runner(model)
        self._stages = make_stages(stages)

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of all pictures; batch by batch, for noise takes four times the room."""
        return np.concatenate(
            [self._one_batch(values[start : start + BATCH]) for start in range(0, len(values), BATCH)]
        )

    def _one_batch(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        features: NDArray[np.float32] = self._graph.first(values)
        for stage in self._stages:
            features = stage(features)
        return features
