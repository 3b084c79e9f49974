"""The pictures that a bundle's report is about: none that the funnel was fitted to."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from siftfunnel.lab.data.images import DataError, ImageSet
from siftfunnel.lab.data.own import OwnPictures, alike_groups
from siftfunnel.lab.split.fit import LEAST_HELD_OUT, read_pictures
from siftfunnel.lab.split.folder import SplitRun


def scored_pictures(run: SplitRun, images: Path | None, labels: Path | None = None) -> OwnPictures:
    """Pictures whose ``attacked`` part is to be scored; codecs that need it are calibrated on the other.

    Args:
        run: Says what was fitted to.
        images: Other pictures than those of `fit`: all of them are scored, save any that are, or nearly are,
            among the fitted ones. None takes the part of `fit`'s that was held out.

        labels: A CSV of NAME,LABEL; None takes the folders' names.

    Raises:
        DataError: too few pictures are left.
    """
    pictures = read_pictures(images or run.pictures, run.spec, labels)
    if images is None or pictures.sha256 == run.about.get("pictures_sha256"):
        return pictures
    together = joined(pictures.attacked, pictures.attacker)
    calibration = pictures.attacker
    if run.pictures.exists():
        calibration = read_pictures(run.pictures, run.spec).attacker
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


def joined(first: ImageSet, second: ImageSet) -> ImageSet:
    """Two sets of the same classes, one behind the other."""
    return ImageSet(
        np.concatenate([first.images_NHWC, second.images_NHWC]),
        np.concatenate([first.labels, second.labels]),
        first.classes,
    )
