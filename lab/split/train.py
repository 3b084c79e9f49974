"""From a fitted run to a trained one, in a folder of its own; the linear run stays what it was."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.data.own import OwnPictures
from siftfunnel.lab.split.distillation import FunnelTask, thumbnails, train_funnel
from siftfunnel.lab.split.features import Say, Seen, see
from siftfunnel.lab.split.fit_steps import FIT, Fitting
from siftfunnel.lab.split.folder import SplitRun, load_run, require_own, save_run
from siftfunnel.lab.split.pictures import MOST_FITTED, MOST_HELD_OUT, read_parts, required_labels
from siftfunnel.lab.split.points import find_points, told_points
from siftfunnel.lab.split.settings import TrainSettings
from siftfunnel.lab.training.checkpoints import RunFolderError
from siftfunnel.shared.onnx_torch import UnsupportedOperatorError

CHECKPOINTS = "training"


def train_run(
    source: Path,
    folder: Path,
    settings: TrainSettings,
    say: Say,
    *,
    images: Path | None = None,
    labels: Path | None = None,
    most_pictures: int = MOST_FITTED,
) -> SplitRun:
    """Go on from a run's funnel; the same call continues a training that was stopped.

    Where training does not better the run on held-out pictures, the run's funnel and weights are kept and
    that is said. What must be better is the divergence from the uncut network, or, where the weights were
    trained with labels, the accuracy.

    Args:
        source: A run folder of `siftfunnel split fit`, or of a training.
        folder: The trained run's.
        settings: How.
        say: Shows progress.
        images: Other pictures than those it was fitted to.
        labels: For fine-tuning: a CSV of NAME,LABEL; None takes the folders' names.
        most_pictures: To train on.

    Raises:
        KeyboardInterrupt: stopped; what was done is kept.
        RunFolderError: no run with a funnel there, the same folder twice, or a training with other settings
            or files of no split in ``folder``.
        DataError: too few pictures, or none whose label is a class.
        ValueError: labels without fine-tuning, or a network that cannot be fine-tuned.
    """
    if labels is not None and not settings.finetune:
        raise ValueError(
            "labels are for --finetune, which changes the network's own weights: add it, or leave them out"
        )
    if folder.resolve() == source.resolve():
        raise RunFolderError(
            f"{folder} holds the run to go on from, which stays what it is: choose another --out"
        )
    run = load_run(source)
    require_own(folder)
    if (folder / FIT).is_file():
        raise RunFolderError(f"{folder} holds a run of `fit`, which stays what it is: choose another --out")
    if run.funnel is None:
        raise ValueError(f"{source} holds a network that is only cut: train wants one with --funnel linear")
    if images is None and settings.finetune:
        labels = labels or run.labels
    pictures = read_parts(images or run.pictures, run.spec, labels)
    classes = _classes(run, pictures, most_pictures, say) if settings.finetune else None
    pixels = pictures.attacker.images_NHWC[:most_pictures]
    ends = run.ends
    fitted = see(ends, pixels, run.spec)
    held_out = see(ends, pictures.attacked.images_NHWC[:MOST_HELD_OUT], run.spec)
    try:
        task = FunnelTask(
            run.own_ends, run.funnel, run.points, fitted, held_out, thumbnails(pixels), settings, classes
        )
    except UnsupportedOperatorError as error:
        raise ValueError(
            f"the cloud half has no gradients ({str(error).partition(';')[0]}): the linear funnel can be "
            "exported as it is, or cut behind that operator"
        ) from error
    before = task.validate()
    say(f"before: {_figures(before)}")
    about: dict[str, Any] = {
        "network": run.original_sha256,
        "cut": run.cut,
        "pictures": pictures.sha256,
        "points": {point.target.name: point.step for point in run.points},
    }
    if classes is not None:
        about["labels"] = sha256(b"".join(part.tobytes() for part in classes)).hexdigest()
    progress = train_funnel(task, folder / CHECKPOINTS, settings, about)
    trained = task.validate()
    decides = "accuracy" if settings.finetune else "score"
    is_better = trained[decides] > before[decides]
    told: dict[str, Any] = {
        "settings": vars(settings),
        "pictures": len(fitted),
        "divergence_linear": round(before["divergence_held_out"], 5),
        "divergence_trained": round(trained["divergence_held_out"], 5),
        "is_better": is_better,
        "steps_of_the_best": progress.best_epoch * settings.steps_per_check,
        "seconds": round(progress.seconds, 1),
    }
    if settings.finetune:
        told |= {
            "accuracy_frozen": round(before["accuracy"], 4),
            "accuracy_finetuned": round(trained["accuracy"], 4),
        }
    if not is_better:
        say(f"training did not better the run on held-out pictures ({_figures(trained)}): it stays as it was")
        made = replace(run, about={**run.about, "train": told})
    else:
        made = _with_trained(run, task, fitted, held_out, told, say)
        made = replace(made, pictures=images or run.pictures, labels=labels) if settings.finetune else made
    save_run(folder, made)
    return made


def _figures(figures: Mapping[str, float]) -> str:
    told = {"divergence": figures["divergence_held_out"], "accuracy": figures.get("accuracy")}
    return ", ".join(f"{name} {value:.4f}" for name, value in told.items() if value is not None)


def _classes(
    run: SplitRun, pictures: OwnPictures, most_pictures: int, say: Say
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of the pictures to train on and of the held-out ones."""
    classes = required_labels(run, pictures, (most_pictures, MOST_HELD_OUT))
    told = np.concatenate(classes)
    if (told < 0).any():
        say(f"{(told < 0).sum()} of {len(told)} pictures have no label that is a class: only distilled")
    return classes


def _with_trained(
    run: SplitRun, task: FunnelTask, fitted: Seen, held_out: Seen, told: dict[str, Any], say: Say
) -> SplitRun:
    by = Fitting(task.ends(), fitted, held_out, say)
    funnel, points = find_points(by, task.funnel(), [point.target for point in run.points])
    figures = told_points(by, funnel, points)
    about = {**run.about, **figures, "linear": run.about.get("points"), "train": told}
    weights = task.tuning.arrays() if task.tuning is not None else run.weights
    return replace(run, funnel=funnel, points=points, about=about, weights=weights)
