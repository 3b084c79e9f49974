import numpy as np
import onnxruntime
import pytest

from siftfunnel.bench.halves import BareModel, edge_features, null_model, write_null_bundle
from tests.tinybundle import make_tiny_bundle


def test_the_null_model_gives_the_first_values_of_each_frame() -> None:
    session = onnxruntime.InferenceSession(null_model((2, 3, 3), 4), providers=["CPUExecutionProvider"])
    features = np.arange(36, dtype=np.float32).reshape(2, 2, 3, 3)
    assert session.run(None, {"feature": features})[0].tolist() == [[0, 1, 2, 3], [18, 19, 20, 21]]
    with pytest.raises(ValueError, match="fewer values than there are classes"):
        null_model((1, 1, 2), 3)


def test_a_null_bundle_has_the_features_and_codecs_of_the_real_one_and_the_bare_loop_counts_frames(tmp_path):
    real = make_tiny_bundle(tmp_path / "tiny")
    null = write_null_bundle(tmp_path / "null", real)
    assert (null.manifest.feature, null.manifest.codecs) == (real.manifest.feature, real.manifest.codecs)
    features, model = edge_features(real, 2), BareModel(null)
    classes = len(real.manifest.classes)
    assert np.array_equal(model.logits(features), features.reshape(2, -1)[:, :classes])
    assert len(model.run_s(features, 3)) == 3
    assert model.frames_per_s(features, 0.001) > 0
