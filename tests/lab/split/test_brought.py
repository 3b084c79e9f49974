"""Halves that somebody has cut already."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from siftfunnel.cli import main
from siftfunnel.lab.onnx_graphs import NetworkError
from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.lab.split.brought import joined_network
from siftfunnel.lab.split.halves import Halves, halves
from tests.lab.split import cutnets


def stored(made: Halves, folder: Path) -> tuple[Path, Path]:
    onnx.save_model(made.edge, str(folder / "e.onnx"))
    onnx.save_model(made.cloud, str(folder / "c.onnx"))
    return folder / "e.onnx", folder / "c.onnx"


@pytest.mark.parametrize("made", [cutnets.classifier(), cutnets.two_tensors()])
def test_two_halves_are_one_network_cut_where_they_meet(made: Halves, tmp_path: Path) -> None:
    network, cut = joined_network(*stored(made, tmp_path))
    assert [tensor.shape for tensor in cut.tensors] == [tensor.shape for tensor in made.tensors]
    again = halves(network, cut)
    frames = network.random_frames(3)
    sent = Runner(made.edge)(frames)
    for found, expected in zip(Runner(again.edge)(frames), sent, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(Runner(again.cloud)(*sent)[0], Runner(made.cloud)(*sent)[0], atol=1e-5)


def test_halves_whose_names_do_not_meet_are_refused_by_name(tmp_path: Path) -> None:
    edge, _ = stored(cutnets.two_tensors(), tmp_path)
    other = cutnets.classifier()
    onnx.save_model(other.cloud, str(tmp_path / "other.onnx"))
    with pytest.raises(NetworkError, match="gives maps, vector, the cloud half takes maps"):
        joined_network(edge, tmp_path / "other.onnx")


def test_halves_are_inspected_and_checked_as_a_network_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edge, cloud = stored(cutnets.classifier(), tmp_path)
    both = ["--edge", str(edge), "--cloud", str(cloud)]
    assert main(["split", "inspect", *both, "--json", "--no-measure"]) == 0
    captured = capsys.readouterr()
    assert "maps" in [cut["name"] for cut in json.loads(captured.out)["cuts"]]
    assert "cut already at maps" in captured.err
    (tmp_path / "in").mkdir()
    Image.fromarray(cutnets.pictures(1)[0]).save(tmp_path / "in" / "a.png")
    assert main(["split", "check", *both, "--images", str(tmp_path / "in"), "--json"]) == 0
    assert "imagenet" in json.loads(capsys.readouterr().out)["presets"]


@pytest.mark.parametrize("command", [["inspect"], ["check", "--images", "in"]])
def test_one_half_alone_or_beside_a_network_is_refused(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edge, cloud = stored(cutnets.classifier(), tmp_path)
    for given in (["--edge", str(edge)], [str(edge), "--cloud", str(cloud)]):
        assert main(["split", *command, *given]) == 2
        assert "both its halves" in capsys.readouterr().err
    assert main(["split", *command, "--edge", str(edge), "--cloud", str(cloud), "--outputs", "out"]) == 2
    assert "--outputs goes with a whole network" in capsys.readouterr().err
