"""Carrying out rows: train, attack, measure, and write the result, each step resumable.

RUNS/<profile>/<row>/network/     the training's run folder
RUNS/<profile>/<row>/attacks/     one folder per attack
RUNS/<profile>/<row>/done/        one JSON file per finished step
RESULTS/<profile>/<row>.json      the result, written anew after every step
RESULTS/<profile>/before/         results of other networks or settings that stood there
RESULTS/<profile>/weights/        each row's trained network as one small file, to attack without training

What is measured and attacked is always the network of that file, whoever trained it.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from siftfunnel.lab.attacks.attack import Attack, Show
from siftfunnel.lab.attacks.fingerprint import tensor_digest
from siftfunnel.lab.attacks.generative import GenerativeGrayBox
from siftfunnel.lab.attacks.victim import Victim, to_floats, victim_of_network
from siftfunnel.lab.data.images import Splits
from siftfunnel.lab.metrics.authors import PAPER_BATCH
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.study.flags import Flag, flags_of
from siftfunnel.lab.study.measure import (
    PAPER_RMLE_BATCH,
    accuracy_figures,
    cost_figures,
    information_figures,
    reference_figures,
    scores_of,
)
from siftfunnel.lab.study.profiles import Profile
from siftfunnel.lab.study.rows import Row
from siftfunnel.lab.training.checkpoints import RUN, RunFolderError
from siftfunnel.lab.training.classifier import input_spec, steps_per_epoch
from siftfunnel.lab.training.recipes import Recipe
from siftfunnel.lab.training.runs import load_run, splits_of, store_run, train_recipe

SCHEMA = 1
NETWORK, ATTACKS, DONE, WEIGHTS, BEFORE = "network", "attacks", "done", "weights", "before"

StepName = Literal["train", "measure", "attack"]
STEPS: tuple[StepName, ...] = ("train", "measure", "attack")


@dataclass(frozen=True)
class Places:
    """Where things are.

    Attributes:
        data: Data directory, or None for a data set that is drawn.
        cache: Directory for decoded arrays, or None.
        runs: Root of run folders; large and not committed.
        results: Root of results.
    """

    data: Path | None
    cache: Path | None
    runs: Path
    results: Path


@dataclass(frozen=True)
class Subject:
    """A trained row under attack: what every step needs."""

    recipe: Recipe
    network: SplitNetwork
    stored: Mapping[str, Any]
    splits: Splits
    victim: Victim
    x_NCHW: torch.Tensor
    z_NCHW: torch.Tensor
    parts: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)


def run_name(row: Row, seed: int) -> str:
    """Name of a row's folder and file; seed 1 has none."""
    return row.name if seed == 1 else f"{row.name}-seed{seed}"


def run_row(
    row: Row,
    profile: Profile,
    places: Places,
    device: torch.device,
    show: Show,
    *,
    seed: int = 1,
    steps: tuple[StepName, ...] = STEPS,
    attacks: tuple[str, ...] = (),
) -> Path:
    """Do what is missing of a row and write its result.

    Args:
        row: The row.
        profile: The size of the study.
        places: Where data, runs and results are.
        device: Where to train and attack.
        show: Takes a line of progress.
        seed: Seed of training.
        steps: Which of train, measure and attack.
        attacks: Names of the attacks to run; empty for those that the profile has for the row.

    Returns:
        The result file.

    Raises:
        ValueError: an attack that the profile has no budget for, before any work.
        TrainingDivergedError, OutOfMemoryError, RunFolderError, DataError: see there; what is finished stays.
    """
    chosen = chosen_attacks(row, profile, attacks)
    folder = places.runs / profile.name / run_name(row, seed)
    recipe = row.recipe(profile, seed)
    if "train" in steps:
        show(f"{row.name}: training")
        train_recipe(recipe, folder / NETWORK, places.data, places.cache, device)
    subject = prepare(row, seed, profile, places, device)
    result = places.results / profile.name / f"{run_name(row, seed)}.json"
    said: set[str] = set()
    set_aside(result, profile, subject, show)

    def write() -> None:
        for flag in write_result(result, row, profile, subject, folder):
            text = f"{row.name}, {flag['about']}: {flag['text']}"
            if text not in said:
                said.add(text)
                show(text)

    write()
    if "measure" in steps:
        for name, measure in MEASURES.items():
            finish(folder, name, partial(measure, subject, profile), show)
            write()
    if "attack" in steps:
        for attack, frames in planned_attacks(profile, subject.victim, chosen):
            key = attack.name if frames == 1 else f"{attack.name}-averaged-{frames}"
            finish(folder, f"attack-{key}", partial(run_attack, attack, frames, subject, folder, show), show)
            write()
    return result


