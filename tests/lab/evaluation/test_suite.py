"""AutoInvert is data: what it holds, how its attacks build on one another, and what committed results say."""

import json
from pathlib import Path
from typing import Any

import pytest

import siftfunnel.lab
from siftfunnel.lab.attacks.identity import IdentitySeeker
from siftfunnel.lab.attacks.refined import RefinedRMLE
from siftfunnel.lab.audit.budgets import BUDGETS, OLD_NAMES, budget
from siftfunnel.lab.audit.cli import BUDGET_NAMES
from siftfunnel.lab.evaluation.agreement import agreement_of, agreement_with, write_agreement
from siftfunnel.lab.evaluation.ranking import agreement_told, by_strength, columns_of, strongest, suite_told
from siftfunnel.lab.evaluation.suite import SUITES, Suite, suite
from siftfunnel.lab.study.cli import SUITE_NAMES
from tests.lab.attacks.tiny import tiny_victim
from tests.lab.audit.numbers import attack

RESULTS = Path(siftfunnel.lab.__file__).parent / "results" / "cpu"


@pytest.mark.parametrize("path", sorted(RESULTS.rglob("*.json")), ids=lambda path: path.stem)
def test_every_committed_row_says_its_suite_and_those_of_this_one_its_settings(path: Path) -> None:
    result = json.loads(path.read_text())
    if "suite" not in result:
        assert suite_told(result) == "study-cpu, before AutoInvert"
        return
    stored = result["suite"]
    assert stored == json.loads(json.dumps(SUITES[stored["budget"]].to_json()))


@pytest.mark.parametrize("name", sorted(SUITES))
def test_an_attack_that_starts_from_anothers_result_starts_from_the_suites_own(name: str) -> None:
    chosen = suite(name)
    names = list(chosen.every)
    for later in (chosen.attack("refined-rmle"), chosen.attack("identity")):
        assert isinstance(later, RefinedRMLE | IdentitySeeker)
        assert later.start == chosen.attack("residual")
        assert names.index("residual") < names.index(later.name)


def test_every_budget_attacks_with_the_same_attacks_on_the_same_pictures() -> None:
    alike = {(tuple(each.every), each.attacked, each.frames, each.averaged) for each in SUITES.values()}
    assert len(alike) == 1
    assert suite("fast").at(224, 224).attacked < suite("fast").attacked
    assert suite("fast").at(32, 32) is suite("fast")
    with pytest.raises(ValueError, match="unknown budget 'slow' of AutoInvert v1; known: fast"):
        suite("slow")


def test_noise_is_averaged_by_the_attacks_that_the_suite_names() -> None:
    two = Suite.of("two", {"residual": {}, "unet": {}}, frames=4)
    still, noisy = tiny_victim(), tiny_victim(stage=lambda z: z)
    once = [("residual", 1), ("unet", 1)]
    assert [(attack.name, frames) for attack, frames in two.planned(still)] == once
    assert [(attack.name, frames) for attack, frames in two.planned(noisy)] == [*once, ("residual", 4)]


def test_the_commands_offer_every_budget_and_the_audits_its_old_names() -> None:
    assert set(BUDGET_NAMES) == {*BUDGETS, *OLD_NAMES}
    assert list(SUITE_NAMES) == list(SUITES) == list(BUDGETS)
    assert budget("quick") is BUDGETS["fast"]


def test_the_strongest_attack_has_the_highest_mean_psnr() -> None:
    entries = {name: attack(mean) for name, mean in (("a", 10.0), ("b", 20.0), ("c", 15.0))}
    assert by_strength(entries) == ["b", "c", "a"]
    assert strongest(entries) == "b"
    assert strongest({}) is None


def test_one_frame_and_many_are_two_columns_and_identity_is_another_question_than_decibels() -> None:
    seeker = attack(14.0)
    seeker["scores"]["identity"] = {"reidentified_rank1": 0.9}
    entries = {"residual": attack(15.0), "identity": seeker, "residual-averaged-16": attack(18.0, frames=16)}
    one, many = columns_of(entries)["1"], columns_of(entries)["16"]
    assert (one["attack"], one["identity_attack"], one["identified"]) == ("residual", "identity", 0.9)
    assert (many["attack"], many["psnr_db"]) == ("residual-averaged-16", 18.0)
    assert columns_of({}) == {}


def stored_row(folder: Path, name: str, budget_name: str, mean: float) -> None:
    chosen = SUITES[budget_name].to_json()
    attacks: dict[str, Any] = {key: attack(mean) for key in chosen["attacks"]}
    place = folder / ("" if budget_name == "standard" else budget_name)
    place.mkdir(parents=True, exist_ok=True)
    row = {"suite": chosen, "attacks": attacks, "columns": columns_of(attacks)}
    (place / f"{name}.json").write_text(json.dumps(row))


def test_budgets_are_compared_over_rows_that_both_attacked_and_short_ones_print_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no 3 rows that two budgets of AutoInvert attacked in full"):
        agreement_of(tmp_path)
    for name, short, long in (("a", 10.0, 12.0), ("b", 14.0, 15.0), ("c", 20.0, 23.0), ("d", 30.0, None)):
        stored_row(tmp_path, name, "fast", short)
        if long is not None:
            stored_row(tmp_path, name, "standard", long)
    (pair,) = write_agreement(tmp_path, tmp_path / "agreement.json")["pairs"]
    figure = pair["columns"]["1"]["psnr_db"]
    assert pair["rows"] == ["a", "b", "c"]
    assert (figure["rank_correlation"], figure["offset"]) == (pytest.approx(1.0), pytest.approx(2.0))
    assert agreement_with(suite("fast"), tmp_path / "agreement.json") == [agreement_told(pair)]
    assert agreement_with(suite("thorough"), tmp_path / "agreement.json") == []
    assert "has not been measured" in agreement_with(suite("standard"), tmp_path / "agreement.json")[0]
