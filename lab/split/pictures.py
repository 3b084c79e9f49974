"""The pictures of a run and their classes: those to fit to, those held out, those that a report is about."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.data.images import DataError, ImageSet
from siftfunnel.lab.data.own import OwnPictures, alike_groups, load_own
from siftfunnel.lab.split.folder import SplitRun
from siftfunnel.lab.split.labels import class_places, label_table
from siftfunnel.shared.input_spec import InputSpec

LEAST_FITTED, LEAST_HELD_OUT = 64, 16
MOST_FITTED, MOST_HELD_OUT = 600, 240


def read_parts(place: Path, spec: InputSpec, labels: Path | None = None) -> OwnPictures:
    """Pictures in two parts, those to fit to (the attacker's, of an audit) and those held out.

    Labels are the folders' names, or those of a CSV of NAME,LABEL.

    Raises:
        DataError: nothing there, or too few; the text says what to do.
    """
    table = label_table(labels) if labels else None
    return load_own(place, spec, attacker=LEAST_FITTED, attacked=LEAST_HELD_OUT, labels=table)


def grey_ones(pictures: OwnPictures, spec: InputSpec) -> list[str]:
    """Whether pictures are grey and the input takes colours, for people."""
    parts = (pictures.attacker.images_NHWC, pictures.attacked.images_NHWC)
    grey = sum(int((np.ptp(part, axis=3) <= 2).all(axis=(1, 2)).sum()) for part in parts)
    if not grey or spec.colour == "grey":
        return []
    return [
        f"{grey} of {len(pictures)} pictures are grey, the network takes colours: is that what it will see?"
    ]


def scored_pictures(run: SplitRun, images: Path | None, labels: Path | None = None) -> OwnPictures:
    """Pictures whose ``attacked`` part a report is about; codecs that need it are calibrated on the other.

    Args:
        run: Says what was fitted to.
        images: Other pictures than those of `fit`: all of them are scored, save any that are, or nearly are,
            among the fitted ones. None takes the part of `fit`'s that was held out.
        labels: A CSV of NAME,LABEL; None takes the folders' names.

    Raises:
        DataError: too few pictures are left.
    """
    pictures = read_parts(images or run.pictures, run.spec, labels)
    if images is None or pictures.sha256 == run.about.get("pictures_sha256"):
        return pictures
    together = _joined(pictures.attacked, pictures.attacker)
    calibration = pictures.attacker
    if run.pictures.exists():
        calibration = read_parts(run.pictures, run.spec).attacker
        fitted = calibration.images_NHWC
        groups = alike_groups(np.concatenate([fitted, together.images_NHWC]))
        fresh = ~np.isin(groups[len(fitted) :], groups[: len(fitted)])
        together = together.take(np.flatnonzero(fresh))
    if len(together) < LEAST_HELD_OUT:
        raise DataError(
            f"{images}: {len(together)} pictures are left that the funnel was not fitted to; at least "
            f"{LEAST_HELD_OUT} are needed: give others"
        )
    return replace(pictures, attacker=calibration, attacked=together)


def _joined(first: ImageSet, second: ImageSet) -> ImageSet:
    """Two sets of the same classes, one behind the other."""
    return ImageSet(
        np.concatenate([first.images_NHWC, second.images_NHWC]),
        np.concatenate([first.labels, second.labels]),
        first.classes,
    )


def labels_of(
    run: SplitRun, pictures: OwnPictures, images: ImageSet, most: int | None = None
) -> NDArray[np.int64] | None:
    """Classes of one part's first pictures, -1 for a label that names none; None where all are so."""
    scores = next((output for output in run.halves.outputs if output.is_scores), None)
    if not pictures.is_labelled or scores is None:
        return None
    told = [images.classes[label] for label in images.labels[:most]]
    places = class_places(told, scores.shape[0] or 0, run.class_ids, run.classes)
    return places if (places >= 0).any() else None


def required_labels(
    run: SplitRun, pictures: OwnPictures, most: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Classes of the first ``most`` pictures to fit to and of those held out, for what cannot do without.

    Raises:
        ValueError: no output ranks classes.
        DataError: no labels, or none that is a class; the text says what to do.
    """
    if not any(output.is_scores for output in run.halves.outputs):
        raise ValueError("--finetune needs an output that ranks classes, this network has none")
    if not pictures.is_labelled:
        raise DataError(
            f"--finetune needs labels: put the pictures of {pictures.name} into a folder for each class, or "
            "--labels CSV with NAME,LABEL of each"
        )
    parts = zip((pictures.attacker, pictures.attacked), most, strict=True)
    first, second = (labels_of(run, pictures, images, count) for images, count in parts)
    if first is None or second is None:
        known = run.class_ids or run.classes
        raise DataError(
            f"labels such as {', '.join(pictures.attacker.classes[:3])} are no id, name or number of the "
            f"network's classes ({', '.join(known[:3])}, ...): name them so, or `fit` with --classes"
        )
    return first, second
