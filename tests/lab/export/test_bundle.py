from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from siftfunnel.cli import main
from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.data.datasets import load_splits
from siftfunnel.lab.defences.defence import Defence
from siftfunnel.lab.defences.registry import make_defence
from siftfunnel.lab.device import DeviceModel
from siftfunnel.lab.export import bundle as export
from siftfunnel.lab.export.bundle import (
    ExportedNetwork,
    ExportError,
    accuracy,
    choose_default,
    convert,
    export_run,
    verify,
)
from siftfunnel.lab.inverter import InverterRecipe, inverter_recipe, score, train_inverter
from siftfunnel.lab.networks.decoder import DecoderSettings
from siftfunnel.lab.networks.registry import NETWORKS, build_network
from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.lab.training.recipes import Limits, recipe
from siftfunnel.lab.training.runs import train_recipe
from siftfunnel.shared.bundle import Bundle, BundleError, EdgeStage, load_bundle, load_inverter
from siftfunnel.shared.preprocess import normalise
from siftfunnel.shared.wire import codec_by_name, make_codecs
from tests.lab.pictures import write_data_directory
from tests.lab.tinynetwork import TINY_WIDTH, trained_like
from tests.lab.training.test_runs import tiny
from tests.tinybundle import make_tiny_bundle

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_directory(tmp_path_factory.mktemp("data"), train=200, test=30)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train_recipe(tiny(recipe("cifar10_siftfunnel"), learning_rate=5e-3), folder, data, None, CPU)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, run_folder: Path, data: Path) -> Bundle:
    return export_run(run_folder, tmp_path_factory.mktemp("bundles") / "b", data)


def test_an_exported_bundle_is_loaded_and_verified_by_shared(bundle: Bundle) -> None:
    loaded = load_bundle(bundle.directory)
    manifest = loaded.manifest
    assert loaded.digest == bundle.digest
    assert (manifest.name, manifest.defence) == ("b", "siftfunnel")
    assert (manifest.architecture, manifest.split_point) == (
        "cnn-siftfunnel-w32",
        "after the funnel (12 channels)",
    )
    assert manifest.edge_stages == ()
    assert manifest.feature.shape == (12, 8, 8)
    assert manifest.classes == ("blue", "green", "red")
    assert [codec.name for codec in manifest.codecs] == ["fp32", "fp16", "int8", "q8", "q7", "q6", "q5", "q4"]


def test_the_report_tells_accuracy_sizes_and_provenance(bundle: Bundle) -> None:
    report = bundle.report()
    assert report["accuracy_measured_on"] == {"split": "test", "pictures": 30}
    assert report["codecs"]["fp32"] == {"payload_bytes_mean": 12 * 64 * 4 + 4, "accuracy": report["accuracy"]}
    assert report["codecs"].keys() == {codec.name for codec in bundle.manifest.codecs}
    assert report["edge_parameters"] == 8314
    assert report["training"]["recipe"]["defence"]["parameters"]["weights"]["smoothing"] == 0.35
    assert report["training"]["splits"]["auxiliary"] == 40
    assert report["provenance"]["versions"]["torch"]
    assert -1 <= report["distance_correlation"]["unbiased"] <= 1
    assert max(report["export"]["largest_relative_difference"].values()) <= 1e-4


def test_the_reported_accuracy_is_what_the_two_files_answer(bundle: Bundle, data: Path) -> None:
    test = load_splits("cifar10", data).test
    codec = make_codecs(bundle.manifest, bundle.digest)[0]
    features = Runner(bundle.path("edge.onnx")).first(normalise(test.images_NHWC, bundle.manifest.input))
    restored = np.stack([codec.decode(codec.encode(feature)) for feature in features])
    logits = Runner(bundle.path("cloud.onnx")).first(restored)
    assert round(accuracy(logits, test.labels), 4) == bundle.report()["accuracy"]


def test_an_export_can_leave_the_test_pictures_alone(run_folder: Path, data: Path, tmp_path: Path) -> None:
    made = export_run(run_folder, tmp_path / "b", data, evaluate_on="validation")
    assert made.report()["accuracy_measured_on"] == {"split": "validation", "pictures": 16}
    with pytest.raises(ValueError, match="test or validation"):
        export_run(run_folder, tmp_path / "c", data, evaluate_on="train")


