"""What the edge reported of a network through a codec, added up, and whether the demo kept its promises."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any, NamedTuple

from siftfunnel.edge_client.summary import Sample

ATTACKER_KEYS = ("frames_intercepted", "frames_reconstructed", "mse_mean", "psnr_mean", "ssim_mean")
_RATE_WINDOW_S = 5.0
_LATELY_FRAMES = 300
_REASONS_MAX = 10_000
_REASONS_TOLD = 10
_CLASSES_TOLD, _CLASSES_SAID = 10, 3


class Figures(NamedTuple):
    """Median edge time and median round trip in milliseconds, mean payload in bytes; None of no frames."""

    edge_ms: float | None = None
    round_trip_ms: float | None = None
    payload_bytes: float | None = None


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

    def in_words(self) -> str:
        """Its shape, and its values where lines hold them.

        >>> Range(1, (2, 4), -0.5, 1.25).in_words()
        '2x4 in [-0.5, 1.25]'
        """
        shape = "x".join(map(str, self.shape)) or "one number"
        if self.low is None or self.high is None:
            return shape
        return f"{shape} in [{self.low:.4g}, {self.high:.4g}]"

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


@dataclass
class Tally:
    """The frames of one network through one codec, as the edge tells them.

    Attributes:
        labels: names and ids of the bundle's classes; only labels among them count for the accuracy.
        frames_sent: what the edge's own summaries add up to, counted apart from the outcomes.
        answered: frames with an answer.
        errors: frames with a typed error.
        superseded: frames a newer one replaced before they were sent.
        skipped: pictures that could not be read and so never became frames, however often they were tried.
        lost: pictures handed to an edge that died before it said what became of them.
        answers: how often each class was the best one.
        outputs: what was answered beside classes, by the output's name.
        edge_ms: preprocessing, model and encoding, of answered frames.
        round_trip_ms: from send to answer, of answered frames.
        payload_bytes: encoded feature, of answered frames.
    """

    labels: frozenset[str]
    frames_sent: int = 0
    answered: int = 0
    errors: int = 0
    superseded: int = 0
    skipped: set[str] = field(default_factory=set)
    lost: int = 0
    labelled: int = 0
    correct: int = 0
    last_error: str | None = None
    answers: Counter[str] = field(default_factory=Counter)
    outputs: dict[str, Range] = field(default_factory=dict)
    edge_ms: Sample = field(default_factory=Sample)
    round_trip_ms: Sample = field(default_factory=Sample)
    payload_bytes: Sample = field(default_factory=Sample)
    _latest: deque[tuple[float, float, float]] = field(default_factory=lambda: deque(maxlen=_LATELY_FRAMES))
    _times_s: deque[float] = field(default_factory=deque)
    _turn_began_s: float = 0.0

    @property
    def outcomes(self) -> int:
        """Frames whose outcome is known."""
        return self.answered + self.errors + self.superseded

    @property
    def accuracy(self) -> float | None:
        """Share of labelled answers that were right; None without labels."""
        return self.correct / self.labelled if self.labelled else None

    def add(self, outcome: Mapping[str, Any], now_s: float) -> None:
        """Count one line of the edge's output.

        Args:
            outcome: the line as JSON.
            now_s: when it was read, on any steady clock.
        """
        kind = outcome["outcome"]
        if kind == "skipped":
            if len(self.skipped) < _REASONS_MAX:
                self.skipped.add(str(outcome.get("source")))
            return
        self._times_s.append(now_s)
        if kind == "superseded":
            self.superseded += 1
        elif kind == "error":
            self.errors += 1
            self.last_error = str(outcome.get("error"))
        else:
            self._add_answer(outcome)

    def in_words(self) -> str | None:
        """What was answered, where no label says whether it was right; None where nothing was."""
        told = [f"{name} ({count})" for name, count in self.answers.most_common(_CLASSES_SAID)]
        told += [f"{name} {each.in_words()}" for name, each in self.outputs.items()]
        return ", ".join(told) if told and self.accuracy is None else None

    def rate_fps(self, now_s: float) -> float:
        """Outcomes per second over this turn's last seconds.

        What waited while the edge started comes in a burst: it is laid on the time since the turn began.
        """
        first_s = max(now_s - _RATE_WINDOW_S, self._turn_began_s)
        while self._times_s and self._times_s[0] < first_s:
            self._times_s.popleft()
        return len(self._times_s) / max(now_s - first_s, 1.0)

    def begin_turn(self, now_s: float) -> None:
        """From here on ``lately`` tells of a new turn, whose codec and channel may be others."""
        self._latest.clear()
        self._turn_began_s = now_s

    def lately(self) -> Figures:
        """Of this turn's last frames; for a live view."""
        if not self._latest:
            return Figures()
        edge_ms, round_trip_ms, payload_bytes = zip(*self._latest, strict=True)
        return Figures(median(edge_ms), median(round_trip_ms), fmean(payload_bytes))

    def overall(self) -> Figures:
        """Of all frames, as the summary has them."""
        edge_ms, round_trip_ms = self.edge_ms.percentile(50), self.round_trip_ms.percentile(50)
        return Figures(edge_ms, round_trip_ms, self.payload_bytes.mean())

    def as_json(self, attacker: Mapping[str, Any]) -> dict[str, Any]:
        """This network's part of the demo's summary.

        Args:
            attacker: its figures in the attacker's ``/summary``; empty where it saw none.
        """
        overheard = {key: attacker.get(key) for key in ATTACKER_KEYS}
        for key in ("frames_intercepted", "frames_reconstructed"):
            overheard[key] = overheard[key] or 0
        return {
            "frames_sent": self.frames_sent,
            "frames_answered": self.answered,
            "frame_errors": self.errors,
            "frames_superseded": self.superseded,
            "frames_lost": self.lost,
            "images_skipped": len(self.skipped),
            "accuracy": self.accuracy,
            "classes": dict(self.answers.most_common(_CLASSES_TOLD)),
            "outputs": {name: told.as_json() for name, told in self.outputs.items()},
            "edge_ms_p50": self.edge_ms.percentile(50),
            "round_trip_ms_p50": self.round_trip_ms.percentile(50),
            "round_trip_ms_p99": self.round_trip_ms.percentile(99),
            "payload_bytes_mean": self.payload_bytes.mean(),
            "wire_bytes_mean": attacker.get("wire_bytes_mean"),
            "attacker": overheard,
        }

    def _add_answer(self, outcome: Mapping[str, Any]) -> None:
        self.answered += 1
        told = outcome["edge_ms"], outcome["round_trip_ms"], outcome["payload_bytes"]
        self._latest.append(told)
        for sample, value in zip((self.edge_ms, self.round_trip_ms, self.payload_bytes), told, strict=True):
            sample.add(value)
        best = outcome["top"][0] if outcome["top"] else {}
        if best:
            self.answers[best["class"]] += 1
        if best and outcome["label"] in self.labels:
            self.labelled += 1
            self.correct += outcome["label"] in (best["class"], best.get("id"))
        for name, told in outcome.get("outputs", {}).items():
            self.outputs.setdefault(name, Range()).add(told)


