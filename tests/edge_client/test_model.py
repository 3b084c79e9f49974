"""The edge half alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from siftfunnel.edge_client import EdgeModel
from siftfunnel.edge_client.errors import EdgeError, ModelError
from siftfunnel.shared.bundle import Bundle, BundleError, EdgeStage, FeatureSpec, write_bundle
from tests.tinybundle import run_model


def test_features_are_what_the_graph_computes(bundle: Bundle) -> None:
    tensor = np.random.default_rng(0).normal(size=(5, 3, 32, 32)).astype(np.float32)
    features = EdgeModel(bundle).features(tensor)
    assert features.shape == (5, 12, 8, 8)
    np.testing.assert_array_equal(features, run_model(bundle.path("edge.onnx").read_bytes(), tensor))


def test_a_bundle_is_found_by_folder_and_by_name(bundle: Bundle) -> None:
    assert EdgeModel(bundle.directory).bundle.digest == bundle.digest
    assert EdgeModel(str(bundle.directory)).bundle.digest == bundle.digest
    assert EdgeModel("tiny", bundles=[bundle.directory.parent]).bundle.digest == bundle.digest


def test_an_unknown_name_lists_what_there_is(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"no bundle 'tinny'.*tiny.*--bundles"):
        EdgeModel("tinny", bundles=[bundle.directory.parent])


def test_a_folder_of_bundles_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere: no such folder of bundles"):
        EdgeModel("tiny", bundles=[tmp_path / "nowhere"])


def test_a_folder_without_a_bundle_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle here"):
        EdgeModel(tmp_path)


def test_a_tensor_of_another_size_is_refused(bundle: Bundle) -> None:
    with pytest.raises(ModelError, match=r"tiny: edge\.onnx fails"):
        EdgeModel(bundle).features(np.zeros((1, 4, 32, 32), np.float32))


def test_a_graph_that_does_not_fit_its_manifest_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    manifest = replace(bundle.manifest, feature=FeatureSpec(12, 4, 4))
    files = {name: bundle.path(name).read_bytes() for name in ("edge.onnx", "cloud.onnx")}
    wrong = write_bundle(tmp_path / "wrong", manifest, files, {})
    with pytest.raises(
        ModelError,
        match=r"tensor feature: expected float32 of shape \(1, 12, 4, 4\), not float32 \(1, 12, 8, 8\)",
    ):
        EdgeModel(wrong)


def test_a_file_that_is_no_graph_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    broken = write_bundle(tmp_path / "broken", bundle.manifest, {"edge.onnx": b"junk"}, {})
    with pytest.raises(ModelError, match=r"edge\.onnx: is no ONNX graph"):
        EdgeModel(broken)


def test_the_bundles_stages_are_applied(bundle: Bundle, tmp_path: Path) -> None:
    manifest = replace(bundle.manifest, edge_stages=(EdgeStage("gaussian-noise", {"sigma": 2.0}),))
    files = {name: bundle.path(name).read_bytes() for name in ("edge.onnx", "cloud.onnx")}
    noisy = EdgeModel(write_bundle(tmp_path / "noisy", manifest, files, {}))
    tensor = np.zeros((8, 3, 32, 32), np.float32)
    noise = noisy.features(tensor) - EdgeModel(bundle).features(tensor)
    assert float(noise.std()) == pytest.approx(2.0, rel=0.1)


def test_a_bundle_with_an_unknown_stage_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    manifest = replace(bundle.manifest, edge_stages=(EdgeStage("vanish", {}),))
    files = {"edge.onnx": bundle.path("edge.onnx").read_bytes()}
    with pytest.raises(ModelError, match="'vanish'"):
        EdgeModel(write_bundle(tmp_path / "odd", manifest, files, {}))


def test_a_device_has_at_least_one_thread(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="threads"):
        EdgeModel(bundle, threads=0)


def test_one_folder_of_bundles_given_as_a_text_is_refused_with_what_to_give() -> None:
    with pytest.raises(TypeError, match=r"bundles takes several folders; give \['models'\]"):
        EdgeModel("mine", bundles="models")


def test_a_bundle_that_is_not_there_is_an_error_of_the_clients_tree(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="no such folder of bundles") as told:
        EdgeModel("mine", bundles=[tmp_path / "nowhere"])
    assert isinstance(told.value, BundleError)


def test_an_edge_half_that_takes_two_at_once_takes_any_number(bundle: Bundle, tmp_path: Path) -> None:
    graph = onnx.load(bundle.path("edge.onnx"))
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    files = {"edge.onnx": graph.SerializeToString(), "cloud.onnx": bundle.read("cloud.onnx")}
    fixed = EdgeModel(write_bundle(tmp_path / "fixed", bundle.manifest, files, {}))
    tensor = np.random.default_rng(0).random((5, 3, 32, 32), np.float32)
    assert np.allclose(fixed.features(tensor), EdgeModel(bundle).features(tensor), atol=1e-5)
