"""The live page's decoder for anybody's network: any input, any tensors, pictures of one's own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from siftfunnel.attacker.targets import gather
from siftfunnel.cli import main
from siftfunnel.lab.data.images import DataError, ImageSet
from siftfunnel.lab.graphs.folding import folded_copy
from siftfunnel.lab.graphs.writing import write_onnx
from siftfunnel.lab.inverter import InverterRecipe, as_packed, packed_features, train_inverter
from siftfunnel.lab.networks.decoder import DecoderSettings, build_decoder, cropped
from siftfunnel.lab.networks.rearranged import Parted
from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.lab.targets.target import target_of_bundle
from siftfunnel.shared.bundle import Bundle, BundleError, load_bundle, load_inverter
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.tensors import OutputSpec
from tests.lab.audit.own_pictures import drawn, write_pictures
from tests.lab.audit.test_own_network import BYTES, PLAIN, funnelled
from tests.tinynetwork import own_bundle

CPU = torch.device("cpu")
EMBEDDING = (OutputSpec("embedding", "embedding", (6,)),)
SMALL = InverterRecipe(dataset="mine", epochs=2, decoder=DecoderSettings((8, 8, 6), (1, 0, 0)), batch_size=8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("own") / "holiday", 60)


def bundle_of(kind: str, folder: Path) -> Bundle:
    if kind == "funnel":
        return load_bundle(funnelled(folder))
    if kind == "one tensor":
        return own_bundle(folder, PLAIN, ((4, 4, 4),), EMBEDDING)
    return own_bundle(folder, BYTES, ((4, 4, 6), (3, 2, 3)))


@pytest.mark.parametrize("kind", ["funnel", "one tensor", "several tensors"])
def test_the_attacker_runs_the_decoder_of_any_network(kind: str, tmp_path: Path, pictures: Path) -> None:
    bundle = bundle_of(kind, tmp_path / "models" / "mine")
    place = tmp_path / "inverters" / "mine"
    made = train_inverter(bundle.directory, place, tmp_path / "run", None, None, CPU, SMALL, pictures)
    assert list(made.report["codecs"]) == ["fp32", "fp16"]
    assert made.report["pictures"]["name"] == "holiday"
    assert str(pictures.parent) not in json.dumps(dict(made.report))
    targets = gather([tmp_path / "models"], [tmp_path / "inverters"])
    target = targets.get(bundle.digest)
    assert target is not None
    assert target.reconstructor is not None
    assert not targets.problems
    spec = bundle.manifest.input
    pixels = np.stack([np.array(drawn(n, (spec.width, spec.height))) for n in range(3)])
    images = ImageSet(pixels, np.zeros(3, np.int64), ("picture",))
    features = packed_features(target_of_bundle(bundle.directory, CPU), images)
    restored = target.reconstructor.reconstruct(features)
    assert restored.shape == (3, spec.height, spec.width, 3)
    assert target.as_json()["class_count"] == len(bundle.manifest.classes)


def test_several_tensors_are_inverted_as_the_maps_of_their_layout(tmp_path: Path) -> None:
    bundle = bundle_of("several tensors", tmp_path / "mine")
    target = target_of_bundle(bundle.directory, CPU)
    values = torch.rand(2, *bundle.manifest.feature.shape)
    maps = as_packed(target, torch.nn.Identity())(values)
    assert set(maps.flatten().tolist()) == set(values.flatten().tolist())
    assert maps.shape[2:] == (4, 6)


LAYERS: dict[str, tuple[torch.nn.Module, tuple[int, ...]]] = {
    "parted": (
        Parted((12, 5), (((3, 2, 2), torch.nn.ConvTranspose2d(3, 2, 2, stride=2)), None)),
        (17, 1, 1),
    ),
    "transposed": (torch.nn.ConvTranspose2d(3, 5, 4, stride=4), (3, 2, 3)),
    "vector": (build_decoder(torch.zeros(7), torch.ones(7), DecoderSettings(), 5, is_point=True), (7, 1, 1)),
    "cropped": (
        cropped(build_decoder(torch.zeros(4), torch.ones(4), DecoderSettings(), 2), (27, 26), (7, 7)),
        (4, 7, 7),
    ),
}


@pytest.mark.parametrize("name", list(LAYERS))
def test_layers_of_such_decoders_are_written_as_they_compute(name: str) -> None:
    torch.manual_seed(0)
    layer, shape = LAYERS[name]
    module = folded_copy(torch.nn.Sequential(layer))
    written = write_onnx(
        module, input_name="feature", input_shape=shape, output_name="image", half_weights=False
    )
    x = torch.rand(3, *shape)
    with torch.no_grad():
        expected = module(x).numpy()
    assert np.allclose(Runner(written).first(x.numpy()), expected, atol=1e-5)


def test_a_folder_of_something_else_is_no_place_for_an_inverter(tmp_path: Path) -> None:
    bundle, mine = bundle_of("one tensor", tmp_path / "models" / "mine"), tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"'letter\.txt'"):
        train_inverter(bundle.directory, mine, tmp_path / "run", None, None, CPU, SMALL, tmp_path / "none")


def test_pictures_too_large_for_an_inverter_are_refused(tmp_path: Path, pictures: Path) -> None:
    bundle = own_bundle(tmp_path / "mine", InputSpec(320, 320), ((1, 5, 5),))
    with pytest.raises(DataError, match="up to 256x256, the bundle takes 320x320"):
        train_inverter(bundle.directory, tmp_path / "i", tmp_path / "r", None, None, CPU, images=pictures)


def siftfunnel(folder: Path, *words: str | Path) -> Any:
    argv = [sys.executable, "-m", "siftfunnel", *map(str, words)]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)


def test_a_command_trains_and_measures_an_inverter_with_a_folder(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = own_bundle(tmp_path / "mine", PLAIN, ((4, 4, 4), (3, 2, 2)))
    words = [
        "lab",
        "inverter",
        str(bundle.directory),
        "--images",
        str(pictures),
        "--out",
        str(tmp_path / "i"),
    ]
    words += ["--threads", "1", "--device", "cpu"]
    assert main([*words, "--epochs", "1", "--run", str(tmp_path / "r")]) == 0
    trained = capsys.readouterr().out
    assert load_inverter(tmp_path / "i").bundle_digest == bundle.digest
    assert main([*words, "--measure-only"]) == 0
    assert capsys.readouterr().out == trained


@pytest.mark.slow
def test_both_commands_take_a_folder_of_pictures(tmp_path: Path, pictures: Path) -> None:
    bundle = own_bundle(tmp_path / "mine", PLAIN, ((4, 4, 4), (3, 2, 2)))
    folder = ("--images", pictures, "--threads", "1", "--device", "cpu")
    trained = siftfunnel(
        tmp_path, "lab", "inverter", "mine", *folder, "--epochs", "1", "--out", "i", "--run", "r"
    )
    assert trained.returncode == 0, trained.stderr
    assert load_inverter(tmp_path / "i").bundle_digest == bundle.digest
    measured = siftfunnel(tmp_path, "lab", "inverter", "mine", *folder, "--out", "i", "--measure-only")
    assert measured.returncode == 0, measured.stderr
    assert measured.stdout == trained.stdout
    audited = siftfunnel(
        tmp_path, "lab", "audit", "mine", *folder, "--budget", "quick", "--attacks", "residual", "--out", "o"
    )
    assert audited.returncode == 0, audited.stderr
    assert json.loads((tmp_path / "o" / "report.json").read_text())["accuracy"]["kind"] == "agreement"
