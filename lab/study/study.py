"""Carrying out rows: train, attack, measure, and write the result, each step resumable.

RUNS/<profile>/<row>/network/     the training's run folder
RUNS/<profile>/<row>/done/        one JSON file per finished step of measuring
RUNS/<profile>/<row>/<budget>/    the same of attacks, and what those keep, for each budget of the suite
RUNS/<profile>/recognisers/       judges of identity
RESULTS/<profile>/<row>.json      the result, written anew after every step
RESULTS/<profile>/<budget>/       the same under another budget than the profile's
RESULTS/<profile>/before/         results of other networks or settings that stood there
RESULTS/<profile>/weights/        each row's trained network as one small file, to attack without training

What is measured and attacked is always the network of that file, whoever trained it.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from siftfunnel.lab.attacks.attack import Attack, Show
from siftfunnel.lab.attacks.chunks import write_json
from siftfunnel.lab.attacks.fingerprint import tensor_digest
from siftfunnel.lab.attacks.generative import GenerativeGrayBox
from siftfunnel.lab.attacks.victim import victim_of_network
from siftfunnel.lab.data.images import Splits
from siftfunnel.lab.evaluation.agreement import agreement_with
from siftfunnel.lab.evaluation.attacking import run_attack
from siftfunnel.lab.evaluation.flags import Flag, flags_of
from siftfunnel.lab.evaluation.ranking import columns_of, strongest
from siftfunnel.lab.evaluation.scores import identity_references, reference_figures
from siftfunnel.lab.evaluation.steps import Steps, finished
from siftfunnel.lab.evaluation.subject import Subject
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.study.measure import accuracy_figures, cost_figures, information_figures
from siftfunnel.lab.study.rows import Row
from siftfunnel.lab.study.sizes import PROFILES, Profile
from siftfunnel.lab.training.checkpoints import RUN, RunFolderError
from siftfunnel.lab.training.classifier import input_spec, steps_per_epoch
from siftfunnel.lab.training.recipes import Recipe
from siftfunnel.lab.training.runs import load_run, splits_of, store_run, train_recipe

SCHEMA = 1
NETWORK, WEIGHTS, BEFORE, RECOGNISERS = "network", "weights", "before", "recognisers"
ATTACK = "attack-"
"""Before an attack's key, in the name of its step."""

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
class TrainedRow:
    """A trained row: what every step needs.

    Attributes:
        recipe: How it was trained.
        network: The trained network.
        stored: What its file says of the training.
        splits: Its data.
        subject: What is attacked.
        parts: Where the data's parts come from.
        weights: Name and digest of the network's file.
    """

    recipe: Recipe
    network: SplitNetwork
    stored: Mapping[str, Any]
    splits: Splits
    subject: Subject
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
    trained = prepare(row, seed, profile, places, device)
    result = results_of(profile, places) / f"{run_name(row, seed)}.json"
    said: set[str] = set()
    own = places.results / profile.name / result.name
    known = _known(own, profile, trained, kept=MEASURES) | set_aside(result, profile, trained, show)
    measuring, attacking = steps_in(folder, show), Steps(folder / profile.suite.budget, show)

    def write() -> None:
        for flag in write_result(result, row, profile, trained, known | _made(measuring, attacking)):
            text = f"{row.name}, {flag['about']}: {flag['text']}"
            if text not in said:
                said.add(text)
                show(text)

    write()
    if "measure" in steps:
        for name, measure in MEASURES.items():
            measuring.once(name, partial(measure, trained, profile))
            write()
    if "attack" in steps:
        for name, measure in SCALES.items():
            attacking.once(name, partial(measure, trained, profile))
        for attack, frames in profile.suite.planned(trained.subject.victim, chosen):
            run_attack(trained.subject, attack, frames, attacking)
            write()
        for line in agreement_with(profile.suite):
            show(line)
    return result


def results_of(profile: Profile, places: Places) -> Path:
    """Where results lie: a budget that is not the profile's own has a folder of its own in the profile's."""
    usual = PROFILES.get(profile.name)
    own = usual is None or usual.suite.budget == profile.suite.budget
    return places.results / profile.name / ("" if own else profile.suite.budget)


