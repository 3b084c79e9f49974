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

from siftfunnel.lab.attacks.attack import Attack, Show
from siftfunnel.lab.attacks.basis import PictureBasis, measure_pictures
from siftfunnel.lab.attacks.chunks import (
    AttackDivergedError,
    claim,
    memory_advice,
    read_tensors,
    write_tensors,
)
from siftfunnel.lab.attacks.convergence import ends
from siftfunnel.lab.attacks.features import FeatureStatistics, measure_features
from siftfunnel.lab.attacks.fingerprint import auxiliary_digest, check_pictures, victim_fingerprint
from siftfunnel.lab.attacks.victim import Victim, to_floats
from siftfunnel.lab.training.checkpoints import RunFolderError
from siftfunnel.lab.training.fitting import keep_freed_memory

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


Attempt = Callable[[Tuning, Tensor, Settings], Tensor]
"""Pictures from features under settings; of the tuning only statistics and basis are known yet."""


def psnr_N(made_NCHW: Tensor, truth_NCHW: Tensor) -> Tensor:
    """PSNR per picture in dB, capped at 100."""
    error = (made_NCHW - truth_NCHW).square().mean((1, 2, 3)).clamp_min(1e-10)
    return -10 * torch.log10(error)


def tune(
    attack: Attack,
    victim: Victim,
    auxiliary_NHWC: Tensor,
    folder: Path,
    show: Show,
    *,
    batch: int,
    candidates: Sequence[Candidate],
    held_out_N: Tensor,
    attempt: Attempt,
    longer: Attempt | None = None,
) -> dict[str, Any]:
    """Measure features and pictures, and choose a candidate by its PSNR (see ``choose``); read back if done.

    Where the best candidate lies at an end of what was to choose from, the choice is widened in that
    direction (see ``beyond``) until it does not, at most ``MOST_WIDENINGS`` times.

    Args:
        attack: Names the folder and the budget.
        victim: The network under attack.
        auxiliary_NHWC: The attacker's pictures.
        folder: Root of this victim's attacks.
        show: Takes a line of progress.
        batch: Pictures at a time.
        candidates: To choose from, at first.
        held_out_N: Indices of the pictures to choose on; the others are measured.
        attempt: Runs the attack.
        longer: Runs it with twice the steps, to see whether they would get more.

    Raises:
        ValueError: too few auxiliary pictures.
        RunFolderError: the folder holds the tuning of another budget, victim or set of pictures.
    """
    home = folder / attack.name
    check_pictures(victim, auxiliary_NHWC, len(held_out_N) + 2)
    claim(
        home / ABOUT,
        {
            "budget": attack.budget(),
            "victim": victim_fingerprint(victim),
            "auxiliary": auxiliary_digest(auxiliary_NHWC),
        },
    )
    if not (home / TUNING).is_file():
        if victim.device.type == "cpu":
            keep_freed_memory()
        is_measured = torch.ones(len(auxiliary_NHWC), dtype=torch.bool)
        is_measured[held_out_N] = False
        measured_NHWC = auxiliary_NHWC[is_measured.to(auxiliary_NHWC.device)]
        known = Tuning(
            measure_features(victim, measured_NHWC),
            measure_pictures(measured_NHWC, victim.device),
            candidates[0],
            [],
        )
        pictures_NHWC = auxiliary_NHWC[held_out_N]

        def score(some: Sequence[Candidate], run: Attempt = attempt) -> Tensor:
            return _scores(batch, victim, pictures_NHWC, known, some, run)

        tried, scores_KN = _widened(candidates, score)
        best = choose(scores_KN, [candidate.anchor_weight for candidate in tried])
        gain = None
        if longer is not None:
            gain = float((score([tried[best]], longer) - score([tried[best]])).mean())
        table = [
            {**asdict(candidate), "psnr_db": mean}
            for candidate, mean in zip(tried, scores_KN.mean(1).tolist(), strict=True)
        ]
        found = {
            "chosen": asdict(tried[best]),
            "scores": table,
            "twice_as_long_db": gain,
        }
        write_tensors(home / TUNING, {**known.statistics.tensors(), **known.basis.tensors()}, found)
        show(f"{home.name}  chosen of {len(tried)}: {table[best]}")
    return load_tuning(home).summary()


def _widened(
    candidates: Sequence[Candidate], score: Callable[[Sequence[Candidate]], Tensor]
) -> tuple[list[Candidate], Tensor]:
    """All candidates tried and their scores, K x N."""
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


def _scores(
    batch: int,
    victim: Victim,
    images_NHWC: Tensor,
    known: Tuning,
    candidates: Sequence[Candidate],
    attempt: Attempt,
) -> Tensor:
    """PSNR of every candidate on every picture, K x N; each runs on its own copy of the pictures."""
    truth = to_floats(images_NHWC.to(victim.device))
    with torch.no_grad():
        z = victim.observe(truth)
    pairs = [(candidate, index) for candidate in candidates for index in range(len(truth))]
    made: list[Tensor] = []
    with memory_advice(batch):
        for at in range(0, len(pairs), batch):
            part = pairs[at : at + batch]
            settings = Settings.of([candidate for candidate, _ in part], victim.device)
            made.append(attempt(known, z[[index for _, index in part]], settings))
    every = torch.cat(made)
    return psnr_N(every, truth.repeat(len(candidates), 1, 1, 1)).view(len(candidates), -1).cpu()


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
    """What ``tune`` stored.

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


def drawn_indices(total: int, count: int, seed: int) -> Tensor:
    """``count`` of ``total`` indices, drawn."""
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count]
