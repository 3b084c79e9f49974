"""Running attacks on a subject, each at most once: what is finished is read back.

``attacks`` of the run folder holds what they keep, one folder each; entries and restored pictures are steps.
"""

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from siftfunnel.lab.attacks.attack import Attack
from siftfunnel.lab.attacks.chunks import AttackDivergedError
from siftfunnel.lab.evaluation.ranking import mean_psnr
from siftfunnel.lab.evaluation.scores import PAPER_BATCHES, scores_of
from siftfunnel.lab.evaluation.steps import Steps
from siftfunnel.lab.evaluation.subject import Subject
from siftfunnel.lab.evaluation.suite import Planned, key_of
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.training.fitting import OutOfMemoryError, TrainingDivergedError

STOPPED = (AttackDivergedError, TrainingDivergedError, OutOfMemoryError, MemoryError)
"""What ends one attack without ending those after it."""


@dataclass(frozen=True)
class Skipped:
    """An attack that does not run, and why."""

    name: str
    label: str
    reason: str

    def to_json(self) -> dict[str, str]:
        """Every field."""
        return asdict(self)


def step_of(attack: Attack, frames: int) -> str:
    """Name of an attack's step."""
    return f"attack-{key_of(attack, frames)}"


def run_attack(
    subject: Subject, attack: Attack, frames: int, steps: Steps, *, keep_pictures: bool = False
) -> dict[str, Any]:
    """Fit, reconstruct and score one attack, unless that is done with the same budget.

    Args:
        subject: What is attacked.
        attack: With its budget.
        frames: Observations that it averages.
        steps: The run folder.
        keep_pictures: Whether to keep the restored pictures too.

    Returns:
        The attack's entry: what it is and owns, what it learned, how long it took, and its scores.
    """
    step = step_of(attack, frames)

    def made() -> dict[str, Any]:
        victim, folder, show = subject.before(frames), steps.attacks(frames), steps.show
        z_NCHW = subject.overheard(frames, steps.folder)
        # noise that an attack draws must not depend on which ran before it
        torch.manual_seed(subject.seed)
        begun, used = time.monotonic(), time.process_time()
        learned = attack.fit(victim, subject.auxiliary_NHWC, folder, show)
        fitted = time.monotonic()
        restored = attack.reconstruct(victim, z_NCHW, folder, show)
        ended, used = time.monotonic(), time.process_time() - used
        if keep_pictures:
            steps.keep_pictures(step, restored.x_NCHW)
        return {
            "label": attack.label,
            "access": attack.access,
            "kind": attack.kind,
            "source": attack.source,
            "as_the_paper": attack.as_the_paper,
            "budget": attack.budget(),
            "frames": frames,
            "fit": dict(learned),
            "details": dict(restored.details),
            "fit_seconds": round(fitted - begun, 1),
            "reconstruct_seconds": round(ended - fitted, 1),
            "cpu_seconds": round(used, 1),
            "scores": scores_of(subject.x_NCHW, restored.x_NCHW, PAPER_BATCHES[attack.kind], subject.judge),
            "provenance": provenance(),
        }

    entry: dict[str, Any] = steps.once(step, made, like={"budget": attack.budget()})
    return entry


def run_attacks(
    subject: Subject, plan: Iterable[Planned], steps: Steps
) -> tuple[dict[str, dict[str, Any]], list[Skipped]]:
    """Entries of every attack by key with restored pictures kept, and those that stopped with the reason.

    Raises:
        RuntimeError: no attack ended.
    """
    entries: dict[str, dict[str, Any]] = {}
    stopped: list[Skipped] = []
    for attack, frames in plan:
        key = key_of(attack, frames)
        try:
            entries[key] = run_attack(subject, attack, frames, steps, keep_pictures=True)
        except STOPPED as error:
            steps.show(f"{key}: stopped: {error}")
            stopped.append(Skipped(attack.name, attack.label, f"it stopped: {error}"))
        else:
            worst = entries[key]["scores"]["standard"]["psnr_db"]["worst_1pct_mean"]
            steps.show(f"{key}: {mean_psnr(entries[key]):.2f} dB on average, worst 1 % {worst:.2f} dB")
    if not entries:
        raise RuntimeError("no attack ended: " + "; ".join(entry.reason for entry in stopped))
    return entries, stopped
