import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from siftfunnel.cli import main
from siftfunnel.lab.split.cuts import find_cuts
from siftfunnel.lab.split.inspecting import BAR, svg, terminal
from tests.lab.split.smallnets import network, residual, save


def _pictures(place: Path) -> Path:
    place.mkdir()
    for number in range(4):
        Image.effect_noise((20, 16), 60 + number).convert("RGB").save(place / f"{number}.png")
    return place


def test_inspect_lists_every_cut_with_its_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, images = save(residual(), tmp_path), _pictures(tmp_path / "in")
    drawing = tmp_path / "net.svg"
    arguments = [str(net), "--json", "--svg", str(drawing), "--images", str(images)]
    assert main(["split", "inspect", *arguments]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [cut["name"] for cut in told["cuts"]] == ["a", "b", "d", "e", "f", "out"]
    assert all(cut["milliseconds"] > 0 for cut in told["cuts"])
    assert told["picture_bytes"]["JPEG 75"] > 100
    assert told["outputs"] == [{"name": "out", "kind": "logits", "shape": [5], "dtype": "float32"}]
    ElementTree.parse(drawing)


def test_inspect_prints_a_table_and_a_drawing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["split", "inspect", str(save(residual(), tmp_path)), "--no-measure"]) == 0
    out = capsys.readouterr().out
    assert "d 4x8x8" in out
    assert "█" in out


def test_check_shows_all_presets_or_the_one_that_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, images = save(residual(), tmp_path), _pictures(tmp_path / "in")
    assert main(["split", "check", str(net), "--images", str(images), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"imagenet", "caffe-bgr", "raw"} <= told["presets"].keys()
    assert len(told["presets"]["raw"]["said"]) == len(told["pictures"]) == 4
    assert main(["split", "check", str(net), "--images", str(images)]) == 0
    assert "No figure here says which preset is right" in capsys.readouterr().out
    arguments = [str(net), "--images", str(images), "--preset", "raw", "--mean", "1,2,3"]
    assert main(["split", "check", *arguments]) == 0
    assert "caffe-bgr" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name one network"),
        (["{net}", "--torch", "a:b"], "name one network"),
        (["{net}", "--weights", "w"], "--weights goes with --torch"),
        (["--torch", "a:b"], "--size HEIGHTxWIDTH"),
        (["{net}", "--kind", "other=tensor"], "no output other"),
        (["{net}", "--outputs", "other"], "no output other; there are out"),
        (["nowhere.onnx"], "No such file"),
    ],
)
def test_what_is_asked_wrongly_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    net = str(save(residual(), tmp_path))
    assert main(["split", "inspect", *(part.format(net=net) for part in arguments)]) == 2
    assert told in capsys.readouterr().err


def test_a_drawing_shows_fewer_bytes_as_a_shorter_bar() -> None:
    cuts = find_cuts(network(residual()))
    lines = terminal(cuts, {"JPEG 75": 300.0})
    bars = [line.count("█") for line in lines]
    assert bars[0] == BAR
    assert bars[3] < bars[-1] < bars[0]
    assert svg("a", cuts, {"JPEG 75": 300.0}) == svg("a", cuts, {"JPEG 75": 300.0})
