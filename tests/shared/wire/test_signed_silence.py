"""A frame of which nothing is left crosses the wire as well."""

import numpy as np

from siftfunnel.shared.tensors import FeatureSpec
from siftfunnel.shared.wire.codec import SealedCodec
from siftfunnel.shared.wire.signed_calibration import calibrate_signed


def test_a_frame_whose_channels_are_all_silent_comes_back_as_zeros() -> None:
    drawn = np.random.default_rng(0).normal(size=(40, 5, 4, 4)).astype(np.float32)
    codec = SealedCodec(calibrate_signed("s", drawn, 0.5), 0, FeatureSpec(5, 4, 4), "0" * 64)
    silent = np.full((5, 4, 4), 0.01, np.float32)
    assert np.array_equal(codec.decode(codec.encode(silent)), np.zeros((5, 4, 4), np.float32))
