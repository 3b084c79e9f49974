"""Suites are data: what they hold, how their attacks build on one another, and what committed results say."""

import json
from pathlib import Path

import pytest

import siftfunnel.lab
from siftfunnel.lab.attacks.refined import RefinedRMLE
from siftfunnel.lab.audit.budgets import BUDGETS
from siftfunnel.lab.audit.cli import BUDGET_NAMES
from siftfunnel.lab.evaluation.scores import by_strength, strongest
from siftfunnel.lab.evaluation.suite import SUITES, Suite
from siftfunnel.lab.study.sizes import PROFILES
from tests.lab.attacks.tiny import tiny_victim

RESULTS = Path(siftfunnel.lab.__file__).parent / "results" / "cpu"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_committed_rows_were_attacked_with_todays_settings_so_nothing_is_attacked_anew(path: Path) -> None:
    stored = json.loads(path.read_text())["profile_settings"]
    assert stored == json.loads(json.dumps(PROFILES["cpu"].settings()))


@pytest.mark.parametrize("name", sorted(SUITES))
def test_an_attack_that_starts_from_anothers_result_starts_from_the_suites_own(name: str) -> None:
    suite = SUITES[name]
    refined = suite.attack("refined-rmle")
    assert isinstance(refined, RefinedRMLE)
    assert refined.start == suite.attack("residual")
    names = [attack.name for attack in (*suite.attacks, *suite.further)]
    assert "refined-rmle" not in names or names.index("residual") < names.index("refined-rmle")


def test_noise_is_averaged_by_the_attacks_that_the_suite_names() -> None:
    suite = Suite.of("two", {"residual": {}, "unet": {}}, frames=4)
    still, noisy = tiny_victim(), tiny_victim(stage=lambda z: z)
    once = [("residual", 1), ("unet", 1)]
    assert [(attack.name, frames) for attack, frames in suite.planned(still)] == once
    assert [(attack.name, frames) for attack, frames in suite.planned(noisy)] == [*once, ("residual", 4)]


def test_the_audits_command_offers_every_budget() -> None:
    assert set(BUDGET_NAMES) == set(BUDGETS)


def test_the_strongest_attack_has_the_highest_mean_psnr() -> None:
    entries = {
        name: {"scores": {"standard": {"psnr_db": {"mean": mean}}}}
        for name, mean in (("a", 10.0), ("b", 20.0), ("c", 15.0))
    }
    assert by_strength(entries) == ["b", "c", "a"]
    assert strongest(entries) == "b"
    assert strongest({}) is None
