"""Carrying out a recipe in a run folder, phase by phase, and reading a run back.

RUN/                 the recipe's own training
RUN/start/           the unprotected network that a warm start copies from, unless one is given
RUN/restoring/       the fit of the restored feature

A finished run can be stored as one small file, its record in the header: ``store_run``.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from siftfunnel.lab.arguments import say
from siftfunnel.lab.data.datasets import load_splits
from siftfunnel.lab.data.images import ImageSet, Splits
from siftfunnel.lab.graphs.unfolding import load_from_bundle
from siftfunnel.lab.metrics.intervals import learned_nothing
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.lab.training.checkpoints import RUN, Progress, RunFolder, RunFolderError, write_tensors
from siftfunnel.lab.training.classifier import ClassifierTask, fit_settings, input_spec, steps_per_epoch
from siftfunnel.lab.training.fitting import fit
from siftfunnel.lab.training.recipes import Normalisation, Recipe, WarmStart, recipe, recipe_from_json
from siftfunnel.lab.training.teachers import soft_labels
from siftfunnel.lab.training.warmstart import RestoringTask
from siftfunnel.shared.bundle import load_bundle
from siftfunnel.shared.preprocess import InputSpec, normalise

START, RESTORING = "start", "restoring"
STATISTICS_PICTURES = 512
PAPER_STATISTICS, LEAST_DEVIATION = ("cifar10", "cifar10-npz"), 1e-3
RECORD, HALF_TOLERANCE = "run", 1e-3


def splits_of(wanted: Recipe, data: Path | None, cache: Path | None) -> Splits:
    """The recipe's data set, resized and limited as the recipe says."""
    return load_splits(wanted.dataset, data, cache, size=wanted.input_size).limited(**vars(wanted.limits))


def load_run(place: Path) -> tuple[Recipe, SplitNetwork, dict[str, Any]]:
    """The recipe, the network with its best weights in evaluation mode, and the contents of ``run.json``.

    Args:
        place: A run folder, or a file of ``store_run``.

    Raises:
        RunFolderError: no run here, no finished epoch, or a file that is damaged or something else.
    """
    if place.is_file():
        return _load_stored(place)
    if not (place / RUN).is_file():
        raise RunFolderError(
            f"{place} is no run folder ({RUN} is missing); make one with `siftfunnel lab train`"
        )
    stored = json.loads((place / RUN).read_text())
    loaded, network = _untrained(stored["about"])
    RunFolder(place, stored["about"]).load_best(network)
    network.eval()
    return loaded, network, stored


def _untrained(about: Mapping[str, Any]) -> tuple[Recipe, SplitNetwork]:
    loaded = recipe_from_json(about["recipe"])
    network = loaded.defence.build(
        loaded.family,
        width=loaded.width,
        input_size=loaded.input_size,
        num_classes=len(about["classes"]),
    )
    return loaded, network