def steps_in(folder: Path, show: Show) -> Steps:
    """The steps of a run folder of the study."""
    return Steps(folder, show, single="attacks", averaged="attacks-averaged-{}")


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


def prepare(row: Row, seed: int, profile: Profile, places: Places, device: torch.device) -> TrainedRow:
    """The trained network, its data, and what of both is attacked."""
    weights = trained_weights(row, seed, profile, places)
    recipe, network, stored = load_run(weights)
    splits = splits_of(recipe, places.data, places.cache)
    spec = input_spec(recipe)
    victim = victim_of_network(network, mean=spec.mean, std=spec.std, device=device)
    suite = profile.suite
    attacked = splits.test.spread(min(suite.attacked, len(splits.test)))
    subject = Subject(
        victim,
        attacked,
        splits.auxiliary.spread(suite.auxiliary),
        recipe.seed,
        together=len(attacked),
        recognisers=places.runs / profile.name / RECOGNISERS,
    )
    tensors = "".join(f"{name}={tensor_digest(value)};" for name, value in network.state_dict().items())
    digest = hashlib.sha256(tensors.encode()).hexdigest()
    named = {"file": f"{WEIGHTS}/{weights.name}", "tensors_sha256": digest}
    return TrainedRow(recipe, network, stored, splits, subject, splits.provenance(), named)


MEASURES: dict[str, Callable[[TrainedRow, Profile], dict[str, Any]]] = {
    "accuracy": lambda t, p: accuracy_figures(
        t.network, t.splits.test, input_spec(t.recipe), t.subject.victim.device
    ),
    "cost": lambda t, p: cost_figures(t.network, p.measure),
    "information": lambda t, p: information_figures(t.subject.victim, t.splits, p.measure, t.recipe.seed),
}
"""What is measured of every row whatever attacks it, by the result's key."""


def _identity(trained: TrainedRow, profile: Profile) -> dict[str, Any]:
    subject, judge = trained.subject, trained.subject.judge
    assert judge is not None
    return identity_references(subject.x_NCHW, subject.auxiliary, judge)


SCALES: dict[str, Callable[[TrainedRow, Profile], dict[str, Any]]] = {
    "references": lambda t, p: reference_figures(t.subject.x_NCHW, t.subject.auxiliary),
    "identity": _identity,
}
"""On what the suite's figures are read: the same scores of what needs no attack, on the same pictures."""

PARAMETERS = ("edge_parameters", "edge_parameters_torchsummary", "cloud_parameters")


def chosen_attacks(row: Row, profile: Profile, names: Sequence[str] = ()) -> tuple[Attack, ...]:
    """The suite's attacks on a row, or those of these names, shaped for the row's family.

    Raises:
        ValueError: names the attacks that the profile has no budget for.
    """
    known = profile.suite.every
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"{profile.suite.title} has no attack {', '.join(unknown)}, so {row.name} cannot be attacked "
            f"with it; it has {', '.join(known)}"
        )
    attacks = [known[name] for name in names] or list(known.values())
    width = profile.widths[row.family]
    return tuple(
        replace(attack, width=width, victim_width=width) if isinstance(attack, GenerativeGrayBox) else attack
        for attack in attacks
    )


def _known(
    path: Path, profile: Profile, trained: TrainedRow, kept: Iterable[str] | None = None
) -> dict[str, Any]:
    """Steps of the result that stands at ``path``, if it is of the same weights, pictures and settings.

    What needs no attack also counts where the result is of another suite, or of none. ``kept``: only these.
    """
    if not path.is_file():
        return {}
    found = json.loads(path.read_text())
    if found.get("weights") != trained.weights or found["dataset"].get("parts") != trained.parts:
        return {}
    settings = json.loads(json.dumps(profile.settings()))
    if any(found["profile_settings"].get(key) != settings[key] for key in ("limits", "measure")):
        return {}
    is_same_suite = found.get("suite") == json.loads(json.dumps(profile.suite.to_json()))
    wanted = [*MEASURES, *(SCALES if is_same_suite else ())] if kept is None else kept
    measured = {key: found[key] for key in wanted if key in found}
    if "cost" in measured:
        measured["cost"]["parameters"] = {
            key: found["network"][key] for key in PARAMETERS if key in found["network"]
        }
    attacks = found["attacks"] if is_same_suite and kept is None else {}
    return measured | {f"{ATTACK}{key}": entry for key, entry in attacks.items()}


