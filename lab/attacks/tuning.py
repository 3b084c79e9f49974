"""Choosing an attack's settings for one victim, on auxiliary pictures whose originals the attacker has.

FOLDER/NAME/tuning.json         what was tuned on what
FOLDER/NAME/tuning.safetensors  statistics of features and pictures; the choice and all scores in the header
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from siftfunnel.lab.attacks.basis import PictureBasis
from siftfunnel.lab.attacks.chunks import (
    AttackDivergedError,
    read_tensors,
)
from siftfunnel.lab.attacks.convergence import ends
from siftfunnel.lab.attacks.features import FeatureStatistics
from siftfunnel.lab.training.checkpoints import RunFolderError

ABOUT, TUNING = "tuning.json", "tuning.safetensors"
MOST_WIDENINGS = 4


@dataclass(frozen=True)
class Candidate:
    """Settings that are chosen per victim.

    Attributes:
        learning_rate: First step size, in ``Coordinates``.
        tv_weight: Weight of the total variation.
        prior_weight: Weight of the squared whitened coordinates.
        whitened: Whether to step in whitened coordinates or in pixels.
        anchor_weight: Weight of the squared distance from an inverter's reconstruction.
    """

    learning_rate: float
    tv_weight: float
    prior_weight: float
    whitened: bool = True
    anchor_weight: float = 0.0


@dataclass(frozen=True)
class Settings:
    """A candidate for each picture of a batch, so that all candidates run side by side."""

    learning_rate_N: Tensor
    tv_weight_N: Tensor
    prior_weight_N: Tensor
    whitened_N: Tensor
    anchor_weight_N: Tensor

    @classmethod
    def of(cls, candidates: Sequence[Candidate], device: torch.device) -> "Settings":
        """From one candidate per picture."""
        rows = [[float(value) for value in asdict(candidate).values()] for candidate in candidates]
        rate_N, tv_N, prior_N, whitened_N, anchor_N = torch.tensor(rows, device=device).unbind(1)
        return cls(rate_N, tv_N, prior_N, whitened_N > 0, anchor_N)


@dataclass(frozen=True)
class Tuning:
    """What tuning found.

    Attributes:
        statistics: Of the victim's features.
        basis: Of pictures.
        chosen: The candidate with the best score.
        scores: PSNR in dB on the tuning pictures, mean over pictures, by candidate.
        twice_as_long_db: What twice the steps would gain on the tuning pictures, mean; None where not tried.
    """

    statistics: FeatureStatistics
    basis: PictureBasis
    chosen: Candidate
    scores: list[dict[str, Any]]
    twice_as_long_db: float | None = None

    def to(self, device: torch.device) -> "Tuning":
        """The same on another device."""
        return replace(self, statistics=self.statistics.to(device), basis=self.basis.to(device))

    def summary(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **self.statistics.summary(),
            **asdict(self.chosen),
            "scores": self.scores,
            "twice_as_long_db": self.twice_as_long_db,
        }


def psnr_N(made_NCHW: Tensor, truth_NCHW: Tensor) -> Tensor:
    """PSNR per picture in dB, capped at 100."""
    error = (made_NCHW - truth_NCHW).square().mean((1, 2, 3)).clamp_min(1e-10)
    return -10 * torch.log10(error)


def widened(
    candidates: Sequence[Candidate], score: Callable[[Sequence[Candidate]], Tensor]
) -> tuple[list[Candidate], Tensor]:
    """All candidates tried and their scores, K x N.

    Where the best one lies at an end of what was to choose from, the choice is widened in that direction (see
    ``beyond``) until it does not, at most ``MOST_WIDENINGS`` times.

    Args:
        candidates: To choose from, at first.
        score: PSNR of each of some candidates on each picture.
    """
    tried = list(candidates)
    if len(tried) == 1:
        return tried, torch.zeros(1, 1)
    scores_KN = score(tried)
    for _ in range(MOST_WIDENINGS):
        further = beyond(tried[int(scores_KN.mean(1).argmax())], tried)
        if not further:
            break
        try:
            scores_KN = torch.cat([scores_KN, score(further)])
        except AttackDivergedError:
            break
        tried += further
    return tried, scores_KN


def beyond(best: Candidate, tried: Sequence[Candidate]) -> list[Candidate]:
    """The candidates one step beyond the ends at which ``best`` lies, one for each setting."""
    moved = ends(asdict(best), [asdict(one) for one in tried])
    return [Candidate(**{**asdict(best), name: value}) for name, value in moved.items()]


def choose(scores_KN: Tensor, caution_K: Sequence[float]) -> int:
    """The most cautious candidate that is within one standard error of the best; the better one of equals.

    A handful of pictures does not tell candidates apart that differ by a tenth of a decibel. Without the rule
    one that leaves the inverter's picture behind is chosen where it was lucky, and loses on other pictures.

    Args:
        scores_KN: PSNR of K candidates on N pictures.
        caution_K: How near each stays to what is known to work.

    Example:
        >>> choose(torch.tensor([[20.0, 24.0], [21.9, 22.0], [18.0, 18.0]]), [0.0, 1.0, 2.0])
        1
    """
    mean_K = scores_KN.mean(1)
    behind_KN = scores_KN[int(mean_K.argmax())] - scores_KN
    count = scores_KN.shape[1]
    error_K = behind_KN.std(1) / count**0.5 if count > 1 else torch.zeros(len(behind_KN))
    eligible: list[int] = torch.nonzero(behind_KN.mean(1) <= error_K).flatten().tolist()
    return max(eligible, key=lambda k: (caution_K[k], float(mean_K[k])))


def load_tuning(home: Path) -> Tuning:
    """What the fitting of an attack stored in its folder.

    Raises:
        RunFolderError: nothing was fitted here.
    """
    if not (home / TUNING).is_file():
        raise RunFolderError(f"{home} holds no fitted attack; call fit first")
    tensors, stored = read_tensors(home / TUNING)
    names = {field.name for field in fields(FeatureStatistics)}
    return Tuning(
        FeatureStatistics(**{name: value for name, value in tensors.items() if name in names}),
        PictureBasis(**{name: value for name, value in tensors.items() if name not in names}),
        Candidate(**stored["chosen"]),
        stored["scores"],
        stored.get("twice_as_long_db"),
    )
