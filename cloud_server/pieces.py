"""A batch as the cloud half takes it: tensors apart, and as many frames at once as it can.

features [N, C, H, W] -> tensors of a run -> the graph -> outputs of a run -> outputs of N frames
"""

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.batches import Compute, PerFrame, in_pieces
from siftfunnel.shared.manifest import Manifest
from siftfunnel.shared.tensors import unpack_array

Outputs = tuple[PerFrame, ...]
"""One for each of `Manifest.given`."""


class Pieces:
    """Runs batches of any size through a bundle's cloud half.

    Args:
        manifest: the bundle's.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._tensors = manifest.sent
        self._fixed = manifest.frames_per_run
        self._alone = any(None in output.shape for output in manifest.given)
        self._as_it_is = len(self._tensors) == 1 and self._tensors[0].shape == manifest.feature.shape

    @property
    def whole(self) -> bool:
        """Whether batches run in one piece, and so may be joined to larger ones."""
        return self._fixed is None and not self._alone

    def run(self, features_NCHW: NDArray[np.float32], compute: Compute) -> Outputs:
        """The outputs of a batch."""
        tensors = (features_NCHW,) if self._as_it_is else unpack_array(features_NCHW, self._tensors)
        return in_pieces(tensors, compute, self._fixed, self._alone)