def _made(measuring: Steps, attacking: Steps) -> dict[str, Any]:
    """What finished steps found; attacks in the first folder are those of results before AutoInvert."""
    measured = {key: value for key, value in finished(measuring.folder).items() if key in MEASURES}
    return measured | finished(attacking.folder)


def set_aside(path: Path, profile: Profile, trained: TrainedRow, show: Show) -> dict[str, Any]:
    """Keep a result of another network, other settings or another suite, which is about to be replaced.

    Returns:
        What of it still holds: see ``_known``.
    """
    known = _known(path, profile, trained)
    if not path.is_file() or not json.loads(path.read_text())["attacks"]:
        return known
    if any(key.startswith(ATTACK) for key in known):
        return known
    kept = path.parent / BEFORE / path.name
    kept.parent.mkdir(exist_ok=True)
    path.replace(kept)
    show(f"{path} is of another network, suite, other pictures or settings; kept as {kept}")
    return known


def write_result(
    path: Path, row: Row, profile: Profile, trained: TrainedRow, found: Mapping[str, Any]
) -> list[Flag]:
    """Write what is known of a row so far, what an earlier result says of the same weights included.

    Returns:
        What has to be said aloud of it.
    """
    done, attacks = measures_and_attacks(dict(sorted(found.items())))
    recipe, network = trained.recipe, trained.network
    if "cost" in done:
        done["cost"] = dict(done["cost"])  # what stands there is written again after the next step
    parameters = done.get("cost", {}).pop("parameters", {})
    head = header(trained, profile, row=row.name)
    result = {
        **head,
        "dataset": {**head["dataset"], "parts": trained.parts},
        "defence": recipe.defence.describe(),
        "network": {
            **network_figures(trained),
            "feature_shape": list(network.feature_shape),
            **parameters,
        },
        "weights": dict(trained.weights),
        "training": training_figures(trained),
        **{key: done[key] for key in (*MEASURES, *SCALES) if key in done},
        "attacks": attacks,
        "strongest": strongest(attacks),
        "columns": columns_of(attacks, profile.suite.frames),
        "provenance": provenance(),
    }
    flags = flags_of(result)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {**result, "flags": flags})
    return flags


def header(trained: TrainedRow, profile: Profile, **what: str) -> dict[str, Any]:
    """What a result begins with."""
    return {
        "schema": SCHEMA,
        **what,
        "profile": profile.name,
        "profile_settings": profile.settings(),
        "suite": profile.suite.to_json(),
        "seed": trained.recipe.seed,
        "dataset": {"name": trained.recipe.dataset, **trained.splits.sizes()},
    }


def network_figures(trained: TrainedRow) -> dict[str, Any]:
    """Which network it is."""
    words = ("family", "architecture", "width", "input_size")
    return {word: getattr(trained.recipe, word) for word in words}


def measures_and_attacks(done: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Finished steps by name, and entries of attacks by key."""
    attacks = {key.removeprefix(ATTACK): entry for key, entry in done.items() if key.startswith(ATTACK)}
    return {key: value for key, value in done.items() if not key.startswith(ATTACK)}, attacks


def training_figures(trained: TrainedRow) -> dict[str, Any]:
    """What the run folder says of the training; epsilon where it was private."""
    stored, recipe = trained.stored, trained.recipe
    speeds = sorted(epoch["images_per_s"] for epoch in stored["history"])
    return {
        "recipe": recipe.to_json(),
        "epochs_done": stored["epochs_done"],
        "best_epoch": stored["best_epoch"],
        "validation_accuracy": stored["best_score"],
        "seconds": round(stored["seconds"], 1),
        "images_per_s_median": speeds[len(speeds) // 2],
        "epsilon": _epsilon(trained),
        "history": stored["history"],
        "provenance": stored["provenance"],
    }


def _epsilon(trained: TrainedRow) -> float | None:
    recipe, pictures = trained.recipe, len(trained.splits.train)
    steps = steps_per_epoch(recipe, pictures) * trained.stored["epochs_done"]
    spent = recipe.defence.privacy_spent(steps=steps, pictures=pictures, batch_size=recipe.batch_size)
    return None if spent is None else round(spent, 3)
