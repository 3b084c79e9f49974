"""`siftfunnel demo --headless` with real processes: its summary, its promises and its refusals."""

import json
import os
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from siftfunnel.cli import main
from tests.conftest import run_siftfunnel
from tests.integration.demo_stage import BUNDLES, Stage, make_stage

BUNDLE_KEYS = {
    "codec",
    "frames_lost",
    "images_skipped",
    "frames_sent",
    "frames_answered",
    "frame_errors",
    "frames_superseded",
    "accuracy",
    "classes",
    "outputs",
    "edge_ms_p50",
    "round_trip_ms_p50",
    "round_trip_ms_p99",
    "payload_bytes_mean",
    "wire_bytes_mean",
    "attacker",
}
ATTACKER_KEYS = {"frames_intercepted", "frames_reconstructed", "mse_mean", "psnr_mean", "ssim_mean"}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return make_stage(tmp_path_factory.mktemp("stage"))


def run_demo(stage: Stage, folder: Path, *flags: str | Path) -> tuple[CompletedProcess[str], dict[str, Any]]:
    """Run the demo to its end, and return what it printed and its summary."""
    summary = folder / "summary.json"
    arguments = ["demo", "--headless", "--http-port=0", f"--summary={summary}", *flags]
    result = run_siftfunnel(arguments, **stage.environment)
    assert "Traceback" not in result.stderr
    return result, json.loads(summary.read_text())


def play(stage: Stage, folder: Path, *flags: str | Path) -> dict[str, Any]:
    """Run a demo that keeps its promises, and return its summary."""
    result, summary = run_demo(stage, folder, *flags)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "http://127.0.0.1:" in result.stdout
    return summary


def test_every_frame_through_every_bundle_is_answered_and_intercepted(stage: Stage, tmp_path: Path) -> None:
    """Its logs lie in a new folder meanwhile, and nothing that was beside it is touched."""
    mine = {"my.log": b"log", "flows.jsonl": b"flows", "certificates/ca.key": b"the key", "cloud.log": b"c"}
    for name, content in mine.items():
        (tmp_path / "kept" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "kept" / name).write_bytes(content)
    flags = ["--frames=30", "--rate=40", "--seed=3", "--log-dir", tmp_path / "kept"]
    summary = play(stage, tmp_path, "--images", stage.images, *flags)
    assert {name: (tmp_path / "kept" / name).read_bytes() for name in mine} == mine
    (fresh,) = (tmp_path / "kept").glob("siftfunnel-demo-*")
    assert {path.name for path in fresh.iterdir()} == {"cloud.log", "edge.log", "attacker.log"}
    assert set(summary) == {"bundles", "settings", "skipped", "versions", "machine"}
    assert summary["settings"] == {
        "tls": False,
        "rate_fps": 40.0,
        "seed": 3,
        "frames": 30,
        "images": str(stage.images),
    }
    assert list(summary["bundles"]) == list(BUNDLES)
    for figures in summary["bundles"].values():
        assert set(figures) == BUNDLE_KEYS
        assert set(figures["attacker"]) == ATTACKER_KEYS
        assert figures["frames_sent"] == 30
        assert figures["frames_answered"] + figures["frame_errors"] + figures["frames_superseded"] == 30
        assert (figures["frame_errors"], figures["frames_superseded"]) == (0, 0)
        assert 0 <= figures["accuracy"] <= 1
        assert figures["edge_ms_p50"] > 0
        assert 0 < figures["round_trip_ms_p50"] <= figures["round_trip_ms_p99"]
        assert 0 < figures["payload_bytes_mean"] < figures["wire_bytes_mean"]
        attacker = figures["attacker"]
        assert attacker["frames_intercepted"] == 30
        assert attacker["frames_reconstructed"] == 30
        assert 0 < attacker["mse_mean"] < 1
        assert 0 < attacker["psnr_mean"] < 100
        assert -1 <= attacker["ssim_mean"] <= 1
    assert set(summary["versions"]) == {"siftfunnel", "onnxruntime", "grpcio", "numpy", "python"}
    assert set(summary["machine"]) == {"cpu", "cores", "memory_bytes", "os", "python"}


