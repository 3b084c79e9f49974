"""Rank correlations against SciPy and by hand."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from siftfunnel.lab.reports.study.predictors import TARGETS, pairs_of, rank_correlation
from siftfunnel.lab.reports.study.results import RowResult


def row(name: str, bits: float | None, psnr: float) -> RowResult:
    information = {} if bits is None else {"entropy_coded_bits": {"mean": bits}}
    return RowResult(name, ({"seed": 1, "information": information, "columns": {"1": {"psnr_db": psnr}}},))


@pytest.mark.parametrize("seed", range(5))
def test_rho_is_scipys_with_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 6, 12).astype(float), rng.integers(0, 6, 12).astype(float)
    made = rank_correlation(x.tolist(), y.tolist(), resamples=199)
    assert made is not None
    assert made.rho == pytest.approx(float(spearmanr(x, y).statistic))
    assert made.low <= made.rho <= made.high


def test_a_falling_relation_is_minus_one_and_rare_by_chance() -> None:
    x = [float(value) for value in range(8)]
    made = rank_correlation(x, [-value for value in x], resamples=999)
    assert made is not None
    assert made.rho == pytest.approx(-1)
    assert made.p <= 0.005


def test_unrelated_figures_have_a_large_p() -> None:
    made = rank_correlation([1, 2, 3, 4, 5, 6], [3, 6, 1, 5, 2, 4], resamples=999)
    assert made is not None
    assert abs(made.rho) < 0.2
    assert made.p > 0.5


def test_p_agrees_with_the_exact_count_at_five_rows() -> None:
    # of 120 orders, only the same and the reversed one are as extreme: 2 / 120
    made = rank_correlation([1, 2, 3, 4, 5], [10, 20, 30, 40, 50])
    assert made is not None
    assert made.p == pytest.approx(2 / 120, abs=0.005)


@pytest.mark.parametrize("x", [[1.0, 2.0, 3.0, 4.0], [2.0] * 6])
def test_too_few_rows_or_a_constant_figure_has_no_correlation(x: list[float]) -> None:
    assert rank_correlation(x, [float(value) for value in range(len(x))]) is None


def test_lists_of_other_length_are_refused() -> None:
    with pytest.raises(ValueError, match="two lists of one length"):
        rank_correlation([1.0], [1.0, 2.0])


def test_rows_without_the_figure_are_left_out() -> None:
    rows = [row("a", 10.0, 20.0), row("b", None, 21.0), row("c", 30.0, 22.0)]
    bits = ("information", "entropy_coded_bits", "mean")
    assert pairs_of(rows, bits, TARGETS["PSNR of the strongest attack"]) == ([10.0, 30.0], [20.0, 22.0])
