"""The attacker's books: what was intercepted, rebuilt and scored, per bundle, codec and tap.

Plain arithmetic over what the pipeline reports; the figures on the page and in `GET /summary` come from here.
Names that a client can invent (codecs, digests) are bounded: beyond that they share one entry.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

MAX_STRANGERS = 64
OTHER_STRANGERS = "others"


@dataclass(frozen=True)
class Similarity:
    """How close one reconstruction came to the model's input.

    Attributes:
        mse: mean squared error of pixels in [0, 1].
        psnr_db: peak signal-to-noise ratio, capped at 100 dB.
        ssim: structural similarity, 1 for equal pictures.
    """

    mse: float
    psnr_db: float
    ssim: float


@dataclass
class RunningMean:
    """Mean and standard deviation of a stream of numbers (Welford), without keeping them.

    >>> mean = RunningMean()
    >>> mean.add(1.0); mean.add(3.0); mean.mean, mean.deviation
    (2.0, 1.0)
    """

    count: int = 0
    _mean: float = 0.0
    _squares: float = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Take one more number into account, or (-1 times) one that was taken before back out."""
        self.count += times
        delta = value - self._mean
        self._mean = self._mean + times * delta / self.count if self.count else 0.0
        self._squares += times * delta * (value - self._mean)

    @property
    def mean(self) -> float | None:
        """The mean so far; None before the first number."""
        return self._mean if self.count else None

    @property
    def deviation(self) -> float | None:
        """The population standard deviation so far; None before the first number."""
        return math.sqrt(self._squares / self.count) if self.count else None


@dataclass
class CodecTally:
    """What frames cost and give away.

    Attributes:
        frames_intercepted: frames heard, each once however often it was sent or tapped.
        wire_bytes: TCP payload both ways without handshakes.
        payload_bytes: codec payload, mean per frame.
    """

    frames_intercepted: int = 0
    wire_bytes: int = 0
    payload_bytes: RunningMean = field(default_factory=RunningMean)
    psnr_db: RunningMean = field(default_factory=RunningMean)
    ssim: RunningMean = field(default_factory=RunningMean)

    def figures(self) -> dict[str, Any]:
        """What `GET /summary` tells of a bundle and its codecs; means are null before their first value."""
        frames = self.frames_intercepted
        return {
            "frames_scored": self.psnr_db.count,
            "payload_bytes_mean": self.payload_bytes.mean,
            "wire_bytes_mean": self.wire_bytes / frames if frames else None,
            "psnr_mean": self.psnr_db.mean,
            "ssim_mean": self.ssim.mean,
        }


