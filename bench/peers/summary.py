"""From the cells of a comparison to what a reader wants: medians, spreads, ratios to ours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

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


def throughput_ratio(ours: Row, peer: Row, clients: int) -> Spread | None:
    """Our frames per second over the peer's, round by round; above 1 is ours ahead."""
    return _ratio(ours, peer, clients, "frames_per_s", lambda mine, other: mine / other)


def tail_ratio(ours: Row, peer: Row, clients: int) -> Spread | None:
    """The peer's 99th percentile over ours, round by round; above 1 is ours ahead."""
    return _ratio(ours, peer, clients, "p99_ms", lambda mine, other: other / mine)


def bare_frames_per_s(measured: Mapping[str, Any], batch: int) -> Spread | None:
    """The bare loop's rate at a batch size."""
    return Spread.of([loop["frames_per_s"] for loop in measured["bare"] if loop["batch"] == batch])


def _ratio(
    ours: Row, peer: Row, clients: int, figure: str, divide: Callable[[float, float], float]
) -> Spread | None:
    mine, other = over_rounds(ours, clients, figure), over_rounds(peer, clients, figure)
    return Spread.of([divide(mine[number], other[number]) for number in sorted(mine.keys() & other.keys())])