def since(books: Mapping[str, Any], before: Mapping[str, Any], name: str, weight: str) -> float | None:
    """A running mean of the attacker's books over what came after an earlier look at them.

    Args:
        books: the bundle's figures now.
        before: the same figures then; empty for the beginning.
        name: the mean's key.
        weight: the key of the count it is a mean over.

    >>> since({"psnr": 20.0, "n": 4}, {"psnr": 30.0, "n": 2}, "psnr", "n")
    10.0
    """
    count, count_before = books.get(weight) or 0, before.get(weight) or 0
    if count <= count_before:
        return None
    total, total_before = (books.get(name) or 0.0) * count, (before.get(name) or 0.0) * count_before
    return float(total - total_before) / (count - count_before)


def overheard(books: Mapping[str, Any], name: str, codec: str) -> Mapping[str, Any]:
    """What the attacker's books say of one network through one codec; empty where it saw none.

    Args:
        books: "bundles" of the attacker's ``/summary``.
        name: the bundle's.
        codec: the codec's.
    """
    network: Mapping[str, Any] = books.get(name, {})
    codecs = network.get("codecs", {})
    if set(codecs) <= {codec}:
        return network
    figures = codecs.get(codec, {})
    return {
        **figures,
        "frames_intercepted": figures.get("frames", 0),
        "frames_reconstructed": figures.get("frames_scored", 0),
    }


def violations(name: str, tally: Tally, attacker: Mapping[str, Any], through_relay: bool) -> list[str]:
    """Which of the demo's promises about frame counts did not hold, in words.

    Args:
        name: the bundle's.
        tally: what the edge reported.
        attacker: the bundle's figures in the attacker's ``/summary``.
        through_relay: whether every frame passed a tap that can read it.
    """
    found = []
    if tally.outcomes + tally.lost != tally.frames_sent:
        found.append(
            f"{name}: {tally.answered} answered + {tally.errors} errors + {tally.superseded} superseded "
            f"is not {tally.frames_sent} sent"
        )
    on_wire = tally.frames_sent - tally.superseded
    intercepted = attacker.get("frames_intercepted", 0)
    # what a device that died had sent is not known for certain
    if through_relay and not on_wire - tally.lost <= intercepted <= on_wire:
        found.append(f"{name}: the attacker intercepted {intercepted} frames of {on_wire} on the wire")
    return found


def shortfalls(name: str, tally: Tally, wanted: int | None) -> list[str]:
    """What a run that is over did not reach, in words.

    Args:
        name: the network's.
        tally: what the edge reported.
        wanted: how many frames the user asked for; None: no number.
    """
    if tally.answered == 0:
        why = f"; last error: {tally.last_error}" if tally.last_error else ""
        return [f"{name}: no frame was answered{why}"]
    if wanted is not None and tally.outcomes < wanted:
        return [f"{name}: {tally.outcomes} of {wanted} frames"]
    return []


class Skipped:
    """Pictures that could not be played, by the reason the edge gives; the same one is told once."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def add(self, outcome: Mapping[str, Any]) -> str | None:
        """Note a skipped picture; its reason where it is new."""
        source = str(outcome.get("source"))
        if source in self.reasons:
            return None
        if len(self.reasons) < _REASONS_MAX:
            self.reasons[source] = str(outcome.get("error"))
            return self.reasons[source]
        return None

    def as_json(self) -> dict[str, Any]:
        """For the summary and the page."""
        return {"pictures": len(self.reasons), "reasons": list(self.reasons.values())[-_REASONS_TOLD:]}
