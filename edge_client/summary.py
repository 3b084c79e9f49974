"""Figures over a whole run, in memory that does not grow with it."""

import json
import os
import random
import re
import time
from array import array
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from siftfunnel.edge_client.outcome import Answer, FrameFailure, Outcome, Superseded
from siftfunnel.shared.files import write_file
from siftfunnel.shared.showing import counted

SAMPLE_SIZE = 65_536
_REASONS_MAX = 16


class Sample:
    """Numbers of which percentiles are wanted: all of them up to a size, then a uniform sample (reservoir).

    Args:
        size: numbers kept.
        seed: of the choice of what is kept.
    """

    def __init__(self, size: int = SAMPLE_SIZE, seed: int = 0) -> None:
        self._size = size
        self._random = random.Random(seed)
        self._kept = array("d")
        self._count = 0
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Take one number into account."""
        self._count += 1
        self._sum += value
        if len(self._kept) < self._size:
            self._kept.append(value)
        elif (place := self._random.randrange(self._count)) < self._size:
            self._kept[place] = value

    def mean(self) -> float | None:
        """Of all numbers; None of none."""
        return self._sum / self._count if self._count else None

    def percentile(self, percent: float) -> float | None:
        """Linearly interpolated, of the numbers kept; None of none."""
        if not self._kept:
            return None
        ordered = sorted(self._kept)
        position = (len(ordered) - 1) * percent / 100
        low = int(position)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


class Summary:
    """What `--summary` writes.

    Args:
        bundle: name of the bundle.
        codec: name of the codec.
        classes: names and ids; only labels among them count for the accuracy. None of a bundle without.
    """

    def __init__(self, bundle: str, codec: str, classes: Collection[str]) -> None:
        self._bundle = bundle
        self._codec = codec
        self._classes = frozenset(classes)
        self._started_s = time.monotonic()
        self._first_answer_s: float | None = None
        self._edge_ms, self._round_trip_ms, self._payload_bytes = Sample(), Sample(), Sample()
        self.answered = self.errors = self.superseded = self.resent = self.skipped = 0
        self.labelled = self.correct = self.foreign_labels = 0
        self.foreign_label: str | None = None
        self.first_skipped: str | None = None
        self._skipped_why: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        if isinstance(outcome, Superseded):
            self.superseded += 1
        elif isinstance(outcome, FrameFailure) and outcome.sequence is None:
            self.skipped += 1
            self.first_skipped = self.first_skipped or outcome.message
            self._skipped_why[self._reason(outcome)] += 1
        elif isinstance(outcome, FrameFailure):
            self.errors += 1
            self.resent += outcome.sends > 1
        else:
            self._add_answer(outcome)

    def _reason(self, skipped: FrameFailure) -> str:
        """The kind of what stands behind the name: "no such file", "does not decode"; bounded in number."""
        kind = re.split(r" \(|[,;]", skipped.message.removeprefix(f"{skipped.source}: "))[0]
        return kind if kind in self._skipped_why or len(self._skipped_why) < _REASONS_MAX else "other"

    @property
    def skipped_why(self) -> str:
        """How many pictures were skipped for which kind of reason, most frequent first."""
        return ", ".join(f"{kind} {count}" for kind, count in self._skipped_why.most_common())

    def _add_answer(self, answer: Answer) -> None:
        if self._first_answer_s is None:
            self._first_answer_s = process_age_s()
        self.answered += 1
        self.resent += answer.sends > 1
        self._edge_ms.add(answer.edge_ms)
        self._round_trip_ms.add(answer.round_trip_ms)
        self._payload_bytes.add(answer.payload_bytes)
        if answer.label in self._classes:
            self.labelled += 1
            self.correct += bool(answer.right)
        elif answer.label is not None and self._classes:
            self.foreign_labels += 1
            self.foreign_label = answer.label

    @property
    def accuracy(self) -> float | None:
        """Share of right answers where the label is a class of the bundle; None without such labels."""
        return self.correct / self.labelled if self.labelled else None

    def as_json(self, handed_in: int) -> dict[str, Any]:
        """The summary as docs/design.md gives it, and what the process needed.

        Args:
            handed_in: frames handed in, counted apart from their outcomes.
        """
        first_s = self._first_answer_s
        return {
            "bundle": self._bundle,
            "codec": self._codec,
            "frames_sent": handed_in,
            "frames_answered": self.answered,
            "frame_errors": self.errors,
            "frames_superseded": self.superseded,
            "frames_resent": self.resent,
            "images_skipped": self.skipped,
            "accuracy": self.accuracy,
            "edge_ms_p50": self._edge_ms.percentile(50),
            "round_trip_ms_p50": self._round_trip_ms.percentile(50),
            "round_trip_ms_p99": self._round_trip_ms.percentile(99),
            "payload_bytes_mean": self._payload_bytes.mean(),
            "elapsed_s": time.monotonic() - self._started_s,
            "start_to_first_answer_ms": None if first_s is None else first_s * 1000,
            "peak_resident_mib": peak_resident_mib(),
        }

    def as_text(self, handed_in: int) -> str:
        """The summary for people, in one line."""
        figures = self.as_json(handed_in)
        parts = [f"{counted(handed_in, 'frame')}: {self.answered} answered, {counted(self.errors, 'error')}"]
        parts += [f"{self.superseded} superseded"] if self.superseded else []
        parts += [f"{self.resent} sent again"] if self.resent else []
        parts += [f"{counted(self.skipped, 'picture')} skipped"] if self.skipped else []
        text = ", ".join(parts)
        if self.answered:
            text += (
                f"; median edge {figures['edge_ms_p50']:.1f} ms, "
                f"round trip {figures['round_trip_ms_p50']:.1f} ms, "
                f"{figures['payload_bytes_mean']:.0f} bytes a frame"
            )
        if self.accuracy is not None:
            text += f"; accuracy {self.accuracy:.1%} of {self.labelled} labelled"
        return text


def process_age_s() -> float | None:
    """Seconds since this process was started; None where the system does not tell (only Linux does here)."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        up_s = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    started_ticks = int(fields[19])  # field 22 of stat(5): the first two end with the parenthesis
    return up_s - started_ticks / os.sysconf("SC_CLK_TCK")


def peak_resident_mib() -> float | None:
    """Most memory this process had resident, MiB; None where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    # getrusage would count what the parent had before this program was started
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


def write_summary(path: Path, figures: dict[str, Any]) -> None:
    """Write the figures so that a reader finds all or none; see `siftfunnel.shared.files.write_file`."""
    write_file(path, json.dumps(figures, indent=1) + "\n")
