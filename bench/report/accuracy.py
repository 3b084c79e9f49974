"""How accurate a way is: over the whole test set where the lab measured it, else over the cells' pictures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from siftfunnel.bench.cells.result import Cell
from siftfunnel.bench.report.leakage import find_point
from siftfunnel.bench.report.sources import Front
from siftfunnel.lab.metrics.intervals import accuracy_interval


@dataclass(frozen=True)
class Accuracy:
    """A share of right answers.

    Attributes:
        share: Of the pictures.
        low, high: Its 95 % interval.
        pictures: Different ones that were answered.
        source: The lab's test set, or the pictures of the cells.
    """

    share: float
    low: float
    high: float
    pictures: int
    source: Literal["test set", "cells"]

    def __str__(self) -> str:
        """For a table."""
        return f"{self.share:.1%} [{100 * self.low:.1f}, {100 * self.high:.1f}]"

    def is_above(self, other: "Accuracy") -> bool:
        """Whether the difference is more than the two intervals explain."""
        halves = [(each.high - each.low) / 2 for each in (self, other)]
        return self.share - other.share > float((halves[0] ** 2 + halves[1] ** 2) ** 0.5)


def accuracy_of(
    fronts: Iterable[Front], digest: str, mode: str, codec: str, cells: Sequence[Cell]
) -> Accuracy | None:
    """Of one way; None where no label was known.

    Args:
        fronts: What ``read_fronts`` gave.
        digest, mode, codec: The way.
        cells: Its cells over any links: a link changes when answers come, not what they say.
    """
    point = find_point(fronts, digest, mode, codec)
    if point is not None and (point.get("network") or {}).get("digest", digest) == digest:
        low, high = point["accuracy_interval"]
        return Accuracy(point["accuracy"], low, high, point["pictures"], "test set")
    judged = sum(cell.judged for cell in cells)
    if not judged:
        return None
    share = sum(cell.correct for cell in cells) / judged
    # a picture that comes again gets the same answer again, so only different ones make it more certain
    different = max(int(cell.asked.get("number_of_pictures", judged)) for cell in cells)
    pictures = min(judged, different)
    low, high = accuracy_interval(round(share * pictures), pictures)
    return Accuracy(share, low, high, pictures, "cells")
