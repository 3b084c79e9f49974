"""The cloud half behind its interface."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from siftfunnel.cloud_server.engine import (
    ENGINES,
    EngineError,
    EngineOptions,
    OnnxRuntimeEngine,
    batch_invariant,
    open_engine,
    warm_up,
)
from siftfunnel.shared.bundle import Bundle, load_bundle
from siftfunnel.shared.tensors import OutputSpec
from siftfunnel.shipped import assets_directory
from tests.cloud_server.conftest import Frames, model_file


def test_the_registry_lists_the_default() -> None:
    assert list(ENGINES) == ["onnxruntime", "torch", "open-inference", "ray-serve"]


def test_an_engine_gives_the_logits_of_the_model_for_any_batch_size(bundle: Bundle, frames: Frames) -> None:
    engine = open_engine("onnxruntime", model_file(bundle), bundle.manifest, EngineOptions())
    features = np.stack([frames.features(seed) for seed in range(5)])
    (logits,) = engine.run(features)
    assert np.argmax(logits, axis=1).tolist() == [frames.right_class(seed) for seed in range(5)]
    assert np.shape(engine.run(features[:1])[0]) == (1, 3)


def test_an_unknown_engine_is_refused_with_the_list(bundle: Bundle) -> None:
    with pytest.raises(
        EngineError, match="unknown engine 'abacus'; known: onnxruntime, torch, open-inference, ray-serve"
    ):
        open_engine("abacus", model_file(bundle), bundle.manifest, EngineOptions())


def test_no_thread_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="threads must be at least 1"):
        EngineOptions(threads=0)


@pytest.mark.parametrize("field", ["remote", "ray_address"])
def test_credentials_in_an_address_are_refused_and_not_repeated(field: str) -> None:
    with pytest.raises(ValueError, match="takes an address without a user or a password") as caught:
        EngineOptions(**{field: "someone:secret@cloud:8001"})
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_model_is_named(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "cloud.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(EngineError, match=r"cloud\.onnx: is no ONNX graph"):
        OnnxRuntimeEngine(path, bundle.manifest, EngineOptions())


def test_a_model_with_other_inputs_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(
        EngineError, match=r"edge\.onnx: needs the inputs feature, has image; export the bundle again"
    ):
        OnnxRuntimeEngine(bundle.path("edge.onnx"), bundle.manifest, EngineOptions())


def test_warming_up_finds_a_model_that_gives_another_number_of_classes(bundle: Bundle) -> None:
    engine = OnnxRuntimeEngine(model_file(bundle), bundle.manifest, EngineOptions())
    four = (OutputSpec("logits", "logits", (4,)),)
    with pytest.raises(
        EngineError, match=r"output logits of 1 frames is float32 \(3,\), .*says float32 \(4,\)"
    ):
        warm_up(engine, bundle.manifest.feature.shape, four, max_batch_size=2)


def test_warming_up_finds_a_model_that_takes_other_features(bundle: Bundle) -> None:
    engine = OnnxRuntimeEngine(model_file(bundle), bundle.manifest, EngineOptions())
    with pytest.raises(EngineError, match=r"does not take features of shape \(5, 8, 8\)"):
        warm_up(engine, (5, 8, 8), bundle.manifest.given, max_batch_size=2)


def test_a_fixed_batch_that_the_manifest_does_not_tell_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    model = onnx.load(model_file(bundle))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    path = tmp_path / "cloud.onnx"
    onnx.save(model, path)
    with pytest.raises(EngineError, match=r"takes 1 frames at once, .* the manifest says any number"):
        OnnxRuntimeEngine(path, bundle.manifest, EngineOptions())


@pytest.mark.parametrize("name", sorted(path.name for path in (assets_directory() / "bundles").iterdir()))
def test_what_is_said_of_batches_holds_for_every_size(name: str) -> None:
    shipped = load_bundle(assets_directory() / "bundles" / name, need=("cloud.onnx",))
    engine = OnnxRuntimeEngine(model_file(shipped), shipped.manifest, EngineOptions())
    features = np.random.default_rng(7).standard_normal((64, *shipped.manifest.feature.shape), np.float32)
    alone = np.concatenate([engine.run(features[one : one + 1])[0] for one in range(64)])
    together = [engine.run(features[:size])[0] for size in range(2, 65)]
    same = all(np.array_equal(rows, alone[: len(rows)]) for rows in together)
    assert batch_invariant(engine, shipped.manifest.feature.shape, 64) == same
    assert max(np.abs(rows - alone[: len(rows)]).max() for rows in together) < 1e-5


def test_of_a_model_that_looks_at_its_neighbours_it_is_said() -> None:
    class Neighbourly:
        batches_in_flight = None

        def run(self, features: NDArray[np.float32]) -> list[NDArray[np.float32]]:
            return [features.reshape(len(features), -1) - features.mean()]

    assert not batch_invariant(Neighbourly(), (3, 2, 2), 8)
    assert batch_invariant(Neighbourly(), (3, 2, 2), 1)
