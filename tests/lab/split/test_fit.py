"""Fitting a run from pictures in a folder, and what is said when they are too few or the targets no good."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.split.exporting import export_split, no_more_than
from siftfunnel.lab.split.fit import FitSettings, fit_halves, labels_of, read_pictures, too_few
from siftfunnel.lab.split.folder import SplitRun, load_run
from siftfunnel.lab.split.halves import Halves
from siftfunnel.lab.split.targets import Target, agreement_targets, byte_targets
from siftfunnel.lab.split.train import train_run
from siftfunnel.lab.split.training import TrainSettings
from siftfunnel.lab.training.checkpoints import RunFolderError
from siftfunnel.shared.bundle import BundleError, load_bundle
from tests.lab.split import cutnets


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cutnets.stored_pictures(tmp_path_factory.mktemp("pictures"), 240)


def fitted(
    halves: Halves, place: Path, out: Path, settings: FitSettings, macs: tuple[int, int] = (100, 1000)
) -> SplitRun:
    return fit_halves(
        halves,
        cutnets.SPEC,
        place,
        settings,
        out,
        lambda text: None,
        name="tiny",
        original_sha256="0" * 64,
        cut="maps",
        macs=macs,
    )


def test_byte_targets_are_met_by_real_payloads_on_held_out_pictures(folder: Path, tmp_path: Path) -> None:
    run = fitted(cutnets.classifier(), folder, tmp_path / "run", FitSettings(targets=byte_targets("60,40")))
    for point in run.points:
        found = run.about["points"][point.target.name]["payload_bytes_mean"]
        assert abs(found - (point.target.bytes or 0)) < 0.1 * (point.target.bytes or 0)
    assert run.about["points"]["l60"]["divergence_mean"] < run.about["points"]["l40"]["divergence_mean"]


def test_a_funnel_keeps_within_the_multiply_adds_that_are_left(folder: Path, tmp_path: Path) -> None:
    settings = FitSettings(targets=byte_targets("40"), mac_share=0.5)
    run = fitted(cutnets.classifier(), folder, tmp_path / "run", settings, macs=(100, 40_000))
    assert run.funnel is not None
    assert 0 < run.funnel.macs <= 0.5 * 40_000 - 100
    with pytest.raises(ValueError, match="no channel"):
        fitted(cutnets.classifier(), folder, tmp_path / "none", settings, macs=(100, 300))


def test_an_agreement_is_met_on_held_out_pictures(folder: Path, tmp_path: Path) -> None:
    settings = FitSettings(targets=agreement_targets("90%"))
    run = fitted(cutnets.classifier(), folder, tmp_path / "run", settings)
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


@pytest.mark.parametrize("settings", [FitSettings(targets=byte_targets("60,40")), FitSettings("none")])
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
    pictures = read_pictures(folder, run.spec)
    pixels = (pictures.attacker.images_NHWC, pictures.attacked.images_NHWC)
    export_split(run, pixels, None, tmp_path / "bundle", name="tiny", say=lambda text: None)
    bundle = load_bundle(tmp_path / "bundle")
    report = bundle.report()
    assert set(report["codecs"]) == {codec.name for codec in bundle.manifest.codecs}
    assert 0 < report["agreement"] <= 1
    assert {"selftest-edge.npz", "selftest-cloud.npz"} <= set(bundle.manifest.files)
    assert report["edge_mac_share"] >= 0.1
    assert bundle.manifest.original_sha256 == "0" * 64


def test_where_folders_are_classes_the_report_has_accuracy(tmp_path: Path) -> None:
    halves = cutnets.classifier()
    _, seen = cutnets.seen(halves, 120, seed=5)
    # every picture in the folder of what the uncut network says, so that its accuracy is 1
    for number, picture in enumerate(cutnets.pictures(120, seed=5)):
        place = tmp_path / "pictures" / f"class {seen.outputs[0][number].argmax()}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{number}.png")
    run = fitted(halves, tmp_path / "pictures", tmp_path / "run", FitSettings(targets=byte_targets("40")))
    pictures = read_pictures(run.pictures, run.spec)
    pixels = (pictures.attacker.images_NHWC, pictures.attacked.images_NHWC)
    labels = labels_of(pictures, pictures.attacked, run)
    bundle = export_split(run, pixels, labels, tmp_path / "bundle", name="tiny", say=lambda text: None)
    report = bundle.report()
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


def test_a_training_leaves_files_of_no_split_alone(folder: Path, tmp_path: Path) -> None:
    fitted(cutnets.classifier(), folder, tmp_path / "run", FitSettings(targets=byte_targets("40")))
    (tmp_path / "cloud.onnx").write_text("mine")
    with pytest.raises(RunFolderError, match=r"'cloud\.onnx', which is of no split"):
        train_run(tmp_path / "run", tmp_path, TrainSettings(), lambda text: None)


def test_it_is_said_when_an_answer_that_never_changes_agrees_as_well() -> None:
    figure = {"agreement": 0.963, "agreement_ci95": [0.82, 0.99]}
    assert no_more_than(0.8, "l60", figure) == []
    (note,) = no_more_than(1.0, "l60", figure)
    assert "never changes has an agreement of 100.0%" in note
    assert "l60 96.3%" in note


def test_a_folder_of_something_else_is_no_place_for_a_bundle(tmp_path: Path, folder: Path) -> None:
    run = fitted(cutnets.classifier(), folder, tmp_path / "run", FitSettings("none"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    none = np.empty((0, 16, 16, 3), np.uint8)
    with pytest.raises(BundleError, match=r"'letter\.txt'"):
        export_split(run, (none, none), None, tmp_path / "mine", name=None, say=lambda text: None)


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    for number, picture in enumerate(cutnets.pictures(9)):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    with pytest.raises(DataError, match="add pictures"):
        read_pictures(tmp_path, cutnets.SPEC)


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
