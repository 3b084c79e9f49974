"""Running the attacks, each at most once: what is finished is read back.

OUT/attacks/          what the attacks keep, one folder each (``averaged-16/`` beside it for averaged looks)
OUT/done/KEY.json     figures of a finished attack
OUT/done/KEY.safetensors   its reconstructions, ``uint8``
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from siftfunnel.lab.attacks.attack import Attack, Show
from siftfunnel.lab.attacks.chunks import AttackDivergedError, write_json
from siftfunnel.lab.attacks.registry import ATTACKS, make_attack
from siftfunnel.lab.attacks.victim import Victim
from siftfunnel.lab.audit.budgets import Budget
from siftfunnel.lab.audit.subject import Subject, overhear
from siftfunnel.lab.audit.target import Target
from siftfunnel.lab.metrics.authors import PAPER_BATCH
from siftfunnel.lab.study.measure import PAPER_RMLE_BATCH, scores_of
from siftfunnel.lab.training.fitting import OutOfMemoryError, TrainingDivergedError

ATTACKS_FOLDER, DONE = "attacks", "done"

STOPPED = (AttackDivergedError, TrainingDivergedError, OutOfMemoryError, MemoryError)
"""What ends one attack without ending the audit."""


@dataclass(frozen=True)
class Skipped:
    """An attack that does not run, and why."""

    name: str
    label: str
    reason: str

    def to_json(self) -> dict[str, str]:
        """Every field."""
        return {"name": self.name, "label": self.label, "reason": self.reason}


@dataclass(frozen=True)
class Plan:
    """What runs, in order, as (attack, frames), and what does not."""

    runs: tuple[tuple[Attack, int], ...]
    skipped: tuple[Skipped, ...]


def plan_attacks(target: Target, budget: Budget, chosen: tuple[str, ...]) -> Plan:
    """Which attacks run on a target.

    Args:
        target: What is audited.
        budget: Its attacks run unless others are chosen; its fields apply to those that it knows.
        chosen: Names that the user gave; empty for the budget's.

    Raises:
        ValueError: an unknown name, or nothing is left to run.
    """
    unknown = [name for name in chosen if name not in ATTACKS]
    if unknown:
        raise ValueError(f"unknown attack {unknown[0]!r}; known: {', '.join(ATTACKS)}")
    # in the budget's order: an attack that starts from another's result comes after it
    order = [name for name in dict.fromkeys([*budget.attacks, *ATTACKS]) if name in ATTACKS]
    wanted = [name for name in order if name in (chosen or budget.attacks)]
    runs: list[tuple[Attack, int]] = []
    skipped: list[Skipped] = []
    for name in order:
        attack = budgeted(name, budget)
        reason = _obstacle(attack, target)
        if reason is None and name not in wanted:
            reason = "not among --attacks" if chosen else f"not part of the budget {budget.name!r}"
        if reason is not None:
            skipped.append(Skipped(name, attack.label, reason))
            continue
        runs.append((attack, 1))
        if target.victim.stochastic and name in budget.averaged:
            runs.append((attack, budget.frames))
    if not runs:
        told = "; ".join(f"{entry.name}: {entry.reason}" for entry in skipped if entry.name in wanted)
        raise ValueError(f"no attack is left to run ({told})")
    return Plan(tuple(runs), tuple(skipped))


def budgeted(name: str, budget: Budget) -> Attack:
    """An attack with the budget's fields; one that starts from an inverter starts from the budget's own."""
    attack = make_attack(name, **budget.attacks.get(name, {}))
    start = getattr(attack, "start", None)
    if isinstance(start, Attack) and start.name in budget.attacks:
        return replace(attack, start=budgeted(start.name, budget))  # type: ignore[call-arg]
    return attack


def _obstacle(attack: Attack, target: Target) -> str | None:
    if attack.access == "white-box" and not target.victim.white_box:
        return "it needs gradients, and this edge half can only be queried"
    if attack.access == "gray-box" and target.kind == "foreign":
        return "it is shaped after the edge half's layout, which is not known"
    return None


def key_of(attack: Attack, frames: int) -> str:
    """Name of a result: the attack's, and how many looks it averages if more than one."""
    return attack.name if frames == 1 else f"{attack.name}-averaged-{frames}"