def store_run(folder: Path, path: Path) -> None:
    """Write a finished run as one small file that ``load_run`` reads: its record and its best weights.

    Raises:
        RunFolderError: the training is not finished.
    """
    wanted, network, stored = load_run(folder)
    reached = wanted.stop_at_accuracy is not None and stored["best_score"] >= wanted.stop_at_accuracy
    if stored["epochs_done"] < wanted.epochs and not reached:
        raise RunFolderError(
            f"{folder}: training stands at epoch {stored['epochs_done']} of {wanted.epochs}; finish it first"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {name: _compact(value) for name, value in network.state_dict().items()}
    write_tensors(path, weights, {RECORD: json.dumps(stored)})


def _compact(value: Tensor) -> Tensor:
    """In float16 where that keeps a tensor to a thousandth; a funnel's small variances would not survive."""
    if value.dim() < 2 or not value.is_floating_point():
        return value
    half = value.half()
    kept = (half.float() - value).norm() <= HALF_TOLERANCE * value.norm()
    return half if kept else value


def _load_stored(path: Path) -> tuple[Recipe, SplitNetwork, dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as opened:
            stored = json.loads((opened.metadata() or {})[RECORD])
        loaded, network = _untrained(stored["about"])
        network.load_state_dict(load_file(path))
    except (SafetensorError, KeyError, RuntimeError, json.JSONDecodeError) as error:
        raise RunFolderError(f"{path} is no stored run, or is damaged ({error})") from error
    network.eval()
    return loaded, network, stored


def _about(wanted: Recipe, splits: Splits, **more: Any) -> dict[str, Any]:
    return {
        "recipe": wanted.to_json(),
        "splits": splits.sizes(),
        "classes": list(splits.train.classes),
        **more,
    }


def _begin_with(task: ClassifierTask, start_from: Path | None, splits: Splits) -> None:
    """Go on from a run's or a bundle's weights."""
    if start_from is None:
        raise ValueError(
            f"recipe {task.recipe.name} goes on from {task.recipe.begin_with}: "
            "give that bundle's or that run's directory, --start-from DIR"
        )
    model = task.model.cpu()
    pictures = splits.train.images_NHWC[:STATISTICS_PICTURES]
    x = torch.from_numpy(normalise(pictures, input_spec(task.recipe)))
    if (start_from / RUN).is_file():
        _, trained, _ = load_run(start_from)
        model.edge.load_state_dict(trained.edge.state_dict())
        model.cloud.load_state_dict(trained.cloud.state_dict())
        if type(trained.stage) is type(model.stage):
            model.stage.load_state_dict(trained.stage.state_dict())
            return
    else:
        load_from_bundle(model, load_bundle(start_from), x)
    task.recipe.defence.start(model.eval(), x)


def train_recipe(
    wanted: Recipe,
    folder: Path,
    data: Path | None,
    cache: Path | None,
    device: torch.device,
    start_from: Path | None = None,
    teachers: Sequence[Path] = (),
) -> Progress:
    """Train a recipe into a run folder, or continue what is there.

    Args:
        wanted: The recipe.
        folder: The run folder.
        data: Data directory; None for a data set that is drawn.
        cache: Directory for decoded arrays, or None.
        device: Where to train.
        start_from: For a warm start: a run of the unprotected recipe; trained first when left out. For a
            recipe that begins with a bundle: that bundle's directory.
        teachers: Directories of the bundles that the recipe names as teachers.
    """
    if len(teachers) != len(wanted.teachers):
        named = ", ".join(wanted.teachers) or "none"
        raise ValueError(
            f"recipe {wanted.name} has these teachers: {named}; give each one's directory, --teacher DIR, "
            f"got {len(teachers)}"
        )
    say(f"reading the pictures of {wanted.dataset}")
    splits = splits_of(wanted, data, cache)
    say(", ".join(f"{count:,} {part}" for part, count in splits.sizes().items()) + " pictures")
    wanted = settled(wanted, splits, folder, start_from)
    progress = _train_settled(wanted, folder, splits, device, start_from, teachers)
    _say_if_nothing_was_learned(wanted, progress, splits.validation)
    return progress


def _say_if_nothing_was_learned(wanted: Recipe, progress: Progress, validation: ImageSet) -> None:
    share = progress.history[progress.best_epoch - 1]["validation_accuracy"]
    if learned_nothing(round(share * len(validation)), validation.labels):
        say(
            f"{wanted.name} learned nothing: {share:.1%} of the validation pictures right, no more than the "
            "commonest answer alone would be; give it more epochs or pictures, or another learning rate"
        )


def settled(wanted: Recipe, splits: Splits, folder: Path, start_from: Path | None) -> Recipe:
    """The recipe with what it leaves to the data: its passes and what pictures are normalised by.

    What goes on from other weights is normalised as they were; so is what stands in the folder already.

    Args:
        wanted: The recipe.
        splits: Its pictures.
        folder: Its run folder.
        start_from: The run or bundle that it goes on from, or None.
    """
    steps = steps_per_epoch(wanted, len(splits.train))
    epochs = max(wanted.epochs, math.ceil((wanted.least_steps or 0) / steps))
    normalisation = wanted.normalisation
    if normalisation is None and (folder / RUN).is_file():
        stored = json.loads((folder / RUN).read_text())["about"]["recipe"]
        normalisation = recipe_from_json(stored).normalisation
    elif normalisation is None and start_from is not None and (wanted.begin_with or wanted.warm_start):
        normalisation = _normalisation_of(start_from)
    elif normalisation is None and wanted.dataset not in PAPER_STATISTICS:
        mean, std = splits.train.channel_statistics()
        normalisation = Normalisation(
            tuple(round(value, 4) for value in mean),
            tuple(round(max(value, LEAST_DEVIATION), 4) for value in std),
            f"of the {len(splits.train):,} training pictures of {wanted.dataset} at "
            f"{wanted.input_size}x{wanted.input_size}",
        )
    return replace(wanted, epochs=epochs, least_steps=None, normalisation=normalisation)


def _normalisation_of(start: Path) -> Normalisation | None:
    if (start / RUN).is_file():
        return load_run(start)[0].normalisation
    bundle = load_bundle(start)
    spec, paper = bundle.manifest.input, InputSpec(height=1, width=1)
    if (spec.mean, spec.std) == (paper.mean, paper.std):
        return None
    return Normalisation(spec.mean, spec.std, f"that of the bundle {bundle.name}")


def _train_settled(
    wanted: Recipe,
    folder: Path,
    splits: Splits,
    device: torch.device,
    start_from: Path | None,
    teachers: Sequence[Path] = (),
    stage: str = "",
) -> Progress:
    """Train; what stands in the run folder goes before any other weights."""
    taught_NK = soft_labels(teachers, splits.train) if teachers else None
    task = ClassifierTask(wanted, splits, device, taught_NK)
    run = RunFolder(folder, _about(wanted, splits))
    if wanted.begin_with is not None:
        if run.is_fresh():
            _begin_with(task, start_from, splits)
            task.model.to(device)
    elif wanted.warm_start is not None:
        stage = _warm(task, wanted.warm_start, run, splits, device, start_from)
    elif start_from is not None:
        raise ValueError(f"recipe {wanted.name} starts from scratch; leave --start-from out")
    return fit(task, replace(fit_settings(wanted), stage=stage), run, task.make_optimizer)


def _warm(
    task: ClassifierTask,
    warm_start: WarmStart,
    run: RunFolder,
    splits: Splits,
    device: torch.device,
    start_from: Path | None,
) -> str:
    """Give a fresh task the funnel after the fit of its restored feature, and train what is missing for that.

    Returns:
        What stands before each line of the recipe's own training.
    """
    wanted, start = task.recipe, start_from or run.folder / START
    restoring = replace(
        wanted,
        name=f"{wanted.name}:restoring",
        epochs=warm_start.epochs,
        learning_rate=warm_start.learning_rate,
        warm_start=None,
    )
    before = [] if start_from else [settled(recipe(warm_start.recipe), splits, start, None)]
    trainings = [*before, restoring, wanted]
    labels = [f"[{place}/{len(trainings)} {each.name}] " for place, each in enumerate(trainings, start=1)]
    if run.is_fresh():
        parts = ", ".join(f"{each.name} ({each.epochs} epochs)" for each in trainings)
        say(f"{len(trainings)} trainings, one after the other: {parts}; what is finished is not done again")
        for each in before:
            _train_settled(each, start, splits, device, None, stage=labels[0])
        fitting = RestoringTask(restoring, splits, device, load_run(start)[1])
        fitted = RunFolder(run.folder / RESTORING, _about(restoring, splits))
        fit(fitting, replace(fit_settings(restoring), stage=labels[-2]), fitted)
        fitted.load_best(fitting.model)
        task.model.load_state_dict(fitting.model.state_dict())
    return labels[-1]
