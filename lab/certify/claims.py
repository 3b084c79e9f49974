"""A stated number that an audit tries to falsify: "mean PSNR at most 18 dB". Needs no PyTorch.

An attack shows that at least so much leaks, so only an upper limit of a leak can be falsified, and not being
falsified proves nothing. A claim falls where the interval of some attack lies wholly above it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from siftfunnel.lab.metrics.intervals import accuracy_interval

PER_CENT = 100.0
STATES = {
    True: "FALSIFIED",
    False: "not falsified, which proves nothing: another attack may get more",
    None: "undecided: above it on these pictures, but within the interval",
}


class ClaimError(ValueError):
    """A claim that no audit can test: says why, and what can be claimed."""


@dataclass(frozen=True)
class Figure:
    """What can be claimed of.

    Attributes:
        words: What the claim must say, in lower case.
        unit: What its number is in.
        standard: Name of a standard score, whose mean over pictures it is; empty for the share retrieved.
    """

    words: tuple[str, ...]
    unit: str
    standard: str = ""

    def of(self, attack: Mapping[str, Any]) -> tuple[float, list[float]]:
        """The figure of an attack's entry, and its 95 % interval."""
        scores = attack["scores"]
        if self.standard:
            found = scores["standard"][self.standard]
            return float(found["mean"]), [float(end) for end in found["ci95"]]
        share, total = float(scores["retrieval_rank1"]), int(scores["pictures"])
        interval = accuracy_interval(round(share * total), total)
        return PER_CENT * share, [PER_CENT * end for end in interval]


FIGURES: dict[str, Figure] = {
    "mean PSNR": Figure(("mean", "psnr"), "dB", "psnr_db"),
    "mean SSIM": Figure(("mean", "ssim"), "", "ssim"),
    "retrieval": Figure(("retriev",), "%"),
}
"""Every figure that can be claimed of, by its name."""
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?![\w.]*\d)")
_UPPER = re.compile(r"\bat most\b|\bno more than\b|\bbelow\b|\bunder\b|<=?|≤")
_LOWER = re.compile(r"\bat least\b|\bno less than\b|\babove\b|\bover\b|>=?|≥")


@dataclass(frozen=True)
class Claim:
    """That no attack gets more than so much.

    Attributes:
        text: As it was stated.
        figure: A key of ``FIGURES``.
        most: The number.
    """

    text: str
    figure: str
    most: float

    @classmethod
    def parse(cls, text: str) -> "Claim":
        """A claim in words.

        Raises:
            ClaimError: no number or several, no figure that is known, or no upper limit.

        Example:
            >>> Claim.parse("mean PSNR at most 18 dB").most
            18.0
        """
        lowered = text.lower()
        known = [name for name, figure in FIGURES.items() if all(word in lowered for word in figure.words)]
        if len(known) != 1:
            raise _error(text, f"it names {'several figures' if known else 'no figure that is measured'}")
        numbers = _NUMBER.findall(text)
        if len(numbers) != 1:
            raise _error(text, "it states several numbers" if numbers else "it states no number")
        if _LOWER.search(lowered):
            raise _error(text, "an attack shows that at least so much leaks, never that no more does")
        if not _UPPER.search(lowered):
            raise _error(text, "it does not say 'at most'")
        return cls(text, known[0], float(numbers[0]))

    def tried(self, attacks: Mapping[str, Mapping[str, Any]]) -> "Tried":
        """What became of it before all attacks of an audit.

        Args:
            attacks: Entries by key, one or more.
        """
        figure = FIGURES[self.figure]
        found = {key: figure.of(attack) for key, attack in attacks.items()}
        # the attack that refutes it most surely, which need not be the one that gets most
        key = max(found, key=lambda key: (found[key][1][0] > self.most, found[key][0]))
        value, interval = found[key]
        fallen = True if interval[0] > self.most else None if value > self.most else False
        return Tried(self.text, attacks[key].get("label", key), value, interval, figure.unit, fallen)


@dataclass(frozen=True)
class Tried:
    """A claim after an audit.

    Attributes:
        text: As it was stated.
        attack: Label of the attack that gets most.
        value: What it gets.
        ci95: Over pictures.
        unit: Of both.
        falsified: None where only the interval saves it.
    """

    text: str
    attack: str
    value: float
    ci95: list[float]
    unit: str
    falsified: bool | None

    def says(self) -> str:
        """In a line."""
        unit = f" {self.unit}" if self.unit else ""
        low, high = self.ci95
        return (
            f"{self.text!r}: {STATES[self.falsified]}. {self.attack} gets {self.value:.4g}{unit} "
            f"(95 % interval {low:.4g} to {high:.4g})"
        )

    def to_json(self) -> dict[str, Any]:
        """Every field."""
        return asdict(self)


def try_claims(claims: Sequence[Claim], attacks: Mapping[str, Mapping[str, Any]]) -> list[Tried]:
    """What became of each."""
    return [claim.tried(attacks) for claim in claims]


def _error(text: str, why: str) -> ClaimError:
    return ClaimError(
        f"{text!r} cannot be tested: {why}; claim that one of {', '.join(FIGURES)} is at most a number, such "
        "as 'mean PSNR at most 18 dB'"
    )
