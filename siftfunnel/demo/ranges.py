"""What networks answered beside classes, over a whole run, without keeping any answer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class Range:
    """What one output's values were, over all frames.

    Attributes:
        frames: how often it was answered.
        shape: of the last one.
        low: the smallest finite value; None of none. Outputs of many values come without them.
        high: the largest.
    """

    frames: int = 0
    shape: Sequence[int] = ()
    low: float | None = None
    high: float | None = None

    def add(self, told: Mapping[str, Any]) -> None:
        """Take one answer's output into account, as the edge's line has it."""
        self.frames += 1
        self.shape = told["shape"]
        values = [*_numbers(told["values"]), *(each for each in (self.low, self.high) if each is not None)]
        if values:
            self.low, self.high = min(values), max(values)

    def as_json(self) -> dict[str, Any]:
        """For the summary."""
        return {"frames": self.frames, "shape": list(self.shape), "lowest": self.low, "highest": self.high}


def _numbers(values: Any) -> Iterator[float]:
    """The numbers in nested lists, without nulls."""
    if isinstance(values, list):
        for each in values:
            yield from _numbers(each)
    elif values is not None:
        yield float(values)
