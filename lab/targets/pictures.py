"""Which pictures a target is attacked or certified with, and that they fit it."""

from pathlib import Path

from siftfunnel.lab.data.datasets import DATASETS, load_splits
from siftfunnel.lab.data.images import DataError, Splits
from siftfunnel.lab.targets.target import Target


def name_of_pictures(target: Target, dataset: str | None, images: Path | None) -> str:
    """Name of the data set, or of the user's own folder.

    Args:
        target: What it is for.
        dataset: Data set that the user names; None takes the target's own.
        images: The user's own pictures, or None.

    Raises:
        DataError: both are given, or neither and the target names none.
    """
    if images is not None:
        if dataset is not None:
            raise DataError("give either --images or --dataset: there is one set of pictures")
        return images.resolve().name
    found = dataset or target.dataset
    if found is None:
        raise DataError(
            f"{target.name} does not say which pictures it is for; give --images FOLDER, or --dataset, one "
            f"of {', '.join(sorted(DATASETS))}"
        )
    return found


def splits_for(target: Target, dataset: str, data: Path | None, cache: Path | None) -> Splits:
    """A data set at the size that the network takes, within the limits of the target's recipe.

    Raises:
        DataError: data that is missing, or of another size.
    """
    height, width = target.input.height, target.input.width
    splits = load_splits(dataset, data, cache, size=height if height == width else None)
    if target.limits is not None:
        splits = splits.limited(**target.limits)
    found = splits.test.images_NHWC.shape[1:3]
    if found != (height, width):
        raise DataError(
            f"{target.name} takes {height}x{width} pictures, those of {dataset} are {found[0]}x{found[1]}; "
            "give a data set of that size"
        )
    return splits
