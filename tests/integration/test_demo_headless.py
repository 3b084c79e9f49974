"""`siftfunnel demo --headless` with real processes: its summary, its promises and its refusals."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run_siftfunnel
from tests.integration.demo_stage import BUNDLES, Stage, make_stage

BUNDLE_KEYS = {
    "frames_sent",
    "frames_answered",
    "frame_errors",
    "frames_superseded",
    "accuracy",
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


def play(stage: Stage, folder: Path, *flags: str | Path) -> dict[str, Any]:
    """Run the demo to its end, and return its summary."""
    summary = folder / "summary.json"
    arguments = ["demo", "--headless", "--http-port=0", f"--summary={summary}", *flags]
    result = run_siftfunnel(arguments, **stage.environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "http://127.0.0.1:" in result.stdout
    value = json.loads(summary.read_text())
    assert isinstance(value, dict)
    return value


def test_every_frame_through_every_bundle_is_answered_and_intercepted(stage: Stage, tmp_path: Path) -> None:
    summary = play(stage, tmp_path, "--images", stage.images, "--frames=30", "--rate=40")
    assert set(summary) == {"bundles", "versions", "machine"}
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
        (["--images={flat}"], "tiny-siftfunnel: circle, square, triangle"),
        (["--images={flat}", "--bundle=nonsense"], "no bundle 'nonsense'"),
        (["--images={images}", "--codec=q99"], "it has fp32, fp16, int8, q8, q7, q6, q5, q4"),
        (["--images={images}/nowhere"], "no such folder"),
        (["--images={images}", "--frames=0"], "--frames must be at least 1"),
        (["--images={images}", "--rate=-3"], "--rate must be above 0"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(flags: list[str], message: str, stage: Stage) -> None:
    filled = [flag.format(flat=stage.flat, images=stage.images) for flag in flags]
    result = run_siftfunnel(["demo", "--headless", *filled], **stage.environment)
    assert result.returncode == 2
    assert result.stderr.startswith("siftfunnel demo: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_folders_named_after_no_class_list_the_bundles(stage: Stage, tmp_path: Path) -> None:
    odd = tmp_path / "unicorn"
    odd.mkdir()
    (odd / "1.png").write_bytes((stage.images / "circle" / "0.png").read_bytes())
    result = run_siftfunnel(["demo", "--headless", "--images", tmp_path], **stage.environment)
    assert result.returncode == 2
    assert "unicorn" in result.stderr
    assert "tiny-unprotected: circle, square, triangle" in result.stderr
