"""Verdicts for all tasks and links that were asked for, as tables and as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from siftfunnel.bench.cells.result import Cell
from siftfunnel.bench.links.profiles import link_profile, rate_words
from siftfunnel.bench.recommend.candidates import candidates
from siftfunnel.bench.recommend.prediction import (
    Network,
    Percentile,
    PredictionError,
    Trial,
    leave_one_link_out,
)
from siftfunnel.bench.recommend.verdicts import Limits, Verdict, judge
from siftfunnel.bench.report.leakage import LeakageBook
from siftfunnel.bench.report.naming import drop_seconds, task_of
from siftfunnel.bench.report.tables import grouped
from siftfunnel.lab.reports.table import NONE, Column, Table, number
from siftfunnel.lab.reports.table import Cell as Entry

Links = Mapping[str, Network | None]
"""Links to recommend for, and their figures; None for one whose cells, or whose profile, say them."""


@dataclass(frozen=True)
class Answer:
    """What is best for one task over one link.

    Attributes:
        task: Data set.
        scenario: Of the cells.
        link: In words.
        network: The figures that predictions used.
        measured: Whether any cell was measured over it.
        percentile: Of latency.
        verdicts: Best first.
    """

    task: str
    scenario: str
    link: str
    network: Network
    measured: bool
    percentile: Percentile
    verdicts: tuple[Verdict, ...]

    @property
    def best(self) -> Verdict | None:
        """The best way; None where no way is within the limits."""
        first = self.verdicts[0] if self.verdicts else None
        return first if first is not None and first.outcome == "best" else None


@dataclass(frozen=True)
class Recommendation:
    """All answers of one task, and how far its predictions are off.

    Attributes:
        answers: One per link.
        error: None where no link could be left out.
        trials: Behind ``error``.
    """

    answers: tuple[Answer, ...]
    error: PredictionError | None
    trials: tuple[Trial, ...]


def by_task(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    """Cells of each task, in their order."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(task_of(cell.bundle), []).append(cell)
    return found


def measured_links(cells: Sequence[Cell]) -> Links:
    """Every link that has a cell, from slow to fast."""
    return {group[0].link.name: None for group in grouped(cells)}


def recommend(
    cells: Sequence[Cell], links: Links, leakage: LeakageBook, percentile: Percentile, limits: Limits
) -> Recommendation:
    """Answers for cells of one task and one scenario; those whose link was taken down are left out.

    Raises:
        ValueError: a link by name that is neither measured nor a known profile, or no cell to judge by.
    """
    cells = [cell for cell in cells if not drop_seconds(cell)]
    if not cells:
        raise ValueError("in all of these cells the link was taken down; recommend from others")
    trials = tuple(leave_one_link_out(cells, percentile))
    error = PredictionError.of(trials)

    def answer(link: str, network: Network | None) -> Answer:
        here = [cell for cell in cells if cell.link.name == link]
        if network is None:
            network = Network.of_cells(here) if here else Network.of_profile(link_profile(link))
        verdicts = tuple(judge(candidates(cells, link, network, leakage, percentile, error), limits, error))
        task, scenario = task_of(cells[0].bundle), cells[0].scenario
        return Answer(task, scenario, link, network, bool(here), percentile, verdicts)

    return Recommendation(tuple(answer(*link) for link in links.items()), error, trials)


def network_words(network: Network, *, measured: bool) -> str:
    """A link's figures for a heading."""
    how = "as measured" if measured else "not measured: predicted from"
    up, down = map(rate_words, (network.up_kbit_s, network.down_kbit_s))
    return f"{how} {network.round_trip_ms:,.4g} ms round trip, {up} up, {down} down"


