"""Codecs beside JPEG: shape of the result, never times."""

import numpy as np
from PIL import Image

from siftfunnel.bench.edge.against_jpeg import measure_against_jpeg
from siftfunnel.shared.wire import calibrate_signed, make_codecs
from tests.shared.wire.test_codec import DIGEST, manifest_with


def test_every_codec_stands_beside_the_jpegs_of_the_pictures_it_replaces():
    rng = np.random.default_rng(0)
    features = rng.laplace(0, 1, (20, 8, 5, 5)).astype(np.float32)
    codecs = make_codecs(manifest_with((calibrate_signed("s1", features, 1.0),), (8, 5, 5)), DIGEST)
    pictures = [Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in features]
    result = measure_against_jpeg(codecs, list(features), pictures, rounds=5)
    codec = result["codecs"]["s1"]
    payloads = [codecs[0].encode(feature) for feature in features]
    assert codec["payload_bytes_mean"] == round(np.mean([len(payload) for payload in payloads]), 1)
    assert result["jpeg"]["75"]["bytes_mean"] > result["jpeg"]["50"]["bytes_mean"]
    for step in ("encode", "decode"):
        assert all(value > 0 for value in codec[f"{step}_ms"].values())
        assert codec[f"{step}_to_jpeg_75"] > 0
