from dataclasses import replace

import pytest

from siftfunnel.lab.audit.verdict import Attacker, Leak, Verdict, give_verdict, leak_of
from siftfunnel.lab.evaluation.checks import Check
from tests.lab.audit.numbers import attack, references

LEAK = Leak(
    attack="Residual inverter",
    mean_psnr_db=19.0,
    ci95=(18.7, 19.3),
    worst_psnr_db=20.0,
    rank1=0.9,
    pictures=100,
    mean_image_db=12.0,
    thumbnail_4x4_db=17.0,
    thumbnail_8x8_db=21.0,
)
ATTACKER = Attacker(
    white_box=True,
    pictures=3000,
    dataset="cifar10",
    stochastic=False,
    frames=1,
    not_tried=("U-Net inverter",),
)
BROKEN = Check("budget", "More budget no longer helps", "FAIL", "+2.00 dB.", "It was still improving.")
SOUND = Check("budget", "More budget no longer helps", "PASS", "+0.10 dB.", "It was still improving.")


def verdict(
    leak: Leak = LEAK, checks: tuple[Check, ...] = (SOUND,), kind: str | None = "category"
) -> Verdict:
    return give_verdict(leak, ATTACKER, checks, label_kind=kind)


def text_of(given: Verdict) -> str:
    return " ".join(f"{heading}: {text}" for heading, text in given.paragraphs)


@pytest.mark.parametrize(
    ("psnr_db", "level"),
    [
        (6.0, 0),
        (12.9, 0),
        (13.0, 1),
        (16.9, 1),
        (17.0, 2),
        (20.9, 2),
        (21.0, 3),
        (27.9, 3),
        (28.0, 4),
        (60.0, 4),
    ],
)
def test_the_level_goes_by_the_reference_rows_and_28_decibels(psnr_db: float, level: int) -> None:
    assert LEAK.level_of(psnr_db) == level
    assert verdict(replace(LEAK, mean_psnr_db=psnr_db, rank1=0.01)).level == level


def test_below_the_mean_picture_nothing_beyond_a_guess_was_recovered() -> None:
    given = verdict(replace(LEAK, mean_psnr_db=12.5, worst_psnr_db=12.9, rank1=0.01))
    assert given.headline == "Nothing visible beyond a guess was recovered"
    assert "1 % of the cases, which chance (1 %) explains" in text_of(given)


def test_an_invisible_leak_that_traces_the_picture_is_not_called_nothing() -> None:
    given = verdict(replace(LEAK, mean_psnr_db=12.5, worst_psnr_db=12.9, rank1=0.4))
    assert given.headline == "Little is visible, yet the reconstructions betray which picture it was"
    assert "40 % of the cases; chance is 1 %" in text_of(given)


@pytest.mark.parametrize(("rank1", "traceable"), [(0.01, False), (0.03, False), (0.05, True)])
def test_traceable_means_three_standard_errors_above_chance(rank1: float, traceable: bool) -> None:
    # chance 0.01, standard error 0.00995: the limit is 0.0398
    assert replace(LEAK, rank1=rank1).is_traceable is traceable


def test_the_worst_pictures_are_judged_by_the_same_scale() -> None:
    assert "They fall into the same class as the average." in text_of(verdict())
    exposed = text_of(verdict(replace(LEAK, worst_psnr_db=29.0)))
    assert "The worst 1 % are restored at 29.0 dB: nearly the picture itself." in exposed
    assert "An average hides them" in exposed


def test_a_low_leak_with_a_failed_check_is_inconclusive() -> None:
    given = verdict(checks=(BROKEN,))
    assert (given.level, given.conclusive) == (2, False)
    assert (
        given.headline == "At least coarse shapes leak, enough to tell which picture it was; perhaps far more"
    )
    assert (
        "more budget no longer helps. Where a check fails, the numbers measure the attack, not the defence."
        in (text_of(given))
    )


def test_a_high_leak_is_a_fact_even_with_a_failed_check() -> None:
    given = verdict(replace(LEAK, mean_psnr_db=30.0), checks=(BROKEN,))
    assert (given.level, given.conclusive) == (4, True)
    assert given.headline == "The picture leaks, nearly whole"
    assert "the numbers measure the attack, not the defence" in text_of(given)
    assert "the true leak can only be larger" in text_of(given)


def test_an_identity_as_the_answer_leaks_by_design() -> None:
    assert "leaks by design" in text_of(verdict(kind="identity"))
    assert "leaks by design" not in text_of(verdict(kind="category"))
    assert "leaks by design" not in text_of(verdict(kind=None))


@pytest.mark.parametrize("psnr_db", [6.0, 15.0, 19.0, 25.0, 40.0])
def test_every_verdict_says_lower_bound_attacker_and_what_was_not_tried(psnr_db: float) -> None:
    text = text_of(verdict(replace(LEAK, mean_psnr_db=psnr_db)))
    assert "a lower bound on the leak" in text
    assert "owns 3,000 pictures" in text
    assert "U-Net inverter" in text


def test_a_black_box_attacker_is_called_one() -> None:
    queried = replace(ATTACKER, white_box=False)
    text = text_of(give_verdict(LEAK, queried, (), label_kind=None))
    assert "without gradients" in text


def test_the_rules_numbers_are_taken_from_the_report() -> None:
    leak = leak_of(attack(18.0, label="R"), references(12.0, 17.0, 21.0))
    assert (leak.attack, leak.mean_psnr_db, leak.ci95, leak.rank1) == ("R", 18.0, (17.9, 18.1), 0.5)
    assert (leak.pictures, leak.mean_image_db, leak.thumbnail_4x4_db, leak.thumbnail_8x8_db) == (
        4,
        12.0,
        17.0,
        21.0,
    )


def test_a_guess_with_a_failed_check_is_called_inconclusive() -> None:
    given = verdict(replace(LEAK, mean_psnr_db=12.0, rank1=0.01), checks=(BROKEN,))
    assert given.headline == (
        "Inconclusive. As far as these attacks went, nothing visible beyond a guess was recovered"
    )