def folder_of(out: Path, frames: int) -> Path:
    """Root of the attacks' own folders."""
    return out / ATTACKS_FOLDER / ("single" if frames == 1 else f"averaged-{frames}")


def looks(victim: Victim, frames: int) -> Victim:
    """The victim before an attacker who averages so many looks."""
    return victim if frames == 1 else victim.averaging(frames)


def run_attacks(
    subject: Subject, plan: Plan, out: Path, seed: int, show: Show
) -> tuple[dict[str, dict[str, Any]], list[Skipped]]:
    """Figures of every attack by key, and those that stopped with the reason."""
    figures: dict[str, dict[str, Any]] = {}
    stopped: list[Skipped] = []
    for attack, frames in plan.runs:
        key = key_of(attack, frames)
        try:
            figures[key] = _run_or_read(subject, attack, frames, out, seed, show)
        except STOPPED as error:
            show(f"{key}: stopped: {error}")
            stopped.append(Skipped(attack.name, attack.label, f"it stopped: {error}"))
    if not figures:
        raise RuntimeError("no attack ended: " + "; ".join(entry.reason for entry in stopped))
    return figures, stopped


def _run_or_read(
    subject: Subject, attack: Attack, frames: int, out: Path, seed: int, show: Show
) -> dict[str, Any]:
    key = key_of(attack, frames)
    done = out / DONE / f"attack-{key}.json"
    if done.is_file():
        stored: dict[str, Any] = json.loads(done.read_text())
        if stored["budget"] == json.loads(json.dumps(attack.budget())):
            return stored
    show(f"{key}: started")
    done.parent.mkdir(parents=True, exist_ok=True)
    victim = looks(subject.target.victim, frames)
    folder = folder_of(out, frames)
    z = overhear(subject, victim, out, "once" if frames == 1 else f"averaged-{frames}", seed)
    begun = time.monotonic()
    fit = attack.fit(victim, subject.auxiliary_NHWC, folder, show)
    fitted = time.monotonic()
    made = attack.reconstruct(victim, z, folder, show)
    ended = time.monotonic()
    paper_batch = PAPER_RMLE_BATCH if attack.kind == "optimisation" else PAPER_BATCH
    scores = scores_of(subject.x_NCHW, made.x_NCHW, paper_batch)
    _keep_pictures(out, key, made.x_NCHW)
    figures = {
        **describe(attack, frames),
        "fit": dict(fit),
        "details": dict(made.details),
        "fit_seconds": round(fitted - begun, 1),
        "reconstruct_seconds": round(ended - fitted, 1),
        "scores": scores,
    }
    write_json(done, figures)
    psnr = scores["standard"]["psnr_db"]
    show(f"{key}: {psnr['mean']:.2f} dB on average, worst 1 % {psnr['worst_1pct_mean']:.2f} dB")
    read_back: dict[str, Any] = json.loads(done.read_text())
    return read_back


def describe(attack: Attack, frames: int) -> dict[str, Any]:
    """What the report says of an attack before any number."""
    return {
        "name": attack.name,
        "label": attack.label if frames == 1 else f"{attack.label}, {frames} looks averaged",
        "access": attack.access,
        "kind": attack.kind,
        "source": attack.source,
        "as_the_paper": attack.as_the_paper,
        "budget": attack.budget(),
        "frames": frames,
    }


def _keep_pictures(out: Path, key: str, x_NCHW: Tensor) -> None:
    path = out / DONE / f"attack-{key}.safetensors"
    partial = path.with_suffix(".partial")
    save_file({"x_NCHW": (x_NCHW * 255).round().to(torch.uint8).contiguous()}, partial)
    partial.replace(path)


def kept_pictures(out: Path, key: str) -> Tensor:
    """The reconstructions of a finished attack, ``uint8`` N x 3 x H x W."""
    return load_file(out / DONE / f"attack-{key}.safetensors")["x_NCHW"]


def step(out: Path, name: str, make: Any, show: Show) -> Mapping[str, Any]:
    """The JSON values that ``make`` gives, made once and then read back."""
    done = out / DONE / f"{name}.json"
    if not done.is_file():
        show(f"{name}: started")
        done.parent.mkdir(parents=True, exist_ok=True)
        write_json(done, make())
    values: dict[str, Any] = json.loads(done.read_text())
    return values