def trained_weights(row: Row, seed: int, profile: Profile, places: Places) -> Path:
    """The file of a row's trained network, made of its run folder where there is one.

    Raises:
        RunFolderError: neither file nor run folder, or a training that is not finished.
    """
    path = places.results / profile.name / WEIGHTS / f"{run_name(row, seed)}.safetensors"
    network = places.runs / profile.name / run_name(row, seed) / NETWORK
    if (network / RUN).is_file():
        store_run(network, path)
    elif not path.is_file():
        raise RunFolderError(
            f"{row.name} is not trained: there is neither {path} nor a run in {network}; run the step train"
        )
    return path


def prepare(row: Row, seed: int, profile: Profile, places: Places, device: torch.device) -> Subject:
    """The trained network, its data, the victim, the attacked pictures and their overheard features."""
    weights = trained_weights(row, seed, profile, places)
    recipe, network, stored = load_run(weights)
    splits = splits_of(recipe, places.data, places.cache)
    spec = input_spec(recipe)
    victim = victim_of_network(network, mean=spec.mean, std=spec.std, device=device)
    attacked = splits.test.spread(min(profile.attacked_pictures, len(splits.test)))
    x = to_floats(torch.from_numpy(attacked.images_NHWC)).to(device)
    torch.manual_seed(recipe.seed)
    with torch.no_grad():
        z = victim.observe(x)
    tensors = "".join(f"{name}={tensor_digest(value)};" for name, value in network.state_dict().items())
    digest = hashlib.sha256(tensors.encode()).hexdigest()
    named = {"file": f"{WEIGHTS}/{weights.name}", "tensors_sha256": digest}
    return Subject(recipe, network, stored, splits, victim, x, z, splits.provenance(), named)


MEASURES: dict[str, Callable[[Subject, Profile], dict[str, Any]]] = {
    "accuracy": lambda s, p: accuracy_figures(
        s.network, s.splits.test, input_spec(s.recipe), s.victim.device
    ),
    "references": lambda s, p: reference_figures(s.x_NCHW, s.splits.auxiliary),
    "cost": lambda s, p: cost_figures(s.network, p.measure),
    "information": lambda s, p: information_figures(s.victim, s.splits, p.measure, s.recipe.seed),
}
"""What is measured of every row besides attacks, by the result's key."""

PARAMETERS = ("edge_parameters", "edge_parameters_torchsummary", "cloud_parameters")


def chosen_attacks(row: Row, profile: Profile, names: Sequence[str] = ()) -> tuple[Attack, ...]:
    """The profile's attacks on a row, or those of these names, shaped for the row's family.

    An attack that is named is run though it is one of the further ones and the row did not ask for more.

    Raises:
        ValueError: names the attacks that the profile has no budget for.
    """
    known = {attack.name: attack for attack in (*profile.attacks, *profile.further_attacks)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"profile {profile.name} has no budget for attack {', '.join(unknown)}, so {row.name} cannot be "
            f"attacked with it; it has {', '.join(known)}"
        )
    usual = [*profile.attacks, *(profile.further_attacks if row.further else ())]
    attacks = [known[name] for name in names] or usual
    width = profile.widths[row.family]
    return tuple(
        replace(attack, width=width, victim_width=width) if isinstance(attack, GenerativeGrayBox) else attack
        for attack in attacks
    )


def planned_attacks(profile: Profile, victim: Victim, attacks: Sequence[Attack]) -> list[tuple[Attack, int]]:
    """Attacks with the number of observations each averages."""
    plan = [(attack, 1) for attack in attacks]
    if victim.stochastic:
        plan += [(attack, profile.frames) for attack in attacks if attack.name in profile.averaged]
    return plan


def run_attack(attack: Attack, frames: int, subject: Subject, folder: Path, show: Show) -> dict[str, Any]:
    """Fit, reconstruct and score one attack; the result's entry."""
    victim, z = subject.victim, subject.z_NCHW
    root = folder / ATTACKS
    if frames > 1:
        victim = victim.averaging(frames)
        root = folder / f"{ATTACKS}-averaged-{frames}"
        torch.manual_seed(subject.recipe.seed)
        with torch.no_grad():
            z = victim.observe(subject.x_NCHW)
    auxiliary = torch.from_numpy(subject.splits.auxiliary.images_NHWC)
    started = time.monotonic()
    learned = attack.fit(victim, auxiliary, root, show)
    fitted = time.monotonic()
    made = attack.reconstruct(victim, z, root, show)
    ended = time.monotonic()
    return {
        "label": attack.label,
        "access": attack.access,
        "kind": attack.kind,
        "source": attack.source,
        "as_the_paper": attack.as_the_paper,
        "budget": attack.budget(),
        "frames": frames,
        "fit": dict(learned),
        "details": dict(made.details),
        "fit_seconds": round(fitted - started, 1),
        "reconstruct_seconds": round(ended - fitted, 1),
        "scores": scores_of(
            subject.x_NCHW.cpu(),
            made.x_NCHW,
            PAPER_RMLE_BATCH if attack.kind == "optimisation" else PAPER_BATCH,
        ),
        "provenance": provenance(),
    }


