"""One interval for each question, and nobody in the house has another."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siftfunnel.lab.metrics.intervals import (
    accuracy_interval,
    ci95_of_mean,
    learned_nothing,
    paired_difference,
)

ROOT = Path(__file__).resolve().parents[3]


def test_nobody_else_has_an_interval_of_an_accuracy_or_of_a_difference() -> None:
    own = ROOT / "lab/metrics/intervals.py"
    others = [path for room in ("lab", "bench") for path in (ROOT / room).rglob("*.py") if path != own]
    defined = re.compile(r"def \w*(wilson|accuracy_interval|paired_difference|ci95_of)|1\.95996|1\.96\b")
    assert [str(path) for path in others if defined.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(("right", "wanted"), [(60, True), (69, True), (75, False), (10, True)])
def test_a_network_learned_nothing_unless_it_beats_its_commonest_answer(right: int, wanted: bool) -> None:
    assert learned_nothing(right, np.repeat([0, 1, 2], [60, 30, 10])) is wanted


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="one trial or more"):
        accuracy_interval(0, 0)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 50), min_size=1, max_size=40), st.integers(0, 1000))
def test_the_interval_contains_the_mean(values: list[float], seed: int) -> None:
    low, high = ci95_of_mean(np.array(values), resamples=400, seed=seed)
    assert low - 1e-9 <= np.mean(values) <= high + 1e-9


def test_an_interval_of_many_pictures_and_its_seed_are_what_committed_results_hold() -> None:
    values = np.random.default_rng(0).gamma(2.0, 5.0, 80)
    assert ci95_of_mean(values) == pytest.approx([7.911950892703018, 10.415903079075738], rel=1e-12)
    assert accuracy_interval(9_834, 10_000) == pytest.approx([0.9807037945, 0.9857249558], rel=1e-9)


def test_a_paired_difference_sees_what_intervals_apart_do_not() -> None:
    rng = np.random.default_rng(0)
    hardness = rng.normal(20, 5, 50)
    a, b = hardness + 0.5 + rng.normal(0, 0.1, 50), hardness
    difference = paired_difference(a, b)
    assert difference["pictures"] == 50
    assert difference["mean"] == pytest.approx(0.5, abs=0.05)
    assert difference["ci95"][0] > 0.4
    assert ci95_of_mean(a)[0] < ci95_of_mean(b)[1]


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [([1.0], [1.0, 2.0], "same pictures"), ([], [], "one or more"), ([np.nan], [1.0], "finite")],
)
def test_differences_that_mean_nothing_are_refused(a: list[float], b: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_difference(np.array(a), np.array(b))
