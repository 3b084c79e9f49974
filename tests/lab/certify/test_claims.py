from pathlib import Path
from typing import Any

import pytest

from siftfunnel.cli import main
from siftfunnel.lab.audit import audit as audit_module
from siftfunnel.lab.certify.claims import Claim, ClaimError, try_claims
from tests.tinybundle import make_tiny_bundle


def entry(psnr: float, half: float, ssim: float = 0.3, rank1: float = 0.5) -> dict:
    def score(value: float, half: float) -> dict:
        return {"mean": value, "ci95": [value - half, value + half]}

    standard = {"psnr_db": score(psnr, half), "ssim": score(ssim, 0.01)}
    return {
        "label": f"gets {psnr}",
        "scores": {"standard": standard, "retrieval_rank1": rank1, "pictures": 100},
    }


ATTACKS = {"weak": entry(15.0, 0.2), "strong": entry(17.5, 0.3), "vague": entry(17.6, 3.0)}


@pytest.mark.parametrize(
    ("text", "falsified"),
    [
        ("mean PSNR at most 18 dB", False),
        ("mean PSNR at most 17.55 dB", None),
        ("mean PSNR <= 17 dB", True),
        ("The mean ssim stays below 0.25", True),
        ("mean SSIM below 0.35", False),
        ("retrieval at most 39 %", True),
        ("retrieved no more than 45 %", None),
        ("retrieval under 60%", False),
    ],
)
def test_a_claim_falls_where_an_attacks_interval_lies_above_it(text: str, falsified: bool | None) -> None:
    (tried,) = try_claims([Claim.parse(text)], ATTACKS)
    assert tried.falsified is falsified
    assert tried.to_json()["value"] == tried.value


def test_the_attack_that_refutes_a_claim_is_named_though_a_vaguer_one_gets_more() -> None:
    assert Claim.parse("mean PSNR at most 17 dB").tried(ATTACKS).attack == "gets 17.5"
    assert (
        "no" not in Claim.parse("mean PSNR at most 17 dB").tried(ATTACKS).says().split(".")[0].split(":")[1]
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nobody can see anything", "no figure"),
        ("mean PSNR at most low", "no number"),
        ("mean PSNR at most 18 or 20 dB", "several numbers"),
        ("mean PSNR and mean SSIM at most 18", "several figures"),
        ("mean PSNR at least 18 dB", "never that no more does"),
        ("mean PSNR 18 dB", "at most"),
    ],
)
def test_a_claim_that_cannot_be_tested_is_refused_with_what_can_be(text: str, why: str) -> None:
    with pytest.raises(ClaimError, match=f"{why}.*mean PSNR at most 18 dB"):
        Claim.parse(text)


@pytest.mark.parametrize(("claim", "code"), [("mean PSNR at most 17 dB", 1), ("mean PSNR at most 21 dB", 0)])
def test_an_audit_ends_with_1_when_it_falsifies_a_claim(
    claim: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def audited(*_: Any) -> dict[str, Any]:
        return {"attacks": ATTACKS, "verdict": {"headline": "a headline"}}

    monkeypatch.setattr(audit_module, "audit", audited)
    bundle = make_tiny_bundle(tmp_path / "cifar10-tiny")
    assert main(["lab", "audit", str(bundle.directory), "--claim", claim, "--device", "cpu"]) == code
    assert ("FALSIFIED" in capsys.readouterr().out) == bool(code)


def test_an_audit_refuses_a_claim_that_is_no_number_before_any_work(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["lab", "audit", "nowhere", "--claim", "nobody can see anything"]) != 0
    assert "cannot be tested" in capsys.readouterr().err
