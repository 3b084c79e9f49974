"""A frame of which every value rounds to zero, such as a black picture's, arrives like any other."""

import numpy as np

from siftfunnel.shared.tensors import FeatureSpec
from siftfunnel.shared.wire import SealedCodec
from siftfunnel.shared.wire.signed_calibration import calibrate_signed


def test_a_frame_without_a_single_level_comes_back_as_zeros() -> None:
    features = np.random.default_rng(0).normal(size=(20, 6, 5, 4)).astype(np.float32)
    codec = SealedCodec(calibrate_signed("s", features, 0.5), 0, FeatureSpec(6, 5, 4), "0" * 64)
    silent = np.full((6, 5, 4), 0.01, np.float32)
    assert not codec.decode(codec.encode(silent)).any()
