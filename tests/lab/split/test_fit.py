"""Fitting a run from pictures in a folder, and what is said when they are too few or the targets no good."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.split import picture_codecs
from siftfunnel.lab.split.exporting import export_run
from siftfunnel.lab.split.folder import SplitRun, load_run
from siftfunnel.lab.split.halves import Halves
from siftfunnel.lab.split.pictures import read_parts
from siftfunnel.lab.split.points import no_more_than, too_few
from siftfunnel.lab.split.settings import (
    FitSettings,
    Target,
    TrainSettings,
    agreement_targets,
    byte_targets,
)
from siftfunnel.lab.split.train import train_run
from siftfunnel.lab.training.checkpoints import RunFolderError
from siftfunnel.shared.bundle import BundleError, load_bundle
from tests.lab.split import cutnets
from tests.lab.split.cutnets import fitted, quiet


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cutnets.stored_pictures(tmp_path_factory.mktemp("pictures"), 140)


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[SplitRun, Path]:
    """A fitted run of a classifier with two byte targets, and its folder."""
    place = tmp_path_factory.mktemp("fitted") / "run"
    settings = FitSettings(targets=byte_targets("60,40"))
    return fitted(cutnets.classifier(), folder, place, settings), place


def test_byte_targets_are_met_by_real_payloads_on_held_out_pictures(run: tuple[SplitRun, Path]) -> None:
    made, _ = run
    for point in made.points:
        found = made.about["points"][point.target.name]["payload_bytes_mean"]
        assert abs(found - (point.target.bytes or 0)) < 0.1 * (point.target.bytes or 0)
    assert made.about["points"]["l60"]["divergence_mean"] < made.about["points"]["l40"]["divergence_mean"]


def test_a_funnel_keeps_within_the_multiply_adds_that_are_left(folder: Path, tmp_path: Path) -> None:
    settings = FitSettings(targets=byte_targets("40"), mac_share=0.5)
    run = fitted(cutnets.classifier(), folder, tmp_path / "run", settings, side=2, macs=(100, 40_000))
    assert run.funnel is not None
    assert 0 < run.funnel.macs <= 0.5 * 40_000 - 100
    with pytest.raises(ValueError, match="no channel"):
        fitted(cutnets.classifier(), folder, tmp_path / "none", settings, side=2, macs=(100, 300))


def test_an_agreement_is_met_on_held_out_pictures(folder: Path, tmp_path: Path) -> None:
    settings = FitSettings(targets=agreement_targets("90%"))
    run = fitted(cutnets.classifier(), folder, tmp_path / "run", settings, side=2)
    assert abs(run.about["points"]["a90"]["agreement"] - 0.9) < 0.07


def test_a_run_folder_gives_back_what_was_fitted(folder: Path, tmp_path: Path) -> None:
    run = fitted(cutnets.two_tensors(), folder, tmp_path / "run", FitSettings(targets=byte_targets("40")))
    again = load_run(tmp_path / "run")
    assert again.points == run.points
    assert again.sent == run.sent
    assert run.funnel is not None
    assert again.funnel is not None
    tensors = run.ends.edge(cutnets.pictures(3), run.spec)
    for a, b in zip(run.funnel.encode(tensors), again.funnel.encode(tensors), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("settings", [FitSettings(targets=byte_targets("60")), FitSettings("none")])
@pytest.mark.parametrize(
    "halves",
    [
        cutnets.classifier(),
        cutnets.classifier("embedding"),
        cutnets.two_tensors(),
        cutnets.of_two_frames(),
    ],
)
def test_an_exported_bundle_says_what_it_does(
    halves: Halves, settings: FitSettings, folder: Path, tmp_path: Path
) -> None:
    run = fitted(halves, folder, tmp_path / "run", settings)
    assert run.sent
    export_run(tmp_path / "run", tmp_path / "bundle", quiet)
    bundle = load_bundle(tmp_path / "bundle")
    report = bundle.report()
    assert set(report["codecs"]) == {codec.name for codec in bundle.manifest.codecs}
    assert 0 < report["agreement"] <= 1
    assert {"selftest-edge.npz", "selftest-cloud.npz"} <= set(bundle.manifest.files)
    assert report["edge_mac_share"] >= 0.1
    assert bundle.manifest.original_sha256 == "0" * 64


def test_what_pictures_need_is_measured_once_for_a_network_and_its_pictures(
    run: tuple[SplitRun, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "run"
    shutil.copytree(run[1], place)
    measured: list[str] = []
    real = picture_codecs._measured

    def noted(kind: str, *rest: Any) -> Any:
        measured.append(kind)
        return real(kind, *rest)

    monkeypatch.setattr(picture_codecs, "_measured", noted)
    first = export_run(place, tmp_path / "first", quiet).report()
    again = export_run(place, tmp_path / "again", quiet).report()
    assert again["picture_codecs"] == first["picture_codecs"]
    assert measured == ["jpeg", "webp"]
    others = cutnets.stored_pictures(tmp_path / "others", 100, seed=8)
    export_run(place, tmp_path / "others-bundle", quiet, images=others)
    assert len(measured) == 4


def test_a_fit_says_when_an_answer_that_never_changes_agrees_as_well(folder: Path, tmp_path: Path) -> None:
    halves = cutnets.classifier()
    bias = numpy_helper.from_array(np.array([50, 0, 0, 0, 0], np.float32), "bias")
    cloud = onnx.ModelProto()
    cloud.CopyFrom(halves.cloud)
    cloud.graph.initializer.append(bias)
    next(node for node in cloud.graph.node if node.op_type == "Gemm").input.append("bias")
    same = replace(halves, cloud=cloud)
    run = fitted(same, folder, tmp_path / "run", FitSettings(targets=byte_targets("40")), side=2)
    assert run.about["agreement_of_a_constant_answer"] == 1
    assert any("never changes has an agreement of 100.0%" in note for note in run.about["notes"])


def test_where_folders_are_classes_the_report_has_accuracy(tmp_path: Path) -> None:
    halves = cutnets.classifier()
    _, seen = cutnets.seen(halves, 120, seed=5)
    # every picture in the folder of what the uncut network says, so that its accuracy is 1
    for number, picture in enumerate(cutnets.pictures(120, seed=5)):
        place = tmp_path / "pictures" / f"class {seen.outputs[0][number].argmax()}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{number}.png")
    fitted(halves, tmp_path / "pictures", tmp_path / "run", FitSettings(targets=byte_targets("40")), side=2)
    report = export_run(tmp_path / "run", tmp_path / "bundle", quiet).report()
    assert report["uncut"]["accuracy"] == 1
    assert report["codecs"]["l40"]["accuracy"] == report["codecs"]["l40"]["agreement"]


@pytest.mark.parametrize("name", ["edge.onnx", "run.json"])
def test_files_of_no_split_are_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(RunFolderError, match=f"'{name}', which is of no split"):
        fitted(cutnets.classifier(), tmp_path, tmp_path, FitSettings("none"))
    assert (tmp_path / name).read_text() == "{}"
    with pytest.raises(RunFolderError, match="is no folder"):
        fitted(cutnets.classifier(), tmp_path, tmp_path / name, FitSettings("none"))


@pytest.mark.parametrize(("kind", "told"), [("logits", "5 classes, 2 names"), ("embedding", "need no names")])
def test_classes_that_do_not_fit_are_refused_before_pictures_are_read(
    kind: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=told):
        fitted(cutnets.classifier(kind), tmp_path / "none", tmp_path, FitSettings("none", (), ("a", "b")))


def test_a_training_leaves_files_of_no_split_alone(run: tuple[SplitRun, Path], tmp_path: Path) -> None:
    (tmp_path / "cloud.onnx").write_text("mine")
    with pytest.raises(RunFolderError, match=r"'cloud\.onnx', which is of no split"):
        train_run(run[1], tmp_path, TrainSettings(), quiet)


def test_it_is_said_when_an_answer_that_never_changes_agrees_as_well() -> None:
    figure = {"agreement": 0.963, "agreement_ci95": [0.82, 0.99]}
    assert no_more_than(0.8, "l60", figure) == []
    (note,) = no_more_than(1.0, "l60", figure)
    assert "never changes has an agreement of 100.0%" in note
    assert "l60 96.3%" in note


def test_a_folder_of_something_else_is_no_place_for_a_bundle(tmp_path: Path, folder: Path) -> None:
    fitted(cutnets.classifier(), folder, tmp_path / "run", FitSettings("none"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"'letter\.txt'"):
        export_run(tmp_path / "run", tmp_path / "mine", quiet)


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    for number, picture in enumerate(cutnets.pictures(9)):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    with pytest.raises(DataError, match="add pictures"):
        read_parts(tmp_path, cutnets.SPEC)


def test_it_is_said_when_held_out_pictures_fare_much_worse_than_those_that_were_fitted_to() -> None:
    inside = {"divergence_mean": 0.1, "payload_bytes_mean": 1000.0}
    assert too_few(inside, {"divergence_mean": 0.12, "payload_bytes_mean": 1020.0}, 300) == []
    (note,) = too_few(inside, {"divergence_mean": 0.25, "payload_bytes_mean": 1000.0}, 80)
    assert "80 pictures are too few" in note


def test_a_folder_without_a_run_says_what_makes_one(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").touch()
    for place in (tmp_path, tmp_path / "net.onnx"):
        with pytest.raises(RunFolderError, match="siftfunnel split fit"):
            load_run(place)


@pytest.mark.parametrize("target", [{"bytes": 5}, {"agreement": 1.2}, {}, {"bytes": 100, "agreement": 0.5}])
def test_a_target_that_makes_no_sense_is_refused(target: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"target|agreement"):
        Target("x", **target)
