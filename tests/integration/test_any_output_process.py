"""A network with any outputs between processes, and what its answers look like on the console."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siftfunnel.cli import main
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.preprocess import prepare
from tests.conftest import Processes, run_siftfunnel
from tests.edge_client.conftest import write_pictures
from tests.integration.test_edge_process import start_cloud
from tests.tinynetwork import make_tiny_network, said_of


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_network(tmp_path_factory.mktemp("networks") / "network")


@pytest.fixture(scope="module")
def server(network: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    children = Processes(tmp_path_factory.mktemp("server"))
    try:
        yield start_cloud(children, network)[1]
    finally:
        children.stop()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    # a folder's name is a label: here a class's id
    write_pictures(tmp_path / "pictures", [f"n{1 + n % 3}/{n}.png" for n in range(6)])
    return tmp_path / "pictures"


def test_lines_and_files_hold_what_the_network_says(
    network: Bundle, server: str, pictures: Path, tmp_path: Path
) -> None:
    done = run_siftfunnel(
        [
            *("edge", "--bundle", network.directory, "--server", server, "--source", pictures),
            *("--outputs", "code,spots", "--frames-per-message", "4", "--output", "jsonl:-"),
            *("--output", f"npz:{tmp_path / 'arrays'}", "--summary", tmp_path / "sum.json"),
        ]
    )
    assert done.returncode == 0, done.stderr
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["outcome"] for line in lines] == ["answer"] * 6
    right = 0
    for line in lines:
        prepared = prepare(line["source"], network.manifest.input)
        said = said_of(network, prepared.tensor)
        best = network.manifest.class_ids[int(said["scores"].argmax())]
        assert line["top"][0]["id"] == best
        right += line["label"] == best
        assert list(line["outputs"]) == ["code", "spots"]
        assert line["outputs"]["code"]["values"] == pytest.approx(said["code"].tolist(), abs=1e-3)
        assert line["outputs"]["spots"]["values"] == said["spots"].tolist()
        way = prepared.transform
        assert line["transform"] == {"scale": list(way.scale), "offset": list(way.offset)}
        with np.load(tmp_path / "arrays" / f"network-{line['sequence']:08}.npz", allow_pickle=False) as read:
            assert np.array_equal(read["spots"], said["spots"])
    assert json.loads((tmp_path / "sum.json").read_text())["accuracy"] == pytest.approx(right / 6)


def classify(network: Bundle, server: str, picture: Path, *more: str) -> int:
    return main(["classify", str(picture), "--bundle", str(network.directory), "--server", server, *more])


def test_people_are_told_shape_and_range(
    network: Bundle, server: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert classify(network, server, pictures / "n1" / "0.png", "--outputs", "code") == 0
    assert "; code 4 in [" in capsys.readouterr().out


def test_an_output_that_is_not_there_is_wrong_input(
    network: Bundle, server: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert classify(network, server, pictures / "n1" / "0.png", "--outputs", "boxes") == 2
    assert "no output 'boxes' in this bundle; it has scores, code, heat, spots" in capsys.readouterr().err


def test_a_ceiling_of_the_cloud_is_told_by_name(
    network: Bundle, pictures: Path, processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    _, address = start_cloud(processes, network, 0, "--max-output-bytes", "100")
    assert classify(network, address, pictures / "n1" / "0.png", "--output", "jsonl:-") == 1
    told = json.loads(capsys.readouterr().out)["error"]
    assert told.startswith("OUTPUTS_TOO_LARGE: the outputs of this frame are ")
    assert "--max-output-bytes" in told
