"""From a fitted run to a trained one, in a folder of its own; the linear run stays what it was."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from siftfunnel.lab.split.features import Say, Seen, see
from siftfunnel.lab.split.fit import MOST_FITTED, MOST_HELD_OUT, read_pictures, told_points
from siftfunnel.lab.split.folder import SplitRun, load_run, require_own, save_run
from siftfunnel.lab.split.points import find_points
from siftfunnel.lab.split.training import FunnelTask, TrainSettings, thumbnails, train_funnel

CHECKPOINTS = "training"


def train_run(
    source: Path,
    folder: Path,
    settings: TrainSettings,
    say: Say,
    *,
    images: Path | None = None,
    most_pictures: int = MOST_FITTED,
) -> SplitRun:
    """Go on from a run's funnel; the same call continues a training that was stopped.

    Where training does not better the linear funnel on held-out pictures, the linear one is kept and that is
    said.

    Args:
        source: A run folder of `siftfunnel split fit`.
        folder: The trained run's.
        settings: How.
        say: Shows progress.
        images: Other pictures than those it was fitted to.
        most_pictures: To train on.

    Raises:
        KeyboardInterrupt: stopped; what was done is kept.
        RunFolderError: no run with a funnel there, or a training with other settings or files of no split in
            ``folder``.
        DataError: too few pictures.
    """
    run = load_run(source)
    require_own(folder)
    if run.funnel is None:
        raise ValueError(f"{source} holds a network that is only cut: train wants one with --funnel linear")
    pictures = read_pictures(images or run.pictures, run.spec)
    pixels = pictures.attacker.images_NHWC[:most_pictures]
    ends = run.ends
    fitted = see(ends, pixels, run.spec)
    held_out = see(ends, pictures.attacked.images_NHWC[:MOST_HELD_OUT], run.spec)
    task = FunnelTask(ends, run.funnel, run.points, fitted, held_out, thumbnails(pixels), settings)
    linear = task.validate()
    say(f"linear: divergence of held-out pictures {linear['divergence_held_out']:.4f}")
    about = {"network": run.original_sha256, "cut": run.cut, "pictures": pictures.sha256}
    progress = train_funnel(task, folder / CHECKPOINTS, settings, about)
    trained = task.validate()
    is_better = trained["score"] > linear["score"]
    told: dict[str, Any] = {
        "settings": vars(settings),
        "pictures": len(fitted),
        "divergence_linear": round(linear["divergence_held_out"], 5),
        "divergence_trained": round(trained["divergence_held_out"], 5),
        "is_better": is_better,
        "steps_of_the_best": progress.best_epoch * settings.steps_per_check,
        "seconds": round(progress.seconds, 1),
    }
    if not is_better:
        say("training did not better the linear funnel on held-out pictures: the linear one is kept")
        made = replace(run, about={**run.about, "train": told})
    else:
        made = _with_trained(run, task, fitted, held_out, told, say)
    save_run(folder, made)
    return made


def _with_trained(
    run: SplitRun, task: FunnelTask, fitted: Seen, held_out: Seen, told: dict[str, Any], say: Say
) -> SplitRun:
    targets = [point.target for point in run.points]
    funnel, points = find_points(run.ends, task.funnel(), fitted, held_out, targets, say)
    figures = told_points(run.ends, funnel, points, fitted, held_out, say)
    return run.with_points(funnel, points, {**figures, "linear": run.about.get("points"), "train": told})