def test_graphs_that_compute_something_else_are_refused_before_anything_is_written(
    run_folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert_with_another_edge(network: object) -> ExportedNetwork:
        good = convert(network)
        torch.manual_seed(9)
        other = convert(build_network("cnn-siftfunnel", width=32, input_size=32, num_classes=3))
        return replace(good, edge_onnx=other.edge_onnx)

    monkeypatch.setattr(export, "convert", convert_with_another_edge)
    with pytest.raises(ExportError, match="feature of the exported graph differ"):
        export_run(run_folder, tmp_path / "b", data)
    assert not (tmp_path / "b").exists()


def test_graphs_with_another_answer_are_refused() -> None:
    torch.manual_seed(0)
    good = convert(build_network("cnn-unprotected", width=8, input_size=32, num_classes=3).eval())
    x = np.random.default_rng(0).normal(size=(8, 3, 32, 32)).astype(np.float32)
    differences = verify(good, x)
    assert max(differences.values()) < 1e-5
    torch.manual_seed(1)
    other = convert(build_network("cnn-unprotected", width=8, input_size=32, num_classes=3).eval())
    with pytest.raises(ExportError, match="logits"):
        verify(replace(good, cloud_onnx=other.cloud_onnx), x)


def test_the_default_codec_is_the_smallest_that_keeps_the_accuracy() -> None:
    figures = {
        "fp32": {"payload_bytes_mean": 100.0, "accuracy": 0.800},
        "q8": {"payload_bytes_mean": 20.0, "accuracy": 0.799},
        "q6": {"payload_bytes_mean": 12.0, "accuracy": 0.796},
        "q4": {"payload_bytes_mean": 8.0, "accuracy": 0.790},
    }
    assert choose_default(figures) == "q6"


SMALL = InverterRecipe(
    dataset="cifar10", epochs=3, decoder=DecoderSettings((8, 8, 6), (1, 0, 0)), batch_size=8
)


def test_an_inverter_is_trained_on_the_auxiliary_pictures_and_names_its_bundle(
    bundle: Bundle, data: Path, tmp_path: Path
) -> None:
    made = train_inverter(bundle.directory, tmp_path / "i", tmp_path / "run", data, None, CPU, SMALL)
    loaded = load_inverter(made.directory)
    loaded.require_digest(bundle.digest)
    with pytest.raises(BundleError, match="trained for b"):
        loaded.require_digest("0" * 64)
    assert loaded.report["training"]["auxiliary_pictures"] == 40
    by_codec = loaded.report["codecs"]
    assert list(by_codec) == [codec.name for codec in bundle.manifest.codecs]
    for figures in by_codec.values():
        assert figures["pictures"] == 30
        assert 0 < figures["mse_mean"] < 0.2
        assert 5 < figures["psnr_mean"] < 60
    features = np.zeros((3, 12, 8, 8), np.float32)
    pictures = Runner(loaded.path()).first(features)
    assert pictures.shape == (3, 3, 32, 32)
    assert 0 <= pictures.min() <= pictures.max() <= 1


def test_an_inverter_is_measured_on_what_each_codec_left_and_anew_without_touching_its_model(
    bundle: Bundle, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = train_inverter(bundle.directory, tmp_path / "i", tmp_path / "run", data, None, CPU, SMALL)
    test = load_splits("cifar10", data).test
    clean = DeviceModel(bundle.path("edge.onnx"), ())(normalise(test.images_NHWC, bundle.manifest.input))
    codec = codec_by_name(make_codecs(bundle.manifest, bundle.digest), "q4")
    sent = np.stack([codec.decode(codec.encode(feature)) for feature in clean])
    pictures = to_floats(torch.from_numpy(test.images_NHWC))
    wanted = score(pictures, torch.from_numpy(Runner(made.path()).first(sent)))
    assert made.report["codecs"]["q4"] == pytest.approx(wanted)
    assert made.report["codecs"]["q4"] != made.report["codecs"]["fp32"]
    argv = ["lab", "inverter", str(bundle.directory), "--out", str(made.directory), "--data", str(data)]
    assert main([*argv, "--measure-only", "--threads", "1"]) == 0
    assert "q4 PSNR" in capsys.readouterr().out
    again = load_inverter(made.directory)
    assert again.report["codecs"] == made.report["codecs"]
    assert again.report["training"] == made.report["training"]
    assert again.path().read_bytes() == made.path().read_bytes()


def test_a_bundle_is_named_as_told_and_its_decoder_follows_its_pictures(
    run_folder: Path, data: Path, tmp_path: Path
) -> None:
    made = export_run(run_folder, tmp_path / "b", data, name="door-camera")
    assert made.name == "door-camera"
    assert inverter_recipe(made).dataset == "cifar10"
    with pytest.raises(ValueError, match="--name"):
        export_run(run_folder, tmp_path / "c", data, name="../door")


def test_the_decoder_of_a_bundle_that_names_no_pictures_is_refused(tmp_path: Path) -> None:
    assert inverter_recipe(make_tiny_bundle(tmp_path / "a", name="drawnfaces-mine")).dataset == "drawnfaces"
    with pytest.raises(ValueError, match="cifar10, drawnfaces"):
        inverter_recipe(make_tiny_bundle(tmp_path / "b", name="mine"))


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_every_architecture_becomes_two_graphs_that_answer_as_pytorch_does(architecture: str) -> None:
    exported = convert(trained_like(architecture, num_classes=3))
    x = np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32)
    assert max(verify(exported, x).values()) < 1e-4


def exported_tiny(family: str, defence: Defence, data: Path, folder: Path) -> Bundle:
    wanted = tiny(
        recipe("cifar10_unprotected"),
        family=family,
        defence=defence,
        width=TINY_WIDTH[family],
        limits=Limits(train=32, validation=12, test=12, auxiliary=12),
        bundle="t",
    )
    train_recipe(wanted, folder / "run", data, None, CPU)
    return export_run(folder / "run", folder / "t", data)


@pytest.mark.parametrize(("family", "shape"), [("resnet18", (2, 32, 32)), ("vgg16", (8, 16, 16))])
def test_the_other_families_become_bundles_that_can_be_attacked_live(
    family: str, shape: tuple[int, ...], data: Path, tmp_path: Path
) -> None:
    made = exported_tiny(family, make_defence("siftfunnel"), data, tmp_path)
    manifest = made.manifest
    assert manifest.feature.shape == shape
    assert manifest.architecture == f"{family}-siftfunnel-w16"
    assert manifest.split_point == f"after the funnel ({shape[0]} channels)"
    attacker = replace(SMALL, epochs=1)
    found = train_inverter(made.directory, tmp_path / "i", tmp_path / "attack", data, None, CPU, attacker)
    assert Runner(found.path()).first(np.zeros((1, *shape), np.float32)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gaussian-noise", "gaussian-noise"),
        ("feature-dropout", "feature-dropout"),
        ("vib", "channel-gaussian-noise"),
    ],
)
def test_a_stochastic_defence_is_measured_behind_its_stage(
    name: str, kind: str, data: Path, tmp_path: Path
) -> None:
    made = exported_tiny("cnn", make_defence(name), data, tmp_path)
    assert [stage.kind for stage in made.manifest.edge_stages] == [kind]
    report = made.report()
    assert report["accuracy_measured_on"] == {"split": "test", "pictures": 12}
    pictures = normalise(load_splits("cifar10", data).test.images_NHWC, made.manifest.input)
    clean = Runner(made.path("edge.onnx")).first(pictures)
    sent = DeviceModel(made.path("edge.onnx"), made.manifest.edge_stages)(pictures)
    assert sent.shape == clean.shape
    assert not np.array_equal(sent, clean)
    assert report["codecs"]["fp32"]["accuracy"] == report["accuracy"]
    # a codec calibrated on clean features would not reach the values that the noise makes
    codec = next(codec for codec in make_codecs(made.manifest, made.digest) if codec.name == "q8")
    error = np.abs(codec.decode(codec.encode(sent[0])) - sent[0])
    assert float(np.median(error)) < 0.1 * float(sent[0].std())


def test_a_device_model_draws_fresh_noise_for_every_picture_and_call() -> None:
    exported = convert(trained_like("cnn-unprotected"))
    x = np.zeros((150, 3, 32, 32), np.float32)
    device = DeviceModel(exported.edge_onnx, [EdgeStage("gaussian-noise", {"sigma": 0.5})])
    first, second, clean = device(x), device(x), Runner(exported.edge_onnx).first(x)
    noise = first - clean
    assert float(noise.std()) == pytest.approx(0.5, rel=0.02)
    assert not np.array_equal(noise[0], noise[1])
    assert not np.array_equal(first, second)