def answer_section(answer: Answer, error: PredictionError | None) -> Table:
    """Every way over one link, its figures, and why it won or lost."""
    columns: tuple[Column[Verdict], ...] = (
        ("who runs what, codec", lambda verdict: verdict.candidate.label),
        ("verdict", lambda verdict: verdict.outcome),
        (f"{answer.percentile}, ms", _latency),
        ("latency is", _how_known),
        *_KNOWN,
        ("why", lambda verdict: verdict.why),
    )
    best = answer.best
    told = f"Best: {best.candidate.label}." if best else "No way is within all limits."
    intro = f"Link {network_words(answer.network, measured=answer.measured)}. {told}"
    notes = (error_words(error),) if has_predictions(answer) else ()
    title = f"{answer.task} over {answer.link}"
    return Table.of(f"{answer.task}-{answer.link}", title, answer.verdicts, columns, intro=intro, notes=notes)


def has_predictions(answer: Answer) -> bool:
    """Whether a latency among its verdicts is not measured."""
    ways = (verdict.candidate for verdict in answer.verdicts)
    return any(not way.measured and way.latency_ms is not None and way.mode != "edge-only" for way in ways)


def error_words(error: PredictionError | None) -> str:
    """How far predictions are off, as a sentence."""
    if error is None:
        return "How far predictions are off is unknown: no way was measured over two links."
    return f"Predictions are off by this much: {error}."


def _latency(verdict: Verdict) -> Entry:
    return number(verdict.candidate.latency_ms, 1)


def _how_known(verdict: Verdict) -> str:
    way = verdict.candidate
    return "measured" if way.measured else ("-" if way.latency_ms is None else "predicted")


def _accuracy(verdict: Verdict) -> Entry:
    known = verdict.candidate.accuracy
    return NONE if known is None else Entry(str(known), known.share)


def _leakage(verdict: Verdict) -> str:
    known = verdict.candidate.leakage
    return "not measured" if known is None else str(known)


_KNOWN: tuple[Column[Verdict], ...] = (
    ("accuracy", _accuracy),
    ("leakage", _leakage),
    ("bytes up", lambda verdict: number(verdict.candidate.up_bytes)),
)


def overview_section(recommendation: Recommendation, title: str) -> Table:
    """One row per link: the best way and the one that comes next."""

    def of_best(column: Column[Verdict]) -> Column[Answer]:
        heading, read = column
        return heading, lambda answer: NONE if answer.best is None else read(answer.best)

    columns: tuple[Column[Answer], ...] = (
        ("link", lambda answer: answer.link),
        (
            "best",
            lambda answer: answer.best.candidate.label if answer.best else "no way is within the limits",
        ),
        of_best((f"{recommendation.answers[0].percentile}, ms", _latency)),
        *map(of_best, _KNOWN),
        ("next", _runner_up),
    )
    predicted = any(map(has_predictions, recommendation.answers))
    notes = (error_words(recommendation.error),) if predicted else ()
    return Table.of("overview", title, recommendation.answers, columns, notes=notes)


def _runner_up(answer: Answer) -> str:
    first = next((verdict for verdict in answer.verdicts if verdict.outcome == "runner-up"), None)
    return f"{first.candidate.label} ({first.why})" if first else "-"


def recommendation_json(recommendation: Recommendation) -> dict[str, Any]:
    """JSON values: answers by link, the error of predictions and every trial behind it."""
    error = recommendation.error
    return {
        "answers": {answer.link: _answer_json(answer) for answer in recommendation.answers},
        "prediction_error": None if error is None else asdict(error),
        "trials": [
            {**asdict(trial), "relative": round(trial.relative, 4)} for trial in recommendation.trials
        ],
    }


def _answer_json(answer: Answer) -> dict[str, Any]:
    verdicts = [
        {**asdict(verdict.candidate), "label": verdict.candidate.label}
        | {"outcome": verdict.outcome, "why": verdict.why}
        for verdict in answer.verdicts
    ]
    return {
        "scenario": answer.scenario,
        "percentile": answer.percentile,
        "network": asdict(answer.network),
        "link_measured": answer.measured,
        "best": verdicts[0] if answer.best else None,
        "verdicts": verdicts,
    }
