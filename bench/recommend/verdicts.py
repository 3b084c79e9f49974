"""The best way within limits, and why each other one lost."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from siftfunnel.bench.recommend.candidates import Candidate
from siftfunnel.bench.recommend.prediction import PredictionError
from siftfunnel.bench.report.leakage import Basis, more_leaked_db
from siftfunnel.shared.settings import check, setting

Preference = Literal["latency", "bytes", "leakage", "accuracy"]
Outcome = Literal["best", "runner-up", "dominated", "refused", "unknown"]
LEAST_DB = 0.1
"""Leaks that differ by less count as equal: what a longer training of the attack may change."""


@dataclass(frozen=True)
class Limits:
    """What is asked for; None asks for nothing.

    Attributes:
        latency_budget_ms: Latency at the percentile at most.
        least_accuracy: Share of right answers at least.
        most_psnr_db: Mean PSNR of the strongest attack at most.
        most_retrieved: Share of pictures that it retrieves at most.
        prefer: What is best among ways within all limits.
        without: Modes that are out of the question, such as edge-only where the device must not hold, or
            cannot run, the whole network.

    Raises:
        ValueError: a share outside 0 to 1, or a budget that is not above 0.
    """

    latency_budget_ms: float | None = setting(None, "at the percentile", metavar="MS", above=0)
    least_accuracy: float | None = setting(None, "0 to 1", metavar="SHARE", least=0, most=1)
    most_psnr_db: float | None = setting(
        None, "of what the strongest attack measured restores", flag="--most-psnr", metavar="DB"
    )
    most_retrieved: float | None = setting(
        None, "of pictures retrieved, 0 to 1", flag="--most-leak", metavar="SHARE", least=0, most=1
    )
    prefer: Preference = setting("latency", "what is best within the limits", choices=get_args(Preference))
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Verdict:
    """One candidate's outcome and its reason in words."""

    candidate: Candidate
    outcome: Outcome
    why: str


def judge(
    candidates: Sequence[Candidate], limits: Limits, error: PredictionError | None = None
) -> list[Verdict]:
    """All candidates, the best first, then runners-up in their order, then those that fell out.

    What differs by no more than its noise is equal. A way is dominated if another one before it is no worse
    in latency, accuracy, leakage and bytes and better in one of them. What is not known counts as worst, and
    leaks of two bases do not compare.

    Args:
        candidates: Over one link.
        limits: What is asked for.
        error: How far predictions are off; marks those whose budget lies within it.
    """
    fallen: list[Verdict] = []
    within: list[Candidate] = []
    for candidate in candidates:
        verdict = _refusal(candidate, limits, error)
        if verdict is None:
            within.append(candidate)
        else:
            fallen.append(verdict)
    standing: list[Verdict] = []
    dominated: list[Verdict] = []
    for candidate in ranked(within, limits.prefer):
        ahead = (verdict.candidate for verdict in standing)
        better = next((other for other in ahead if dominates(other, candidate)), None)
        if better is not None:
            why = f"dominated by {better.label}: {_advantages(better, candidate)}"
            dominated.append(Verdict(candidate, "dominated", why))
        elif not standing:
            why = f"best in {limits.prefer} of all within the limits"
            standing.append(Verdict(candidate, "best", why + _doubt(candidate, limits)))
        else:
            why = _distance(candidate, standing[0].candidate, limits.prefer)
            standing.append(Verdict(candidate, "runner-up", why + _doubt(candidate, limits)))
    return [*standing, *dominated, *fallen]


def ranked(candidates: Sequence[Candidate], prefer: Preference) -> list[Candidate]:
    """The preferred first; those that are as good as the first of the rest stand by their other figures."""
    criterion = CRITERIA[prefer]
    left = sorted(candidates, key=criterion.cost)
    order: list[Candidate] = []
    while left:
        tied = [candidate for candidate in left if not criterion.is_better(left[0], candidate)]
        tied = [one for one in tied if criterion.cost(one)[0] == criterion.cost(left[0])[0]]
        order += sorted(tied, key=lambda one: tuple(CRITERIA[name].cost(one) for name in _TIE_BREAKS))
        left = [candidate for candidate in left if candidate not in tied]
    return order


def _doubt(candidate: Candidate, limits: Limits) -> str:
    known, least = candidate.accuracy, limits.least_accuracy
    if known is None or least is None or known.low >= least:
        return ""
    return f"; its accuracy may be below {least:.1%}: the interval begins at {known.low:.1%}"


def _refusal(candidate: Candidate, limits: Limits, error: PredictionError | None) -> Verdict | None:
    if candidate.mode in limits.without:
        return Verdict(candidate, "refused", f"not wanted: {candidate.mode.replace('-', ' ')}")
    if candidate.latency_ms is None:
        return Verdict(candidate, "unknown", "not measured: no usable cell of it over any link")
    if candidate.overloaded:
        return Verdict(candidate, "refused", "cannot keep up: its cell was overloaded")
    reasons = [*_slow(candidate, limits, error), *_inaccurate(candidate, limits), *_leaky(candidate, limits)]
    if not reasons:
        return None
    unknown = all(reason.endswith("not measured") for reason in reasons)
    return Verdict(candidate, "unknown" if unknown else "refused", "; ".join(reasons))


def _slow(candidate: Candidate, limits: Limits, error: PredictionError | None) -> list[str]:
    budget, latency_ms = limits.latency_budget_ms, candidate.latency_ms
    if budget is None or latency_ms is None or latency_ms <= budget:
        return []
    near = not candidate.measured and error is not None and latency_ms * (1 - error.worst_share) <= budget
    doubt = " (predicted; the budget lies within the model's error)" if near else ""
    return [f"over budget: {latency_ms:,.1f} of {budget:,.1f} ms{doubt}"]


