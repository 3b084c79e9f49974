"""One run of the edge, from its start to its summary: what it was fed, and what it said became of it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from siftfunnel.demo.pictures import Feeder
from siftfunnel.demo.processes import Party
from siftfunnel.demo.selection import Choice


class Playing:
    """The edge that plays now.

    Args:
        choice: what it plays.
        edge: its process.
        feeder: hands it pictures.
        outcomes: the file it writes its outcomes to.
        summary: the file it writes its figures to when it ends in order.

    Attributes:
        asked_to_end: whether its end is no surprise.
    """

    def __init__(self, choice: Choice, edge: Party, feeder: Feeder, outcomes: Path, summary: Path) -> None:
        self.choice = choice
        self.edge = edge
        self.feeder = feeder
        self.asked_to_end = False
        self._reader = OutcomeReader(outcomes)
        self._summary = summary
        self._settled: Counter[str] = Counter(dict.fromkeys(choice.pair.names, 0))
        self._skipped: Counter[str] = Counter(dict.fromkeys(choice.pair.names, 0))

    @property
    def up(self) -> bool:
        """Whether its process runs."""
        return self.edge.returncode is None

    @property
    def settled(self) -> int:
        """Pictures of which the network that is ahead has said what became of them."""
        return max(self._settled.values())

    @property
    def written_bytes(self) -> int:
        """Size of what the edge wrote so far, on disk."""
        return self._reader.position

    @property
    def skipped(self) -> int:
        """Pictures that became no frames."""
        return max(self._skipped.values())

    @property
    def complete(self) -> bool:
        """Whether everything that was wanted was handed over and has an outcome."""
        wanted = self.feeder.wanted
        return wanted is not None and self.feeder.fed >= wanted and self.settled >= self.feeder.fed

    def read(self) -> list[dict[str, Any]]:
        """The outcomes since the last call."""
        outcomes = self._reader.read()
        for outcome in outcomes:
            self._settled[outcome["bundle"]] += 1
            self._skipped[outcome["bundle"]] += outcome["outcome"] == "skipped"
        return outcomes

    def sent(self) -> dict[str, int] | None:
        """Frames of each network by the edge's own count; None where it left no summary."""
        try:
            told = json.loads(self._summary.read_text())
            return {each["bundle"]: int(each["frames_sent"]) for each in told.get("bundles", [told])}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def unaccounted(self, name: str) -> int:
        """Pictures handed over of which a network never said what became of them."""
        return max(0, self.feeder.fed - self._settled[name])

    def outcomes(self, name: str) -> int:
        """Frames of a network of which it is known what became of them."""
        return self._settled[name] - self._skipped[name]

    def remove_files(self) -> None:
        """Remove what the edge wrote, when it has been read."""
        for path in (self._reader.path, self._summary):
            path.unlink(missing_ok=True)


class OutcomeReader:
    """Follows the edge's ``--output jsonl:FILE`` while it is being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        self._rest = b""

    def read(self) -> list[dict[str, Any]]:
        """Whole lines written since the last call; half a line waits for its end."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.position)
                fresh = file.read()
        except FileNotFoundError:
            return []
        self.position += len(fresh)
        *lines, self._rest = (self._rest + fresh).split(b"\n")
        return [json.loads(line) for line in lines if line.strip()]
