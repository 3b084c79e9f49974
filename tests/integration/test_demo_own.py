"""`siftfunnel demo` with somebody's own network: several tensors, no classes, a folder of pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from siftfunnel.shared.bundle import Bundle
from tests.conftest import run_siftfunnel
from tests.tinynetwork import make_own_bundle, make_own_inverter, make_tiny_network


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("mine")
    rng = np.random.default_rng(0)
    for number, (kind, size) in enumerate(
        [("holiday", (300, 200)), ("party", (90, 240)), ("party", (64, 48))]
    ):
        (folder / "pictures" / kind).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / kind / f"{number}.jpg")
    bundle = make_own_bundle(folder / "bundle", "mine")
    make_own_inverter(folder / "inverter", bundle)
    return bundle


def play(mine: Bundle, summary: Path, *flags: str) -> tuple[str, dict[str, Any]]:
    """Run the demo on the network; what it printed, and the network's part of its summary."""
    told = ["demo", "--headless", "--http-port=0", f"--summary={summary}", f"--bundle={mine.directory}"]
    images = mine.directory.parent / "pictures"
    result = run_siftfunnel([*told, f"--images={images}", "--frames=8", "--rate=20", *flags])
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout, json.loads(summary.read_text())["bundles"]["mine"]


def test_ones_own_network_is_tapped_and_its_outputs_are_told(mine: Bundle, tmp_path: Path) -> None:
    said, told = play(mine, tmp_path / "summary.json", f"--inverter={mine.directory.parent / 'inverter'}")
    assert "mine: no list of classes" in said
    assert "mine (fp16) answered: embedding 16 in [" in said
    assert (told["frames_answered"], told["accuracy"], told["classes"]) == (8, None, {})
    assert told["outputs"]["boxes"] == {
        "frames": 8,
        "shape": [6, 4],
        "lowest": 0.0,
        "highest": pytest.approx(64),
    }
    assert list(told["outputs"]) == ["embedding", "boxes", "scores", "heat"]
    attacker = told["attacker"]
    assert (attacker["frames_intercepted"], attacker["frames_reconstructed"]) == (8, 8)
    assert 0 < attacker["psnr_mean"] < 100


@pytest.mark.slow
def test_without_a_decoder_it_is_tapped_all_the_same_and_how_to_make_one_is_said(
    mine: Bundle, tmp_path: Path
) -> None:
    said, told = play(mine, tmp_path / "summary.json")
    images = mine.directory.parent / "pictures"
    assert f"siftfunnel lab inverter {mine.directory} --images {images} --out inverters/mine" in said
    attacker = told["attacker"]
    assert (attacker["frames_intercepted"], attacker["frames_reconstructed"]) == (8, 0)
    assert attacker["psnr_mean"] is None


@pytest.mark.slow
def test_folders_may_be_called_by_a_class_s_id_where_two_classes_share_a_name(tmp_path: Path) -> None:
    bundle = make_tiny_network(tmp_path / "bundle", name="mine")
    rng = np.random.default_rng(0)
    for number in range(4):
        folder = tmp_path / "pictures" / ("n1", "n2", "crane", "n3")[number]
        folder.mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)).save(folder / "picture.png")
    said, told = play(bundle, tmp_path / "summary.json")
    assert "name no class" not in said
    assert told["accuracy"] is not None
    assert sum(told["classes"].values()) == 8
    assert list(told["outputs"]) == ["code", "heat", "spots"]


def test_a_decoder_that_is_not_there_is_refused_before_anything_starts(mine: Bundle, tmp_path: Path) -> None:
    flags = [f"--bundle={mine.directory}", f"--images={mine.directory.parent / 'pictures'}"]
    result = run_siftfunnel(["demo", "--headless", *flags, f"--inverter={tmp_path / 'nowhere'}"])
    assert result.returncode == 2
    assert "--inverter: " in result.stderr
    assert "no such directory" in result.stderr