@dataclass
class BundleTally(CodecTally):
    """Counts and means of one bundle.

    Attributes:
        frames_resent: hearings beyond the first.
        frames_undecodable: frames that no codec of the bundle decodes.
        frames_skipped: frames not rebuilt because the attacker had fallen behind.
        frames_failed: frames whose reconstruction failed.
        frames_reconstructed: frames turned into pictures.
        frames_without_truth: rebuilt frames whose original did not come in time, so never scored.
        answers_overheard: exchanges whose prediction was heard.
        answers_labelled: those of them whose true class is known from the preview.
        answers_correct: those of them that were right.
        errors_overheard: replies that carried an error.
        codecs: the same per codec name, without what passed outside of frames and answers.
        taps: the same per tap that decoded the frame, and codec name.
    """

    frames_resent: int = 0
    frames_undecodable: int = 0
    frames_skipped: int = 0
    frames_failed: int = 0
    frames_reconstructed: int = 0
    frames_without_truth: int = 0
    answers_overheard: int = 0
    answers_labelled: int = 0
    answers_correct: int = 0
    errors_overheard: int = 0
    jpeg_bytes: RunningMean = field(default_factory=RunningMean)
    mse: RunningMean = field(default_factory=RunningMean)
    codecs: dict[str, CodecTally] = field(default_factory=lambda: defaultdict(CodecTally))
    taps: dict[str, dict[str, CodecTally]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(CodecTally))
    )

    def heard(self, tap: str, codec: str, payload_bytes: int) -> None:
        """Count a frame that was not heard before."""
        for tally in self._all(tap, codec):
            tally.frames_intercepted += 1
            tally.payload_bytes.add(payload_bytes)

    def charge(self, tap: str, codec: str, wire_bytes: int) -> None:
        """Add what a frame or its answer took on the wire; negative to take it back."""
        for tally in self._all(tap, codec):
            tally.wire_bytes += wire_bytes

    def take_over(self, before: str, after: str, codec: str, payload_bytes: int) -> None:
        """Credit a frame to another tap than the one that heard it first."""
        for tap, count in ((before, -1), (after, 1)):
            tally = self.taps[tap][codec]
            tally.frames_intercepted += count
            tally.payload_bytes.add(payload_bytes, count)

    def labelled(self, correct: bool) -> None:
        """Count an overheard prediction whose true class is known."""
        self.answers_labelled += 1
        self.answers_correct += correct

    def scored(self, tap: str, codec: str, similarity: Similarity) -> None:
        """Take the similarity of one reconstruction into account."""
        self.mse.add(similarity.mse)
        for tally in self._all(tap, codec):
            tally.psnr_db.add(similarity.psnr_db)
            tally.ssim.add(similarity.ssim)

    def as_json(self) -> dict[str, Any]:
        """The figures of `GET /summary`; means are null before their first value."""
        counts = {name: count for name, count in vars(self).items() if isinstance(count, int)}
        wire_bytes = counts.pop("wire_bytes")
        labelled = self.answers_labelled
        return {
            **counts,
            **self.figures(),
            "mse_mean": self.mse.mean,
            "psnr_deviation": self.psnr_db.deviation,
            "ssim_deviation": self.ssim.deviation,
            "wire_bytes_total": wire_bytes,
            "jpeg_bytes_mean": self.jpeg_bytes.mean,
            "answers_accuracy": self.answers_correct / labelled if labelled else None,
            "codecs": _by_name(self.codecs),
            "taps": {tap: _by_name(codecs) for tap, codecs in self.taps.items()},
        }

    def _all(self, tap: str, codec: str) -> tuple[CodecTally, ...]:
        return self, self.codecs[codec], self.taps[tap][codec]


def _by_name(codecs: dict[str, CodecTally]) -> dict[str, Any]:
    return {
        name: {"frames": tally.frames_intercepted, **tally.figures()}
        for name, tally in codecs.items()
        if tally.frames_intercepted
    }


@dataclass
class Stranger:
    """Frames of a bundle that the attacker does not have."""

    frames: int = 0
    wire_bytes: int = 0


class Ledger:
    """One tally per bundle, and what belongs to none. Not thread-safe: its owner locks."""

    def __init__(self) -> None:
        self.bundles: dict[str, BundleTally] = {}
        self.strangers: dict[str, Stranger] = {}
        self.unsettled = Stranger()
        self.malformed_messages = 0
        self._digests: dict[str, str] = {}

    def bundle(self, name: str, digest: str) -> BundleTally:
        """The tally of a bundle, made when first asked for.

        Two bundles may share a name (one was trained again): the later one is told apart by its digest.
        """
        if digest not in self._digests:
            taken = name in self.bundles
            self._digests[digest] = f"{name} ({digest[:8]})" if taken else name
        return self.bundles.setdefault(self._digests[digest], BundleTally())

    def stranger(self, digest: str | None) -> Stranger:
        """The count of frames whose bundle is not at hand, or (None) not even known by digest."""
        if digest is None:
            return self.unsettled
        if digest not in self.strangers and len(self.strangers) >= MAX_STRANGERS:
            digest = OTHER_STRANGERS
        return self.strangers.setdefault(digest, Stranger())

    def as_json(self) -> dict[str, Any]:
        """The parts of `GET /summary` that the ledger knows."""
        return {
            "bundles": {name: tally.as_json() for name, tally in self.bundles.items()},
            "unknown_bundles": {
                digest: {"frames_intercepted": stranger.frames, "wire_bytes_total": stranger.wire_bytes}
                for digest, stranger in self.strangers.items()
            },
            "unsettled": {"frames": self.unsettled.frames, "wire_bytes": self.unsettled.wire_bytes},
            "malformed_messages": self.malformed_messages,
        }
