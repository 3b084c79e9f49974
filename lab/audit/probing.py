"""Extra runs that two sanity checks need: the strongest attack at half its budget, and learning by heart."""

import shutil
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from siftfunnel.lab.attacks.attack import Attack, Show
from siftfunnel.lab.attacks.convergence import second_half_db
from siftfunnel.lab.attacks.inverter_training import TrainedInverter
from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.audit.attacking import folder_of, looks
from siftfunnel.lab.audit.budgets import Budget
from siftfunnel.lab.audit.checks import SATURATED_DB, best_key
from siftfunnel.lab.audit.subject import Subject, overhear
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


def gain_by_curve(figures: Mapping[str, Any]) -> float | None:
    """Gain in dB on held-back pictures since the middle of the training, where an attack logs it."""
    return second_half_db(figures["fit"].get("history") or [])


def half_budget(
    subject: Subject,
    attack: Attack,
    frames: int,
    figures: Mapping[str, Any],
    out: Path,
    budget: Budget,
    seed: int,
    show: Show,
) -> dict[str, Any] | None:
    """The attack at half and at full budget on the same pictures, for ``checks.budget_is_enough``."""
    name = budget_field(attack)
    if name is None:
        return None
    about = {
        "label": figures["label"],
        "what": name,
        "all": getattr(attack, name),
        "half": getattr(attack, name) // 2,
    }
    gain = gain_by_curve(figures)
    if gain is not None and gain < SATURATED_DB:
        held_back = round(len(subject.auxiliary) * getattr(attack, "held_back_share", 0.1))
        return {**about, "gain_db": gain, "pictures": held_back, "by": "curve of one training"}
    show(f"half budget: {attack.name} with {about['half']} {name}")
    count = len(subject.x_NCHW)
    if attack.kind == "optimisation":
        count = min(count, budget.half_pictures)
    shorter = halved(attack, name)
    victim = looks(subject.target.victim, frames)
    z = overhear(subject, victim, out, "once" if frames == 1 else f"averaged-{frames}", seed)[:count]
    folder = _half_folder(out, attack, frames)
    shorter.fit(victim, subject.auxiliary_NHWC, folder, show)
    made = shorter.reconstruct(victim, z, folder, show)
    at_half = score_pictures(subject.x_NCHW[:count], made.x_NCHW).psnr_db_N
    at_full = np.asarray(figures["scores"]["psnr_db_per_image"][:count])
    return {
        **about,
        "gain_db": float((at_full - at_half).mean()),
        "pictures": count,
        "by": "a run at half budget",
    }


def _half_folder(out: Path, attack: Attack, frames: int) -> Path:
    """A folder for the halved attack; the inverter that it starts from, if any, is there at full budget."""
    whole = folder_of(out, frames)
    half = whole.with_name(f"{whole.name}-half")
    start = getattr(attack, "start", None)
    if isinstance(start, Attack) and not (half / start.name).exists():
        shutil.copytree(whole / start.name, half / start.name)
    return half


def by_heart(
    subject: Subject,
    attacks: Mapping[str, Attack],
    figures: Mapping[str, Mapping[str, Any]],
    out: Path,
    budget: Budget,
    show: Show,
) -> dict[str, Any] | None:
    """The best inverter trained on a few of the attacker's pictures alone, for ``checks.learns_by_heart``.

    The pictures are given several times each, so that those held back are among those trained on.
    """
    inverters = {
        key: figures[key]
        for key in attacks
        if isinstance(attacks[key], TrainedInverter) and attacks[key].access != "no-query" and key in figures
    }
    key = best_key(inverters)
    if key is None:
        return None
    show(f"by heart: {key} on {BY_HEART_PICTURES} pictures")
    few = subject.auxiliary.spread(BY_HEART_PICTURES)
    images_NHWC = torch.from_numpy(few.images_NHWC)
    attack = replace(
        attacks[key],
        epochs=budget.by_heart_epochs,
        batch=BY_HEART_PICTURES,
        flip=False,  # type: ignore[call-arg]
    )
    victim = subject.target.victim
    folder = out / "attacks" / "by-heart"
    attack.fit(victim, images_NHWC.repeat(COPIES, 1, 1, 1), folder, show)
    x = to_floats(images_NHWC)
    with torch.no_grad():
        z = victim.observe(x.to(victim.device)).cpu()
    made = attack.reconstruct(victim, z, folder, show)
    psnr = float(score_pictures(x, made.x_NCHW).psnr_db_N.mean())
    return {"label": attack.label, "pictures": len(few), "psnr_db": psnr, "epochs": budget.by_heart_epochs}
