"""From the cells of a comparison to what a reader wants: medians, spreads, ratios to ours, as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from siftfunnel.bench.pages import render

OURS = "siftfunnel"
BARE_BATCHES = (1, 16)
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Spread:
    """A figure over rounds.

    Attributes:
        middle: Median.
        low: Least.
        high: Greatest.

    Example:
        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(middle=2.0, low=1.0, high=3.0)
    """

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """None of no values."""
        return cls(median(values), min(values), max(values)) if values else None


def over_rounds(row: Row, clients: int, figure: str) -> dict[int, float]:
    """A figure of one load by round."""
    return {cell["round"]: cell[figure] for cell in row["cells"] if cell["clients"] == clients}


def spread(row: Row, clients: int, figure: str) -> Spread | None:
    """A figure of one load; None where it was not measured."""
    return Spread.of(list(over_rounds(row, clients, figure).values()))


def ratio(figure: str, ours: Row, peer: Row, clients: int) -> Spread | None:
    """Ours to the peer's, round by round; above 1 is ours ahead.

    Args:
        figure: ``throughput``, ours over the peer's, or ``p99``, the peer's over ours.
        ours, peer: Rows of one model.
        clients: The load.
    """
    name = {"throughput": "frames_per_s", "p99": "p99_ms"}[figure]
    mine, other = over_rounds(ours, clients, name), over_rounds(peer, clients, name)
    ratios = [mine[number] / other[number] for number in sorted(mine.keys() & other.keys())]
    return Spread.of(ratios if figure == "throughput" else [1 / each for each in ratios])


def render_peers(document: Mapping[str, Any]) -> str:
    """Tables of throughput, latency and ratios per model, then how each peer ran.

    Args:
        document: What `siftfunnel bench peers` wrote.
    """
    functions = {
        "ours_in": _ours_in,
        "bare_words": _bare_words,
        "middle": middle,
        "share": _share,
        "spread": spread,
        "ratio": ratio,
    }
    labels = {peer["peer"]: peer["label"] for peer in document["peers"]}
    return render("peers", **document, **functions, labels=labels)


def _ours_in(measured: Mapping[str, Any]) -> Row | None:
    return next((row for row in measured["rows"] if row["peer"] == OURS), None)


def _bare_words(measured: Mapping[str, Any]) -> str:
    rates = {
        batch: Spread.of([loop["frames_per_s"] for loop in measured["bare"] if loop["batch"] == batch])
        for batch in BARE_BATCHES
    }
    told = [f"{middle(rate, 0)} frames/s at batch {batch}" for batch, rate in rates.items() if rate]
    return ", ".join(told) or "not measured"


def middle(found: Spread | None, digits: int) -> str:
    """A median with the least and the greatest in brackets, where they differ."""
    if found is None:
        return "-"
    low, high = f"{found.low:,.{digits}f}", f"{found.high:,.{digits}f}"
    return f"{found.middle:,.{digits}f}" + ("" if low == high else f" [{low}, {high}]")


def _share(found: Spread | None) -> str:
    return "-" if found is None else f"{found.middle:.0%}"
