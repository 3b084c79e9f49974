"""The data sets that recipes name, cut into the four parts of ``Splits``."""

from collections.abc import Callable
from pathlib import Path

from lab.data import DataError, ImageSet, Splits, load_cache, read_cached, save_cache, seeded_parts

SPLIT_SEED = 20241
TRAIN_SHARE, VALIDATION_SHARE = 0.72, 0.08
FACES_SEED = 0
STRANGERS, PICTURES_PER_STRANGER = 250, 12


def _folder_or_tar(data: Path, name: str) -> Path:
    for candidate in (data / name, data / f"{name}.tar"):
        if candidate.exists():
            return candidate
    raise DataError(
        f"{data}: neither {name}/ (folders as classes) nor {name}.tar is there; "
        "unpack the data with `siftfunnel data cifar10` or point --data at it"
    )


def split_training_pictures(images: ImageSet, test: ImageSet, seed: int = SPLIT_SEED) -> Splits:
    """Cut 72 : 8 : 20 into train, validation and the attacker's own (of 50,000: 36,000, 4,000, 10,000)."""
    if images.classes != test.classes:
        raise DataError(f"train and test differ in classes: {images.classes} and {test.classes}")
    train_size, validation_size = round(len(images) * TRAIN_SHARE), round(len(images) * VALIDATION_SHARE)
    sizes = (train_size, validation_size, len(images) - train_size - validation_size)
    train, validation, auxiliary = (images.take(part) for part in seeded_parts(len(images), sizes, seed))
    return Splits(train, validation, test, auxiliary)


def load_cifar10(data: Path | None, cache: Path | None) -> Splits:
    """CIFAR-10 from ``data``/train and ``data``/test, directories or tars of class folders."""
    if data is None:
        raise DataError(
            "cifar10 needs --data DIR with train and test in it; `siftfunnel data cifar10` makes one"
        )
    sets = [
        read_cached(_folder_or_tar(data, name), None if cache is None else cache / f"cifar10-{name}")
        for name in ("train", "test")
    ]
    return split_training_pictures(sets[0], sets[1])


def load_drawnfaces(data: Path | None, cache: Path | None) -> Splits:
    """The twenty drawn people, and 250 strangers as the attacker's auxiliary pictures.

    3,000 pictures to train, 500 to validate, 1,000 to test, 3,000 of strangers.
    Drawn on first use, which takes some minutes, and kept in ``cache``; ``data`` is not needed.
    """
    from lab.faces import TARGET_NAMES, draw_auxiliary, draw_split

    def target(split: str, per_identity: int) -> ImageSet:
        return ImageSet(*draw_split(split, per_identity, FACES_SEED), TARGET_NAMES)

    def strangers() -> ImageSet:
        names = tuple(f"stranger{i:03d}" for i in range(STRANGERS))
        return ImageSet(*draw_auxiliary(STRANGERS, PICTURES_PER_STRANGER, FACES_SEED), names)

    def cached(name: str, draw: Callable[[], ImageSet]) -> ImageSet:
        return _through_cache(None if cache is None else cache / f"drawnfaces-{name}", draw)

    return Splits(
        train=cached("train", lambda: target("train", 150)),
        validation=cached("validation", lambda: target("validation", 25)),
        test=cached("test", lambda: target("test", 50)),
        auxiliary=cached("auxiliary", strangers),
    )


def _through_cache(place: Path | None, make: Callable[[], ImageSet]) -> ImageSet:
    if place is not None and (place / "meta.json").is_file():
        return load_cache(place)
    images = make()
    if place is not None:
        save_cache(images, place)
    return images


DATASETS: dict[str, Callable[[Path | None, Path | None], Splits]] = {
    "cifar10": load_cifar10,
    "drawnfaces": load_drawnfaces,
}
"""Every data set by name; a loader takes the data directory and a directory for decoded arrays."""


def load_splits(dataset: str, data: Path | None, cache: Path | None = None) -> Splits:
    """Load a data set by name; an unknown name lists the known ones."""
    if dataset not in DATASETS:
        raise DataError(f"unknown data set {dataset!r}; known: {', '.join(sorted(DATASETS))}")
    return DATASETS[dataset](data, cache)
