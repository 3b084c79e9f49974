"""Which figure foretells the leak: Spearman's rank correlation over the rows of one data set and family.

The leak is what the strongest attack achieves. With a dozen rows only strong relations show: rho of 0.58 or
more for p = 0.05 at twelve rows, before any thought of how many figures were tried. A figure that is itself
an attack's score takes part in the maximum that it is to foretell.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from siftfunnel.lab.reports.study.further import page_of
from siftfunnel.lab.reports.study.lines import group_label, groups
from siftfunnel.lab.reports.study.results import EQUAL, ONE, WEIGHT, RowResult, Study
from siftfunnel.lab.reports.table import NONE, Cell, Column, Page, Table

LEAST_ROWS = 5
RESAMPLES = 9_999
SEED = 1

PREDICTORS: dict[str, tuple[str, ...]] = {
    "Values in the feature": ("information", "feature_values"),
    "delta_z (effective information mean)": ("information", "effective_information_mean"),
    "MI† (authors' critic)": ("information", "mine_authors", "nats"),
    "MINE": ("information", "mine", "nats"),
    "InfoNCE": ("information", "info_nce", "nats"),
    "Rank-1 from the feature": ("information", "retrieval_rank1_from_feature"),
    "dCor², unbiased": ("information", "distance_correlation_unbiased"),
    "Entropy-coded bits": ("information", "entropy_coded_bits", "mean"),
    "Test accuracy": ("accuracy", "test"),
    "PSNR of the paper's inverter": (
        *("attacks", "generative-gray-box", "scores"),
        *("standard", "psnr_db", "mean"),
    ),
}
"""Figures that may foretell the leak, by where a result has them."""

TARGETS = {
    "PSNR of the strongest attack": ("columns", ONE, "psnr_db"),
    "Pictures identified": ("columns", ONE, "identified"),
}
"""What leaks in one frame, by where a result has it."""


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rho with its uncertainty.

    Attributes:
        rho: From -1 to 1.
        low: Lower end of the bootstrap 95 % interval over rows.
        high: Its upper end.
        p: Two-sided, from permutations.
        rows: Number of rows.
    """

    rho: float
    low: float
    high: float
    p: float
    rows: int


def rank_correlation(
    x_N: Sequence[float], y_N: Sequence[float], *, resamples: int = RESAMPLES, seed: int = SEED
) -> RankCorrelation | None:
    """Spearman's rho; None with fewer than five pairs, or where one side is constant.

    p is (1 + permutations at least as extreme) / (1 + permutations). Bootstrap samples in which one side is
    constant have no rho and are left out.

    Raises:
        ValueError: lists of different length.

    Example:
        >>> made = rank_correlation([1, 2, 3, 4, 5], [1, 4, 9, 16, 25], resamples=99)
        >>> round(made.rho, 6), made.rows
        (1.0, 5)
    """
    x, y = np.asarray(x_N, dtype=float), np.asarray(y_N, dtype=float)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"a correlation needs two lists of one length, got {x.shape} and {y.shape}")
    if len(x) < LEAST_ROWS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    rng = np.random.default_rng(seed)
    rho = float(_spearman(x[None], y[None])[0])
    shuffled = rng.permuted(np.tile(y, (resamples, 1)), axis=1)
    extreme = int((np.abs(_spearman(np.broadcast_to(x, shuffled.shape), shuffled)) >= abs(rho) - 1e-12).sum())
    drawn = rng.integers(0, len(x), (resamples, len(x)))
    drawn = drawn[(np.ptp(x[drawn], axis=1) > 0) & (np.ptp(y[drawn], axis=1) > 0)]
    low, high = np.percentile(_spearman(x[drawn], y[drawn]), (2.5, 97.5))
    return RankCorrelation(rho, float(low), float(high), (1 + extreme) / (1 + resamples), len(x))


def _spearman(x_RN: NDArray[np.float64], y_RN: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's rho of each of R pairs of lists; ties share their mean rank."""
    a, b = rankdata(x_RN, axis=1), rankdata(y_RN, axis=1)
    a -= a.mean(axis=1, keepdims=True)
    b -= b.mean(axis=1, keepdims=True)
    rho: NDArray[np.float64] = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return rho


def pairs_of(
    rows: Sequence[RowResult], predictor: tuple[str, ...], target: tuple[str, ...]
) -> tuple[list[float], list[float]]:
    """Predictor and leak of the rows that have both."""
    x_N, y_N = [], []
    for row in rows:
        told, leaked = row.figure(*predictor), row.figure(*target)
        if told is not None and leaked is not None:
            x_N.append(told.value)
            y_N.append(leaked.value)
    return x_N, y_N


def predictor_values(study: Study, group: str) -> dict[str, dict[str, dict[str, float]]]:
    """Correlations as numbers, for prose: target, predictor, then ``rho``, ``p`` and ``rows``.

    Args:
        study: One profile's results.
        group: Data set and family, as in ``cifar10-cnn``; equal accuracy and other weights are left out.
    """
    kept = _kept(groups(study).get(tuple(group.rsplit("-", 1)), []))  # type: ignore[arg-type]
    return {
        target: {
            label: {"rho": made.rho, "p": made.p, "rows": float(made.rows)}
            for label, path in PREDICTORS.items()
            if (made := rank_correlation(*pairs_of(kept, path, leak))) is not None
        }
        for target, leak in TARGETS.items()
    }


def _kept(rows: Sequence[RowResult]) -> list[RowResult]:
    return [row for row in rows if not row.name.endswith(EQUAL) and WEIGHT not in row.name]


def predictors_table(study: Study) -> Page | None:
    """Rank correlations of each figure with the leak, the strongest relation first."""
    tables = []
    for group, rows in groups(study).items():
        kept = _kept(rows)
        if len(kept) < LEAST_ROWS:
            continue
        for short, (target, path) in zip(("psnr", "identified"), TARGETS.items(), strict=True):
            made = {label: rank_correlation(*pairs_of(kept, one, path)) for label, one in PREDICTORS.items()}
            ranked = sorted(made.items(), key=lambda each: -abs(each[1].rho) if each[1] else 1.0)
            name = f"predictors-{'-'.join(group)}-{short}"
            tables.append(Table.of(name, f"{group_label(group)}: {target}", ranked, _COLUMNS))
    shown, title = _kept(list(study.rows.values())), "Which figure foretells the leak"
    return page_of(study, "predictors", title, shown, (_READING,), tables)


_READING = (
    "Spearman's rank correlation over rows, with a bootstrap interval over rows and p from permutations; "
    "no correction for the number of figures tried. Figures that are attacks themselves take part in the "
    "maximum that they are to foretell. Rows at equal accuracy and at other weights are left out."
)


def _column(read: Callable[[RankCorrelation], Cell]) -> Callable[[tuple[str, RankCorrelation | None]], Cell]:
    return lambda each: NONE if each[1] is None else read(each[1])


def _p(made: RankCorrelation) -> Cell:
    return Cell(f"{made.p:.3f}" if made.p >= 0.001 else "below 0.001", made.p)


def _rho(made: RankCorrelation) -> Cell:
    text = f"{made.rho:+.2f} [{made.low:+.2f}, {made.high:+.2f}]"
    return Cell(text, made.rho, made.low, made.high)


_COLUMNS: tuple[Column[tuple[str, RankCorrelation | None]], ...] = (
    ("Figure", lambda each: each[0]),
    ("Spearman's rho", _column(_rho)),
    ("p", _column(_p)),
    ("Rows", _column(lambda made: Cell(str(made.rows), float(made.rows)))),
)
