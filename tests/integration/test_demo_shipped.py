"""The demo as a first-time user runs it: shipped faces, shipped bundles, shipped inverters."""

import json
from pathlib import Path

import pytest

from tests.conftest import run_siftfunnel

KINDS = ("siftfunnel", "siftfunnel-rate", "unprotected")
SHIPPED = [f"{task}-{kind}" for task in ("cifar10", "drawnfaces") for kind in KINDS]


def test_every_shipped_bundle_is_unchanged_and_has_its_inverter_and_accuracy() -> None:
    verified = run_siftfunnel(["bundle", "verify", "--json"], SIFTFUNNEL_MODELS="", SIFTFUNNEL_INVERTERS="")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert sorted(result["bundle"] for result in json.loads(verified.stdout)) == SHIPPED
    listed = run_siftfunnel(["bundle", "list", "--json"], SIFTFUNNEL_MODELS="", SIFTFUNNEL_INVERTERS="")
    facts = json.loads(listed.stdout)
    assert facts["problems"] == []
    for fact in facts["bundles"]:
        assert fact["inverter"] is not None, fact["name"]
        for codec, figures in fact["figures"].items():
            # they have labels, and no uncut network to agree with
            told = {name: value for name, value in figures.items() if name != "agreement"}
            assert None not in told.values(), (fact["name"], codec)


@pytest.mark.parametrize("tls", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_first_run_shows_what_the_defence_changes(tls: bool, tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    flags = ["--headless", "--frames=24", "--rate=20", "--http-port=0", f"--summary={summary}"]
    flags += ["--tls"] if tls else []
    result = run_siftfunnel(["demo", *flags], SIFTFUNNEL_MODELS="", SIFTFUNNEL_INVERTERS="")
    assert result.returncode == 0, result.stdout + result.stderr
    bundles = json.loads(summary.read_text())["bundles"]
    kinds = ("unprotected", "siftfunnel", "siftfunnel-rate")
    assert list(bundles) == [f"drawnfaces-{kind}" for kind in kinds]
    for figures in bundles.values():
        assert (figures["frames_sent"], figures["frames_answered"]) == (24, 24)
        assert figures["attacker"]["frames_intercepted"] == 24
        assert figures["attacker"]["frames_reconstructed"] == 24
        assert figures["accuracy"] >= 0.75
    unprotected, protected, rate_trained = (bundle["attacker"] for bundle in bundles.values())
    assert unprotected["psnr_mean"] >= 26
    assert unprotected["psnr_mean"] > protected["psnr_mean"] + 3
    assert unprotected["ssim_mean"] > protected["ssim_mean"]
    assert rate_trained["psnr_mean"] < protected["psnr_mean"]
