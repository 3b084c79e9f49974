"""The whole network in one place: edge half, then cloud half, as edge-only and cloud-only run it."""

import numpy as np
from numpy.typing import NDArray

from siftfunnel.cloud_server.answers import Reading
from siftfunnel.cloud_server.engine import EngineOptions, OnnxRuntimeEngine
from siftfunnel.cloud_server.pieces import Outputs
from siftfunnel.edge_client.model import EdgeModel
from siftfunnel.shared.bundle import Bundle

CLOUD_FILE = "cloud.onnx"


class WholeNetwork:
    """A bundle's two halves, one after the other, without a codec between them; an `Engine` of pictures.

    Args:
        bundle: Loaded.
        threads: Of each half.

    Attributes:
        batches_in_flight: As many as this machine's cores ask for; see `Engine`.
    """

    batches_in_flight: int | None = None

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.bundle = bundle
        self._edge = EdgeModel(bundle, threads=threads)
        self._cloud = OnnxRuntimeEngine(bundle.path(CLOUD_FILE), bundle.manifest, EngineOptions(threads))
        self._reading = Reading(bundle.manifest.given)

    def run(self, pictures_NCHW: NDArray[np.float32]) -> Outputs:
        """The outputs of normalised pictures."""
        return self._cloud.run(self._edge.features(pictures_NCHW))

    def class_names(self, pictures_NCHW: NDArray[np.float32]) -> list[str]:
        """The best class of each picture."""
        classes = self.bundle.manifest.classes
        rankings = self._reading.rank(self.run(pictures_NCHW), top_k=1)
        return [classes[ranking[0][0]] if ranking and ranking[0] else "" for ranking in rankings]
