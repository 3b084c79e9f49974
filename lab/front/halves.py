"""A bundle's two halves as they are deployed: ONNX Runtime, one thread, batches; labels of a data set."""

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.device import DeviceModel
from siftfunnel.lab.onnx_runner import BATCH, Runner
from siftfunnel.shared.bundle import CLOUD, EDGE, Bundle
from siftfunnel.shared.preprocess import normalise
from siftfunnel.shared.wire import SealedCodec, make_codecs


class Halves:
    """Edge half with the device's stages, codecs and cloud half of one bundle.

    Args:
        bundle: Loaded with both halves.
        classes: The data set's, in the order of its labels.

    Raises:
        DataError: the bundle does not know one of the classes.
    """

    def __init__(self, bundle: Bundle, classes: tuple[str, ...]) -> None:
        known = bundle.manifest.classes
        unknown = [name for name in classes if name not in known]
        if unknown:
            raise DataError(
                f"bundle {bundle.name} does not know the class {unknown[0]!r} of these pictures; "
                "give the data set that it was trained for (--dataset)"
            )
        self.bundle = bundle
        self.codecs: tuple[SealedCodec, ...] = make_codecs(bundle.manifest, bundle.digest)
        self._positions = np.array([known.index(name) for name in classes], dtype=np.int64)
        self._edge = DeviceModel(bundle.path(EDGE), bundle.manifest.edge_stages)
        self._cloud = Runner(bundle.path(CLOUD))

    def normalised(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pictures as the edge half takes them."""
        return normalise(images_NHWC, self.bundle.manifest.input)

    def edge(self, x_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of normalised pictures as they leave the device, before any codec."""
        return self._edge(x_NCHW)

    def features(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features of ``uint8`` pictures; batch by batch, for floats take four times the room."""
        parts = range(0, len(images_NHWC), BATCH)
        return np.concatenate(
            [self._edge(self.normalised(images_NHWC[start : start + BATCH])) for start in parts]
        )

    def right(self, features_NCHW: NDArray[np.float32], labels_N: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which features the cloud half answers rightly."""
        answers_N = self._cloud.first(features_NCHW).argmax(axis=1)
        return np.asarray(answers_N == self._positions[labels_N], dtype=bool)
