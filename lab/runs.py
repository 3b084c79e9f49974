"""Carrying out a recipe in a run folder, phase by phase, and reading a run back.

RUN/                 the recipe's own training
RUN/start/           the unprotected network that a warm start copies from, unless one is given
RUN/restoring/       the fit of the restored feature
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lab.classifier import ClassifierTask, fit_settings, input_spec
from lab.data import Splits
from lab.datasets import load_splits
from lab.models.rate import RateQuantiser
from lab.models.split import SplitNetwork
from lab.recipes import Recipe, WarmStart, recipe, recipe_from_json
from lab.teachers import soft_labels
from lab.train import RUN, Progress, Run, RunFolderError, fit
from lab.unfolding import load_from_bundle
from lab.warmstart import RestoringTask
from shared.bundle import load_bundle
from shared.preprocess import normalise

START, RESTORING = "start", "restoring"
STATISTICS_PICTURES = 512


def splits_of(wanted: Recipe, data: Path | None, cache: Path | None) -> Splits:
    """The recipe's data set, resized and limited as the recipe says."""
    limits = wanted.limits
    splits = load_splits(wanted.dataset, data, cache, size=wanted.input_size)
    return splits.limited(
        train=limits.train,
        validation=limits.validation,
        test=limits.test,
        auxiliary=limits.auxiliary,
    )


def load_run(folder: Path) -> tuple[Recipe, SplitNetwork, dict[str, Any]]:
    """The recipe, the network with its best weights in evaluation mode, and the contents of ``run.json``.

    Raises:
        RunFolderError: no run here, or no finished epoch.
    """
    if not (folder / RUN).is_file():
        raise RunFolderError(
            f"{folder} is no run folder ({RUN} is missing); make one with `siftfunnel lab train`"
        )
    stored = json.loads((folder / RUN).read_text())
    about = stored["about"]
    loaded = recipe_from_json(about["recipe"])
    network = loaded.defence.build(
        loaded.family,
        width=loaded.width,
        input_size=loaded.input_size,
        num_classes=len(about["classes"]),
    )
    Run(folder, about).load_best(network)
    network.eval()
    return loaded, network, stored


def _about(wanted: Recipe, splits: Splits, **more: Any) -> dict[str, Any]:
    return {
        "recipe": wanted.to_json(),
        "splits": splits.sizes(),
        "classes": list(splits.train.classes),
        **more,
    }


def _train_one(wanted: Recipe, folder: Path, splits: Splits, device: torch.device) -> Progress:
    task = ClassifierTask(wanted, splits, device)
    return fit(task, fit_settings(wanted), Run(folder, _about(wanted, splits)), task.make_optimizer)


def _train_on(
    wanted: Recipe,
    folder: Path,
    start_from: Path | None,
    teachers: Sequence[Path],
    splits: Splits,
    device: torch.device,
) -> Progress:
    """Go on from a bundle's weights; what stands in the run folder goes first."""
    taught_NK = soft_labels(teachers, splits.train) if teachers else None
    task = ClassifierTask(wanted, splits, device, taught_NK)
    run = Run(folder, _about(wanted, splits))
    if run.is_fresh():
        if start_from is None:
            raise ValueError(
                f"recipe {wanted.name} goes on from {wanted.begin_with}: "
                "give that bundle's or that run's directory, --start-from DIR"
            )
        _begin_with(task, start_from, splits)
        task.model.to(device)
    return fit(task, fit_settings(wanted), run, task.make_optimizer)


def _begin_with(task: ClassifierTask, start_from: Path, splits: Splits) -> None:
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
    if isinstance(model.stage, RateQuantiser):
        with torch.no_grad():
            model.stage.start(model.eval().edge(x))


def _restored_network(
    wanted: Recipe, warm_start: WarmStart, folder: Path, start: Path, splits: Splits, device: torch.device
) -> SplitNetwork:
    """The funnel after the fit of its restored feature; trains what is missing."""
    fitting = replace(
        wanted,
        name=f"{wanted.name}:restoring",
        epochs=warm_start.epochs,
        learning_rate=warm_start.learning_rate,
        warm_start=None,
    )
    _, trained, _ = load_run(start)
    task = RestoringTask(fitting, splits, device, trained)
    run = Run(folder, _about(fitting, splits))
    fit(task, fit_settings(fitting), run)
    run.load_best(task.model)
    return task.model


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
    splits = splits_of(wanted, data, cache)
    if wanted.begin_with is not None:
        return _train_on(wanted, folder, start_from, teachers, splits, device)
    if wanted.warm_start is None:
        if start_from is not None:
            raise ValueError(f"recipe {wanted.name} starts from scratch; leave --start-from out")
        return _train_one(wanted, folder, splits, device)
    task = ClassifierTask(wanted, splits, device)
    run = Run(folder, _about(wanted, splits))
    if run.is_fresh():
        start = start_from or folder / START
        if start_from is None:
            _train_one(recipe(wanted.warm_start.recipe), start, splits, device)
        network = _restored_network(wanted, wanted.warm_start, folder / RESTORING, start, splits, device)
        task.model.load_state_dict(network.state_dict())
    return fit(task, fit_settings(wanted), run, task.make_optimizer)