def _inaccurate(candidate: Candidate, limits: Limits) -> list[str]:
    known, least = candidate.accuracy, limits.least_accuracy
    if least is None:
        return []
    if known is None:
        return ["accuracy not measured"]
    if known.high >= least:
        return []
    return [f"accuracy {known}, below {least:.1%}"]


def _leaky(candidate: Candidate, limits: Limits) -> list[str]:
    known = candidate.leakage
    if limits.most_psnr_db is None and limits.most_retrieved is None:
        return []
    if known is None:
        return ["leakage not measured"]
    if known.basis == "nothing sent":
        return []
    reasons = []
    if limits.most_psnr_db is not None and known.psnr_db is not None and known.psnr_db > limits.most_psnr_db:
        reasons.append(f"leaks more: {known.psnr_db:.1f} dB, above {limits.most_psnr_db:.1f} dB")
    if limits.most_retrieved is not None:
        if known.retrieved is None:
            reasons.append("retrieval not measured")
        elif known.retrieved > limits.most_retrieved:
            reasons.append(f"leaks more: {known.retrieved:.0%} retrieved, above {limits.most_retrieved:.0%}")
    return reasons


_BASES: tuple[Basis, ...] = (
    "nothing sent",
    "through this codec",
    "shipped inverter alone",
    "picture on the wire",
)
"""In the order in which they stand where leakage is preferred; they do not compare by decibels."""


_TIE_BREAKS: tuple[Preference, ...] = ("bytes", "accuracy", "latency", "leakage")


def _leak_cost(candidate: Candidate) -> tuple[float, ...]:
    if candidate.leakage is None:
        return len(_BASES), math.inf
    return _BASES.index(candidate.leakage.basis), candidate.leakage.psnr_db or 0.0


def _latency_cost(candidate: Candidate) -> tuple[float, ...]:
    return (0.0, math.inf if candidate.latency_ms is None else candidate.latency_ms)


def _is_faster(one: Candidate, other: Candidate) -> bool:
    (_, a_ms), (_, b_ms) = _latency_cost(one), _latency_cost(other)
    return a_ms < b_ms and not b_ms - a_ms <= max(one.noise_ms, other.noise_ms)


def _is_more_accurate(one: Candidate, other: Candidate) -> bool:
    if one.accuracy is None or other.accuracy is None:
        return one.accuracy is not None
    return one.accuracy.is_above(other.accuracy)


def _leaks_less(one: Candidate, other: Candidate) -> bool:
    if one.leakage is None or other.leakage is None:
        return one.leakage is not None
    apart = more_leaked_db(one.leakage, other.leakage)
    return apart is not None and apart < -LEAST_DB


def dominates(one: Candidate, other: Candidate) -> bool:
    """Whether ``one`` is no worse than ``other`` in all four and better in one."""
    leaks = one.leakage, other.leakage
    if leaks[0] and leaks[1] and more_leaked_db(leaks[0], leaks[1]) is None:
        return False
    return bool(_advantages(one, other)) and not _advantages(other, one)


def _advantages(one: Candidate, other: Candidate) -> str:
    return ", ".join(each.gain for each in CRITERIA.values() if each.is_better(one, other))


def _distance(candidate: Candidate, best: Candidate, prefer: Preference) -> str:
    gains, criterion = _advantages(candidate, best), CRITERIA[prefer]
    if prefer != "leakage" and not criterion.is_better(best, candidate):
        return f"as good in {prefer} as the best" + (f", and {gains}" if gains else "")
    return f"{criterion.apart(candidate, best)} against the best" + (f", but {gains}" if gains else "")


def _leak_words(candidate: Candidate, best: Candidate) -> str:
    if candidate.leakage is None or best.leakage is None:
        return "leakage not measured"
    apart = more_leaked_db(candidate.leakage, best.leakage)
    if apart is None:
        return f"leakage of another basis ({candidate.leakage.basis})"
    return f"{apart:+.1f} dB" if math.isfinite(apart) else "leaks more"


def _accuracy_words(candidate: Candidate, best: Candidate) -> str:
    if candidate.accuracy is None or best.accuracy is None:
        return "accuracy not measured"
    return f"{100 * (candidate.accuracy.share - best.accuracy.share):+.1f} points of accuracy"


@dataclass(frozen=True)
class Criterion:
    """One of the four things that ways are compared by.

    Attributes:
        gain: What is said of whoever is better.
        cost: A kind, and within it a figure of which more is worse.
        is_better: Whether the first is better by more than noise.
        apart: By how much the first lags behind the second, in words.
    """

    gain: str
    cost: Callable[[Candidate], tuple[float, ...]]
    is_better: Callable[[Candidate, Candidate], bool]
    apart: Callable[[Candidate, Candidate], str]


CRITERIA: Mapping[Preference, Criterion] = {
    "latency": Criterion(
        "faster",
        _latency_cost,
        _is_faster,
        lambda one, best: f"{(one.latency_ms or 0) - (best.latency_ms or 0):+,.1f} ms",
    ),
    "bytes": Criterion(
        "smaller",
        lambda way: (0.0, way.up_bytes),
        lambda one, other: one.up_bytes < other.up_bytes,
        lambda one, best: f"{one.up_bytes - best.up_bytes:+,.0f} bytes",
    ),
    "accuracy": Criterion(
        "more accurate",
        lambda way: (0.0, 0.0 if way.accuracy is None else -way.accuracy.share),
        _is_more_accurate,
        _accuracy_words,
    ),
    "leakage": Criterion("leaks less", _leak_cost, _leaks_less, _leak_words),
}
