"""The best way within limits, and why each other one lost."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.recommend.candidates import Candidate
from bench.recommend.prediction import PredictionError
from bench.report.naming import MODE_NAMES

Preference = Literal["latency", "bytes", "leakage", "accuracy"]
Outcome = Literal["best", "runner-up", "dominated", "refused", "unknown"]


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

    latency_budget_ms: float | None = None
    least_accuracy: float | None = None
    most_psnr_db: float | None = None
    most_retrieved: float | None = None
    prefer: Preference = "latency"
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("least_accuracy", "most_retrieved"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name.replace('_', ' ')} is a share from 0 to 1, got {value}")
        if self.latency_budget_ms is not None and not self.latency_budget_ms > 0:
            raise ValueError(f"a latency budget must be above 0 ms, got {self.latency_budget_ms}")


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

    A way is dominated if another one within the limits is no worse in latency, accuracy, leakage and bytes
    and better in one of them. What is not known counts as worst.

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
    within.sort(key=lambda candidate: _rank(candidate, limits.prefer))
    standing: list[Verdict] = []
    dominated: list[Verdict] = []
    for candidate in within:
        better = next((other for other in within if dominates(other, candidate)), None)
        if better is not None:
            why = f"dominated by {better.label}: {_advantages(better, candidate)}"
            dominated.append(Verdict(candidate, "dominated", why))
        elif not standing:
            standing.append(Verdict(candidate, "best", f"best in {limits.prefer} of all within the limits"))
        else:
            why = f"{_distance(candidate, standing[0].candidate, limits.prefer)}"
            standing.append(Verdict(candidate, "runner-up", why))
    return [*standing, *dominated, *fallen]


def _refusal(candidate: Candidate, limits: Limits, error: PredictionError | None) -> Verdict | None:
    if candidate.mode in limits.without:
        return Verdict(candidate, "refused", f"not wanted: {MODE_NAMES.get(candidate.mode, candidate.mode)}")
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
    if limits.least_accuracy is None:
        return []
    if candidate.accuracy is None:
        return ["accuracy not measured"]
    if candidate.accuracy >= limits.least_accuracy:
        return []
    return [f"accuracy {candidate.accuracy:.1%}, below {limits.least_accuracy:.1%}"]


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


def _leak_db(candidate: Candidate) -> float:
    if candidate.leakage is None:
        return math.inf
    return -math.inf if candidate.leakage.psnr_db is None else candidate.leakage.psnr_db


_COSTS: dict[Preference, Callable[[Candidate], float]] = {
    "latency": lambda candidate: math.inf if candidate.latency_ms is None else candidate.latency_ms,
    "bytes": lambda candidate: candidate.up_bytes,
    "leakage": _leak_db,
    "accuracy": lambda candidate: math.inf if candidate.accuracy is None else -candidate.accuracy,
}
"""What is worse is higher."""


def _rank(candidate: Candidate, prefer: Preference) -> tuple[float, ...]:
    order: tuple[Preference, ...] = ("latency", "leakage", "bytes", "accuracy")
    return (_COSTS[prefer](candidate), *(_COSTS[name](candidate) for name in order))


def dominates(one: Candidate, other: Candidate) -> bool:
    """Whether ``one`` is no worse than ``other`` in all four and better in one."""
    pairs = [(cost(one), cost(other)) for cost in _COSTS.values()]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _advantages(one: Candidate, other: Candidate) -> str:
    words = {"latency": "faster", "bytes": "smaller", "leakage": "leaks less", "accuracy": "more accurate"}
    return ", ".join(words[name] for name, cost in _COSTS.items() if cost(one) < cost(other))


def _distance(candidate: Candidate, best: Candidate, prefer: Preference) -> str:
    gains = _advantages(candidate, best)
    loss = {
        "latency": f"{_COSTS['latency'](candidate) - _COSTS['latency'](best):+,.1f} ms",
        "bytes": f"{candidate.up_bytes - best.up_bytes:+,.0f} bytes",
        "leakage": _leak_words(candidate, best),
        "accuracy": f"{100 * ((candidate.accuracy or 0) - (best.accuracy or 0)):+.1f} points of accuracy",
    }[prefer]
    return f"{loss} against the best" + (f", but {gains}" if gains else "")


def _leak_words(candidate: Candidate, best: Candidate) -> str:
    apart = _leak_db(candidate) - _leak_db(best)
    return f"{apart:+.1f} dB" if math.isfinite(apart) else "leaks more"
