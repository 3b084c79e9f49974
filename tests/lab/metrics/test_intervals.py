"""One interval for each question, and nobody in the house has another."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from siftfunnel.lab.metrics.intervals import (
    accuracy_interval,
    bootstrap_means,
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


@given(st.integers(1, 5000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_the_interval_is_wilsons_as_scipy_has_it(case: tuple[int, int]) -> None:
    right, total = case
    theirs = binomtest(right, total).proportion_ci(method="wilson")
    assert accuracy_interval(right, total) == pytest.approx([theirs.low, theirs.high], abs=1e-6)


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="one trial or more"):
        accuracy_interval(0, 0)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 50), min_size=1, max_size=40), st.integers(0, 1000))
def test_the_interval_contains_the_mean(values: list[float], seed: int) -> None:
    low, high = ci95_of_mean(np.array(values), resamples=400, seed=seed)
    assert low - 1e-9 <= np.mean(values) <= high + 1e-9


def test_the_interval_is_scipys_percentile_bootstrap() -> None:
    from scipy.stats import bootstrap

    values = np.random.default_rng(0).gamma(2.0, 5.0, 80)
    theirs = bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1).confidence_interval
    ours = ci95_of_mean(values, resamples=4000)
    assert ours == pytest.approx([theirs.low, theirs.high], abs=0.15)


def test_resamples_drawn_in_parts_are_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bootstrap_means(np.arange(7.0), resamples=50, seed=3)
    monkeypatch.setattr("siftfunnel.lab.metrics.intervals._INDICES_AT_ONCE", 21)
    np.testing.assert_array_equal(bootstrap_means(np.arange(7.0), resamples=50, seed=3), whole)


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