def test_over_tls_the_curious_cloud_still_hears_every_frame(stage: Stage, tmp_path: Path) -> None:
    flags = ["--frames=12", "--rate=40", "--tls", "--bundle=tiny-siftfunnel", "--codec=fp16"]
    summary = play(stage, tmp_path, "--images", stage.images, *flags)
    (figures,) = summary["bundles"].values()
    assert (figures["codec"], summary["settings"]["tls"]) == ("fp16", True)
    assert (figures["frames_sent"], figures["frames_answered"]) == (12, 12)
    assert figures["attacker"]["frames_intercepted"] == 12
    assert figures["attacker"]["frames_reconstructed"] == 12
    assert figures["payload_bytes_mean"] == 12 * 8 * 8 * 2 + 4


@pytest.mark.slow
def test_a_flat_folder_has_no_accuracy_and_cycles_when_frames_exceed_it(stage: Stage, tmp_path: Path) -> None:
    flags = ["--frames=20", "--rate=40", "--bundle=tiny-unprotected"]
    summary = play(stage, tmp_path, "--images", stage.flat, *flags)
    (figures,) = summary["bundles"].values()
    assert figures["frames_answered"] == 20
    assert figures["accuracy"] is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--images={flat}", "--bundle=nonsense"], "no bundle 'nonsense'"),
        (["--images={images}", "--codec=q99"], "it has fp32, fp16, int8, q8, q7, q6, q5, q4"),
        (["--images={images}/nowhere"], "no such folder"),
        (["--images={images}", "--summary={images}/nowhere/s.json"], "nowhere/s.json: no such folder"),
        (["--images={images}", "--frames=0"], "frames must be at least 1"),
        (["--images={images}", "--rate=-3"], "rate_fps must be above 0"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(
    flags: list[str],
    message: str,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in stage.environment.items():
        monkeypatch.setenv(name, value)
    filled = [flag.format(flat=stage.flat, images=stage.images) for flag in flags]
    assert main(["demo", "--headless", *filled]) == 2
    said = capsys.readouterr().err
    assert said.startswith("siftfunnel demo: ")
    assert message in said
    assert "Traceback" not in said


def test_pictures_of_something_else_play_without_labels_and_that_is_said(
    stage: Stage, tmp_path: Path
) -> None:
    """The first thing a new user does with pictures of one's own, one of which is no picture."""
    odd = tmp_path / "pictures" / os.fsdecode(b"unicorns \xff")
    odd.mkdir(parents=True)
    for number in range(2):
        picture = (stage.images / "circle" / f"{number}.png").read_bytes()
        (odd / os.fsdecode(b"%d \xfe.png" % number)).write_bytes(picture)
    (odd / "broken.png").write_bytes(b"no picture")
    flags = ["--images", tmp_path / "pictures", "--frames=6", "--rate=40"]
    result, summary = run_demo(stage, tmp_path, *flags)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "unicorns" in result.stdout
    assert "play without labels" in result.stdout
    assert result.stdout.count("skipped ") == 1
    assert "broken.png" in result.stdout
    assert summary["skipped"]["pictures"] == 1
    for figures in summary["bundles"].values():
        # a picture that cannot be read is no frame: another one takes its place
        assert (figures["frames_answered"], figures["accuracy"]) == (6, None)
        assert figures["images_skipped"] == 1  # however often it came round


def test_a_folder_of_nothing_that_can_be_read_fails_with_the_reason(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        (tmp_path / "pictures" / f"{number}.png").write_bytes(b"no picture")
    result, summary = run_demo(stage, tmp_path, "--images", tmp_path / "pictures", "--frames=2")
    assert result.returncode == 1
    assert "no frame was answered" in result.stderr
    assert "0.png" in result.stdout + result.stderr
    assert len(summary["skipped"]["reasons"]) == 3
