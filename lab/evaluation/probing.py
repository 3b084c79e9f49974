"""Extra runs that two sanity checks need: the strongest attack at half its budget, and learning by heart."""

import shutil
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from siftfunnel.lab.attacks.attack import Attack
from siftfunnel.lab.attacks.convergence import second_half_db
from siftfunnel.lab.attacks.inverter_training import TrainedInverter
from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.evaluation.checks import SATURATED_DB
from siftfunnel.lab.evaluation.ranking import strongest
from siftfunnel.lab.evaluation.steps import Steps
from siftfunnel.lab.evaluation.subject import Subject, observed
from siftfunnel.lab.metrics.pictures import score_pictures

BUDGET_FIELDS = ("epochs", "iterations", "steps")
BY_HEART_PICTURES, COPIES = 8, 5


def budget_field(attack: Attack) -> str | None:
    """The field that counts an attack's epochs or steps; None where there is nothing to halve."""
    named = {field.name for field in fields(attack)}
    return next((name for name in BUDGET_FIELDS if name in named and getattr(attack, name) >= 2), None)


def halved(attack: Attack, name: str) -> Attack:
    """The attack at half its budget, also where a floor of steps would make up for it."""
    changed = {name: getattr(attack, name) // 2}
    if getattr(attack, "least_steps", 0):
        changed["least_steps"] = attack.least_steps // 2  # type: ignore[attr-defined]
    return replace(attack, **changed)


def half_budget(
    subject: Subject, attack: Attack, frames: int, entry: Mapping[str, Any], steps: Steps, most_pictures: int
) -> dict[str, Any] | None:
    """The attack at half and at full budget on the same pictures, for ``checks.budget_is_enough``.

    Args:
        subject: What was attacked.
        attack: At full budget.
        frames: Observations that it averages.
        entry: What it got.
        steps: The run folder.
        most_pictures: On which an attack that descends per picture is repeated.

    Returns:
        None where the attack has no budget to halve.
    """
    name = budget_field(attack)
    if name is None:
        return None
    half = getattr(attack, name) // 2
    about = {"label": entry["label"], "what": name, "all": getattr(attack, name), "half": half}
    gain = second_half_db(entry["fit"].get("history") or [])
    if gain is not None and gain < SATURATED_DB:
        held_back = round(len(subject.auxiliary) * getattr(attack, "held_back_share", 0.1))
        return {**about, "gain_db": gain, "pictures": held_back, "by": "curve of one training"}
    steps.show(f"half budget: {attack.name} with {half} {name}")
    count = len(subject.x_NCHW)
    if attack.kind == "optimisation":
        count = min(count, most_pictures)
    shorter, victim = halved(attack, name), subject.before(frames)
    folder = _half_folder(steps.attacks(frames), attack)
    shorter.fit(victim, subject.auxiliary_NHWC, folder, steps.show)
    z_NCHW = subject.overheard(frames, steps.folder)[:count]
    made = shorter.reconstruct(victim, z_NCHW, folder, steps.show)
    at_half = score_pictures(subject.x_NCHW[:count], made.x_NCHW).psnr_db_N
    at_full = np.asarray(entry["scores"]["psnr_db_per_image"][:count])
    gained = float((at_full - at_half).mean())
    return {**about, "gain_db": gained, "pictures": count, "by": "a run at half budget"}


def _half_folder(whole: Path, attack: Attack) -> Path:
    """A folder for the halved attack; the inverter that it starts from, if any, is there at full budget."""
    half = whole.with_name(f"{whole.name}-half")
    start = getattr(attack, "start", None)
    if isinstance(start, Attack) and not (half / start.name).exists():
        shutil.copytree(whole / start.name, half / start.name)
    return half


def by_heart(
    subject: Subject,
    attacks: Mapping[str, Attack],
    entries: Mapping[str, Mapping[str, Any]],
    steps: Steps,
    epochs: int,
) -> dict[str, Any] | None:
    """The best inverter trained on a few of the attacker's pictures alone, for ``checks.learns_by_heart``.

    The pictures are given several times each, so that those held back are among those trained on.

    Args:
        subject: What was attacked.
        attacks: Those on single observations, by key.
        entries: What they got.
        steps: The run folder.
        epochs: Passes over the few pictures.

    Returns:
        None where no inverter ran.
    """
    inverters = {
        key: entries[key]
        for key, attack in attacks.items()
        if isinstance(attack, TrainedInverter)
        and attack.access != "no-query"
        and not hasattr(attack, "start")
        and key in entries
    }
    key = strongest(inverters)
    if key is None:
        return None
    steps.show(f"by heart: {key} on {BY_HEART_PICTURES} pictures")
    few = subject.auxiliary.spread(BY_HEART_PICTURES)
    images_NHWC = torch.from_numpy(few.images_NHWC)
    changed: dict[str, Any] = {"epochs": epochs, "batch": BY_HEART_PICTURES, "flip": False}
    attack = replace(attacks[key], **changed)
    folder = steps.folder / "attacks" / "by-heart"
    attack.fit(subject.victim, images_NHWC.repeat(COPIES, 1, 1, 1), folder, steps.show)
    made = attack.reconstruct(subject.victim, observed(subject.victim, few), folder, steps.show)
    psnr = float(score_pictures(to_floats(images_NHWC), made.x_NCHW).psnr_db_N.mean())
    return {"label": attack.label, "pictures": len(few), "psnr_db": psnr, "epochs": epochs}
