import pytest

from siftfunnel.lab.attacks.registry import make_attack
from siftfunnel.lab.evaluation.checks import (
    auxiliary_is_alike,
    beats_mean_image,
    budget_is_enough,
    feature_loss_reached,
    learns_by_heart,
    run_checks,
    start_does_not_matter,
    white_box_not_weaker,
)
from siftfunnel.lab.evaluation.probing import budget_field, halved
from tests.lab.audit.numbers import attack, references


def test_a_white_box_attack_that_loses_on_every_picture_fails() -> None:
    attacks = {
        "rmle": attack(15, label="rMLE", access="white-box", per_image=[14, 15, 15, 16]),
        "residual": attack(18, label="Residual", per_image=[17, 18, 18, 19]),
    }
    check = white_box_not_weaker(attacks)
    assert check.status == "FAIL"
    assert check.finding == (
        "rMLE minus Residual, picture by picture: -3.00 dB (95 % interval -3.00 to -3.00)."
    )


def test_a_white_box_attack_that_loses_within_the_interval_passes() -> None:
    attacks = {
        "rmle": attack(17.9, access="white-box", per_image=[10, 20, 20, 21.6]),
        "residual": attack(18, per_image=[14, 18, 19, 21]),
    }
    assert white_box_not_weaker(attacks).status == "PASS"


def test_the_best_of_each_kind_is_compared() -> None:
    attacks = {
        "rmle-authors": attack(6, access="white-box", as_the_paper=True),
        "rmle": attack(19, access="white-box"),
        "generative-black-box": attack(12),
        "residual": attack(18),
    }
    check = white_box_not_weaker(attacks)
    assert (check.status, check.figures["white_box"], check.figures["other"]) == ("PASS", "rmle", "residual")


@pytest.mark.parametrize("access", ["white-box", "black-box"])
def test_one_kind_alone_cannot_be_compared(access: str) -> None:
    assert white_box_not_weaker({"only": attack(15, access=access)}).status == "NOT APPLICABLE"


def test_averaged_looks_are_not_compared_with_single_ones() -> None:
    attacks = {
        "rmle": attack(15, access="white-box"),
        "residual": attack(14),
        "residual-averaged-16": attack(25, frames=16),
    }
    assert white_box_not_weaker(attacks).status == "PASS"


@pytest.mark.parametrize(("loss", "status"), [(0.01, "PASS"), (0.05, "PASS"), (0.2, "FAIL")])
def test_a_descent_arrives_at_a_twentieth_of_the_mean_pictures_loss(loss: float, status: str) -> None:
    attacks = {
        "rmle": attack(15, access="white-box", details={"relative_feature_loss_median": loss}),
        "residual": attack(15),
    }
    assert feature_loss_reached(attacks, stochastic=False).status == status


def test_the_descent_as_the_paper_has_it_is_not_asked_to_arrive() -> None:
    details = {"relative_feature_loss_median": 0.9}
    attacks = {"rmle-authors": attack(6, access="white-box", as_the_paper=True, details=details)}
    assert feature_loss_reached(attacks, stochastic=False).status == "NOT APPLICABLE"


def test_no_picture_matches_a_feature_with_noise() -> None:
    attacks = {"rmle": attack(15, access="white-box", details={"relative_feature_loss_median": 0.9})}
    assert feature_loss_reached(attacks, stochastic=True).status == "NOT APPLICABLE"


@pytest.mark.parametrize(
    ("by_start", "status"),
    [
        ([0.10, 0.15], "PASS"),
        ([0.10, 0.30], "FAIL"),
        ([0.001, 0.015], "PASS"),
        ([0.30, 0.10, 0.11], "FAIL"),
        ([0.10], "NOT APPLICABLE"),
    ],
)
def test_starts_agree_within_a_factor_of_two_or_where_both_arrive(by_start: list[float], status: str) -> None:
    attacks = {"rmle": attack(15, access="white-box", details={"scaled_feature_loss_by_start": by_start})}
    assert start_does_not_matter(attacks).status == status


@pytest.mark.parametrize(("gain", "status"), [(-0.1, "PASS"), (0.49, "PASS"), (0.5, "FAIL")])
def test_half_a_decibel_from_twice_the_budget_is_too_much(gain: float, status: str) -> None:
    half = {"label": "R", "what": "epochs", "half": 5, "all": 10, "gain_db": gain, "pictures": 9}
    assert budget_is_enough(half).status == status
    assert budget_is_enough(None).status == "NOT APPLICABLE"


@pytest.mark.parametrize(("reached", "status"), [(25.0, "PASS"), (24.9, "FAIL")])
def test_learning_by_heart_means_25_decibels(reached: float, status: str) -> None:
    assert learns_by_heart({"label": "R", "pictures": 8, "psnr_db": reached}).status == status
    assert learns_by_heart(None).status == "NOT APPLICABLE"


@pytest.mark.parametrize(("held_back", "status"), [(17.0, "PASS"), (19.0, "PASS"), (19.1, "FAIL")])
def test_own_pictures_may_be_easier_by_a_decibel(held_back: float, status: str) -> None:
    attacks = {"residual": attack(18, fit={"held_back_psnr": held_back})}
    assert auxiliary_is_alike(attacks).status == status


def test_an_attack_below_the_mean_picture_fails_and_is_named() -> None:
    attacks = {"rmle": attack(11, label="rMLE done right", access="white-box"), "residual": attack(14)}
    check = beats_mean_image(attacks, references(mean_image=12))
    assert check.status == "FAIL"
    assert check.finding == "The mean picture scores 12.00 dB. Below it: rMLE done right (11.00 dB)."


def test_the_papers_weak_attack_below_the_mean_picture_is_only_mentioned() -> None:
    attacks = {
        "rmle-authors": attack(6, label="rMLE as released", as_the_paper=True),
        "residual": attack(14),
    }
    check = beats_mean_image(attacks, references(mean_image=12))
    assert check.status == "PASS"
    assert "rMLE as released (6.00 dB)" in check.finding


def test_all_checks_run_on_one_attack_without_details() -> None:
    checks = run_checks({"residual": attack(15)}, references(), stochastic=False, half=None, memory=None)
    assert [check.status for check in checks] == [*["NOT APPLICABLE"] * 6, "PASS"]
    assert all(check.failure_means for check in checks)


def test_half_a_budget_is_half_of_its_floor_of_steps_too() -> None:
    attack = make_attack("residual", epochs=8, least_steps=448)
    name = budget_field(attack)
    assert name is not None
    assert halved(attack, name) == make_attack("residual", epochs=4, least_steps=224)
