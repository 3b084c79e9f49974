"""Entries of an audit under AutoInvert, with the bundle's certificate, as both are written now."""

import json
from pathlib import Path
from typing import Any

import pytest

from siftfunnel.lab.board.certificate import certificate_of
from siftfunnel.lab.board.entry import BoardError, as_json
from siftfunnel.lab.board.sources import entries_of
from siftfunnel.lab.evaluation.suite import SUITES
from siftfunnel.shared.bundle import Bundle, write_bundle
from tests.lab.audit.numbers import attack
from tests.tinybundle import make_tiny_bundle

IDENTITY = {"reidentified_rank1": 0.9, "perceptual_distance": 0.4, "perceptual_ci95": [0.3, 0.5]}
CERTIFICATE = {
    "equal_bytes": {"pictures": 10, "sets": {"found": 9, "mse": 0.01, "attack_mse": 0.02}},
    "rate": {"pictures": 400, "by_frames": {"1": {"mse": 0.002}, "16": {"mse": 1e-7}}},
    "noise": {"reason": "the device draws no noise"},
    "attack_on_ruler": {"by_frames": {"1": {"mse": 0.004}, "16": {"mse": 0.004}}},
}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A tiny bundle with a certificate in its report."""
    plain = make_tiny_bundle(tmp_path / "tiny")
    files = {name: plain.read(name) for name in plain.manifest.files}
    return write_bundle(plain.directory, plain.manifest, files, {"certificates": {"q6": CERTIFICATE}})


def report(bundle: Bundle, **more: Any) -> dict[str, Any]:
    """An audit's report under AutoInvert's shortest budget, as far as a board reads it."""
    attacks = {
        "residual": attack(16.0, label="Residual inverter"),
        "rmle": attack(15.0, label="rMLE", access="white-box"),
        "residual-averaged-16": attack(18.0, label="Residual inverter", frames=16),
        "deep-image-prior": attack(30.0, label="Not of the suite"),
    }
    attacks["rmle"]["scores"]["identity"] = IDENTITY
    target = {
        "name": "tiny",
        "digest": bundle.digest,
        "architecture": None,
        "split_point": None,
        "defence": "none",
        "input": [3, 32, 32],
        "heard_after": "q6",
        "stochastic": True,
    }
    data = {"name": "mine", "attacked_pictures": 4, "attacked_sha256": "0" * 64, "auxiliary_pictures": 40}
    return {
        "target": target,
        "dataset": data,
        "budget": "fast",
        "suite": SUITES["fast"].to_json(),
        "verdict": {},
        "wire": {"codecs": {"q6": {"payload_bytes_mean": 100.0}}, "default": "q6"},
        "accuracy": {"measured": False, "reason": "no labels"},
        "attacks": {key: {**one, "source": "a paper"} for key, one in attacks.items()},
        "checks": [{"key": "white-box", "status": "FAIL", "finding": "weaker"}],
        "flags": [{"about": "rmle", "kind": "edge-of-grid", "text": "the last tried"}],
        "provenance": None,
        **more,
    }


def stored(tmp_path: Path, values: dict[str, Any]) -> Path:
    (tmp_path / "report.json").write_text(json.dumps(values))
    return tmp_path / "report.json"


def test_an_audit_gives_one_frame_many_frames_and_identity_apart(tmp_path: Path, bundle: Bundle) -> None:
    (one,) = entries_of(stored(tmp_path, report(bundle)), {bundle.digest: bundle})
    suite = one.suite
    assert one.id == "tiny-q6-fast"
    assert suite is not None
    assert suite.from_16 is not None
    assert suite.telling is not None
    assert one.best_known is not None
    assert (suite.name, suite.version, suite.budget) == ("AutoInvert", 1, "fast")
    assert suite.agreement
    assert (suite.from_1.psnr_db, suite.from_16.psnr_db) == (16.0, 18.0)
    assert suite.telling.identified == 0.9
    assert suite.attacks == ("residual", "rmle")
    assert one.best_known.leak.psnr_db == 30.0
    assert {flag.kind for flag in one.flags} == {"edge-of-grid", "white-box"}
    assert one.edge_macs
    assert one.answers is None


def test_a_certificate_says_what_it_bounds_and_nothing_where_it_bounds_nothing(bundle: Bundle) -> None:
    told = [(one.kind, one.frames, one.mse_db, one.attack_mse_db) for one in certificate_of(bundle, "q6")]
    assert told == [
        ("equal bytes", 1, 20.0, 16.99),
        ("ruler, rate", 1, 26.99, 23.98),
        ("ruler, rate", 16, None, 23.98),
    ]
    assert "9 of 10" in certificate_of(bundle, "q6")[0].says
    assert certificate_of(bundle, "q4") == []


def test_an_audit_of_a_bundle_that_is_not_here_gives_what_its_report_has(
    tmp_path: Path, bundle: Bundle
) -> None:
    (one,) = entries_of(stored(tmp_path, report(bundle)), {})
    assert one.edge_macs is None
    assert one.certificate == ()
    assert as_json(one)["origin"]["file"] is None


def test_a_budget_that_nobody_knows_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    suite = {**SUITES["fast"].to_json(), "budget": "endless"}
    with pytest.raises(BoardError, match="endless"):
        entries_of(stored(tmp_path, report(bundle, suite=suite)), {bundle.digest: bundle})