def finish(folder: Path, step: str, do: Callable[[], dict[str, Any]], show: Show) -> None:
    """Do a step unless its file is there."""
    path = folder / DONE / f"{step}.json"
    if path.is_file():
        return
    show(f"{folder.name}: {step}")
    made = do()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(made, indent=1) + "\n")
    partial.replace(path)


def _done(folder: Path) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in sorted((folder / DONE).glob("*.json"))}


def _known(path: Path, profile: Profile, subject: Subject) -> dict[str, Any]:
    """Steps of the result that stands at ``path``, if it is of the same weights, pictures and settings."""
    if not path.is_file():
        return {}
    found = json.loads(path.read_text())
    same = {
        "weights": dict(subject.weights),
        "profile_settings": json.loads(json.dumps(profile.settings())),
    }
    if any(found.get(key) != value for key, value in same.items()):
        return {}
    if found["dataset"].get("parts") != subject.parts:
        return {}
    measured = {key: found[key] for key in MEASURES if key in found}
    if "cost" in measured:
        measured["cost"]["parameters"] = {
            key: found["network"][key] for key in PARAMETERS if key in found["network"]
        }
    return measured | {f"attack-{key}": entry for key, entry in found["attacks"].items()}


def set_aside(path: Path, profile: Profile, subject: Subject, show: Show) -> None:
    """Keep a result of another network or other settings, which this row's is about to replace."""
    if not path.is_file() or _known(path, profile, subject) or not json.loads(path.read_text())["attacks"]:
        return
    kept = path.parent / BEFORE / path.name
    kept.parent.mkdir(exist_ok=True)
    path.replace(kept)
    show(f"{path} is of another network, other pictures or settings; kept as {kept}")


def write_result(path: Path, row: Row, profile: Profile, subject: Subject, folder: Path) -> list[Flag]:
    """Write what is known of a row so far, what an earlier result says of the same weights included.

    Returns:
        What has to be said aloud of it.
    """
    done = dict(sorted({**_known(path, profile, subject), **_done(folder)}.items()))
    attacks = {key.removeprefix("attack-"): value for key, value in done.items() if key.startswith("attack-")}
    recipe, network = subject.recipe, subject.network
    parameters = done.get("cost", {}).pop("parameters", {})
    result = {
        "schema": SCHEMA,
        "row": row.name,
        "profile": profile.name,
        "profile_settings": profile.settings(),
        "seed": recipe.seed,
        "dataset": {"name": recipe.dataset, **subject.splits.sizes(), "parts": subject.parts},
        "defence": recipe.defence.describe(),
        "network": {
            "family": recipe.family,
            "architecture": recipe.architecture,
            "width": recipe.width,
            "input_size": recipe.input_size,
            "feature_shape": list(network.feature_shape),
            **parameters,
        },
        "weights": dict(subject.weights),
        "training": training_figures(subject),
        **{key: done[key] for key in MEASURES if key in done},
        "attacks": attacks,
        "strongest": strongest(attacks),
        "provenance": provenance(),
    }
    flags = flags_of(result)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({**result, "flags": flags}, indent=1) + "\n")
    partial.replace(path)
    return flags


def strongest(attacks: Mapping[str, Any]) -> str | None:
    """Key of the attack with the highest mean PSNR, or None before any has run."""
    if not attacks:
        return None
    return max(attacks, key=lambda key: float(attacks[key]["scores"]["standard"]["psnr_db"]["mean"]))


def training_figures(subject: Subject) -> dict[str, Any]:
    """What the run folder says of the training; epsilon where it was private."""
    stored, recipe = subject.stored, subject.recipe
    speeds = sorted(epoch["images_per_s"] for epoch in stored["history"])
    return {
        "recipe": recipe.to_json(),
        "epochs_done": stored["epochs_done"],
        "best_epoch": stored["best_epoch"],
        "validation_accuracy": stored["best_score"],
        "seconds": round(stored["seconds"], 1),
        "images_per_s_median": speeds[len(speeds) // 2],
        "epsilon": _epsilon(subject),
        "history": stored["history"],
        "provenance": stored["provenance"],
    }


def _epsilon(subject: Subject) -> float | None:
    recipe, pictures = subject.recipe, len(subject.splits.train)
    steps = steps_per_epoch(recipe, pictures) * subject.stored["epochs_done"]
    spent = recipe.defence.privacy_spent(steps=steps, pictures=pictures, batch_size=recipe.batch_size)
    return None if spent is None else round(spent, 3)
