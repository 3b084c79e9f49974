"""Choosing an attack's settings for one victim, on auxiliary pictures whose originals the attacker has.

FOLDER/NAME/tuning.json         what was tuned on what
FOLDER/NAME/tuning.safetensors  feature statistics; the choice and every candidate's score in the header
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from lab.attacks.attack import Show
from lab.attacks.chunks import claim, memory_advice, read_tensors, write_tensors
from lab.attacks.features import FeatureStatistics, measure_features
from lab.attacks.fingerprint import auxiliary_digest, check_pictures, victim_fingerprint
from lab.attacks.victim import Victim, to_floats
from lab.train import RunFolderError, keep_freed_memory

ABOUT, TUNING = "tuning.json", "tuning.safetensors"

Attempt = Callable[[FeatureStatistics, Tensor, Tensor, Tensor, Tensor], Tensor]
"""Reconstruct from features, given step size and TV weight of each picture.

Arguments: statistics, features, the originals (for a start from another attack's output, never for the loss),
step sizes, weights.
"""


class Tunable(Protocol):
    """What an attack needs to be tuned."""

    name: Any
    learning_rates: Any
    tv_weights: Any
    tuning_pictures: Any
    batch: Any
    seed: Any

    def budget(self) -> dict[str, Any]:
        """The attack's settings as JSON values."""
        ...


@dataclass(frozen=True)
class Tuning:
    """What tuning found.

    Attributes:
        statistics: Of the victim's features.
        learning_rate: The chosen first step size.
        tv_weight: The chosen weight.
        scores: PSNR in dB on the tuning pictures, mean over pictures, by candidate.
    """

    statistics: FeatureStatistics
    learning_rate: float
    tv_weight: float
    scores: list[dict[str, float]]


def psnr_N(made_NCHW: Tensor, truth_NCHW: Tensor) -> Tensor:
    """PSNR per picture in dB, capped at 100."""
    error = (made_NCHW - truth_NCHW).square().mean((1, 2, 3)).clamp_min(1e-10)
    return -10 * torch.log10(error)


def tune(
    attack: Tunable, victim: Victim, auxiliary_NHWC: Tensor, folder: Path, show: Show, *, attempt: Attempt
) -> dict[str, Any]:
    """Measure features and choose among ``learning_rates`` x ``tv_weights`` by PSNR; read back if done.

    Raises:
        ValueError: too few auxiliary pictures.
        RunFolderError: the folder holds the tuning of another budget or other pictures.
    """
    count = attack.tuning_pictures
    check_pictures(victim, auxiliary_NHWC, count + 2)
    home = folder / attack.name
    about = {
        "budget": attack.budget(),
        "victim": victim_fingerprint(victim),
        "auxiliary": auxiliary_digest(auxiliary_NHWC),
    }
    claim(home / ABOUT, about)
    if not (home / TUNING).is_file():
        if victim.device.type == "cpu":
            keep_freed_memory()
        order = torch.randperm(len(auxiliary_NHWC), generator=torch.Generator().manual_seed(attack.seed))
        statistics = measure_features(victim, auxiliary_NHWC[order[count:]])
        scores = _score_candidates(attack, victim, auxiliary_NHWC[order[:count]], statistics, attempt)
        details = {"scores": scores, "chosen": max(scores, key=lambda score: score["psnr_db"])}
        write_tensors(home / TUNING, statistics.tensors(), details)
        show(f"{attack.name}  chosen: {details['chosen']}")
    tuned = load_tuning(attack, folder)
    chosen = {"learning_rate": tuned.learning_rate, "tv_weight": tuned.tv_weight}
    return {**tuned.statistics.summary(), **chosen, "scores": tuned.scores}


def _score_candidates(
    attack: Tunable,
    victim: Victim,
    images_NHWC: Tensor,
    statistics: FeatureStatistics,
    attempt: Attempt,
) -> list[dict[str, float]]:
    """Mean PSNR of every pair; all pairs run side by side, each on its own copy of the pictures."""
    pairs = list(product(attack.learning_rates, attack.tv_weights))
    if len(pairs) == 1:
        return [{"learning_rate": pairs[0][0], "tv_weight": pairs[0][1], "psnr_db": 0.0}]
    truth = to_floats(images_NHWC.to(victim.device))
    with torch.no_grad():
        z = victim.observe(truth)
    which = torch.arange(len(truth), device=z.device).repeat(len(pairs))
    settings = torch.tensor(pairs, device=z.device).repeat_interleave(len(truth), dim=0)
    made: list[Tensor] = []
    with memory_advice(attack.batch):
        for index, pair in zip(which.split(attack.batch), settings.split(attack.batch), strict=True):
            made.append(attempt(statistics, z[index], images_NHWC[index.cpu()], pair[:, 0], pair[:, 1]))
    scores = psnr_N(torch.cat(made), truth[which]).view(len(pairs), len(truth)).mean(1).tolist()
    return [
        {"learning_rate": rate, "tv_weight": weight, "psnr_db": score}
        for (rate, weight), score in zip(pairs, scores, strict=True)
    ]


def load_tuning(attack: Tunable, folder: Path) -> Tuning:
    """What ``tune`` stored.

    Raises:
        RunFolderError: nothing was fitted here, or by another budget.
    """
    home = folder / attack.name
    if not (home / TUNING).is_file():
        raise RunFolderError(f"attack {attack.name} is not fitted in {folder}; call fit first")
    stored: Mapping[str, Any]
    tensors, stored = read_tensors(home / TUNING)
    chosen = stored["chosen"]
    return Tuning(
        FeatureStatistics(**tensors), chosen["learning_rate"], chosen["tv_weight"], stored["scores"]
    )
