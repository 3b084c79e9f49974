"""The commands as people give them: fit, train, export, from a file and a folder to a bundle."""

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from siftfunnel.cli import build_parser, main
from siftfunnel.commands import COMMANDS
from siftfunnel.lab.split.settings import TrainSettings
from siftfunnel.shared.bundle import load_bundle
from siftfunnel.shared.settings import from_flags
from tests.lab.split import cutnets
from tests.lab.split.test_brought import stored


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cutnets.stored_pictures(tmp_path_factory.mktemp("pictures"), 110)


def test_halves_become_a_trained_bundle(pictures: Path, tmp_path: Path) -> None:
    edge, cloud = stored(cutnets.classifier("probabilities"), tmp_path)
    run, out = tmp_path / "run", tmp_path / "bundle"
    halves = ["--edge", str(edge), "--cloud", str(cloud), "--preset", "zero-to-one"]
    wanted = ["--images", str(pictures), "--bytes", "50,30", "--out", str(run)]
    assert main(["split", "fit", *halves, *wanted]) == 0
    assert main(["split", "train", str(run), "--steps", "20", "--batch-size", "8"]) == 0
    assert main(["split", "export", f"{run}-trained", "--out", str(out), "--name", "mine"]) == 0
    bundle = load_bundle(out)
    assert [codec.name for codec in bundle.manifest.codecs] == ["l50", "l30"]
    assert bundle.manifest.scores is not None
    assert bundle.manifest.scores.kind == "probabilities"


def test_without_a_network_both_halves_are_asked_for(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = cutnets.classifier()
    onnx.save_model(made.edge, str(tmp_path / "e.onnx"))
    arguments = [
        "--edge",
        str(tmp_path / "e.onnx"),
        "--images",
        str(pictures),
        "--out",
        str(tmp_path / "run"),
    ]
    assert main(["split", "fit", *arguments]) != 0
    assert "both its halves" in capsys.readouterr().err
    onnx.save_model(made.cloud, str(tmp_path / "c.onnx"))
    elsewhere = [*arguments, "--cloud", str(tmp_path / "c.onnx"), "--cut", "elsewhere"]
    assert main(["split", "fit", *elsewhere]) != 0
    assert "cut at maps: leave out --cut" in capsys.readouterr().err


def test_a_training_is_what_its_flags_say_and_its_defaults_where_they_say_nothing() -> None:
    row = next(command for command in COMMANDS if command.name == "split")
    parser = build_parser(row)
    given = parser.parse_args(
        ["split", "train", "run", "--steps", "3", "--weights-rate", "0.5", "--finetune"]
    )
    wanted = replace(TrainSettings(), steps=3, weights_rate=0.5, finetune=True)
    assert from_flags(TrainSettings, given) == wanted
    assert from_flags(TrainSettings, parser.parse_args(["split", "train", "run"])) == TrainSettings()
