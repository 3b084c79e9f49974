"""FaceScrub with CelebA as the attacker's pictures.

Split (*paper*, Table 1, and the released code): 80 % train and 20 % test, random by image, so that every
person is on both sides; NumPy's seed 624. The order is that of the released code when the pictures come from
its npz file; from folders, sorted by person and file, the same shuffle gives another split. A tenth of the
80 % validates (*ours*).
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.data.cache import cached_set
from siftfunnel.lab.data.celeba import find_celeba, read_celeba
from siftfunnel.lab.data.decoding import read_classes, resized
from siftfunnel.lab.data.images import DataError, ImageSet, Splits
from siftfunnel.lab.data.npz import open_npz
from siftfunnel.lab.data.places import find, require_data

NPZ, FOLDER, TAR = "facescrub_color1.npz", "facescrub", "facescrub.tar"
PAPER_SEED, TRAIN_SHARE, VALIDATION_OF_TRAIN = 624, 0.8, 0.1
PEOPLE = ("actor", "actress")


def read_facescrub_npz(path: Path) -> ImageSet:
    """Read ``actor_images``, ``actor_labels``, ``actress_images`` and ``actress_labels``, in this order.

    Labels are whole numbers or names; nobody is both an actor and an actress, so one number may stand in both
    arrays for two people.
    """
    images: list[NDArray[np.uint8]] = []
    labels: list[NDArray[np.int64]] = []
    classes: list[str] = []
    with open_npz(path) as arrays:
        arrays.require(*(f"{who}_{what}" for who in PEOPLE for what in ("images", "labels")))
        for who in PEOPLE:
            images.append(arrays.pictures(f"{who}_images"))
            found: NDArray[Any] = arrays.labels(f"{who}_labels", f"{who}_images", len(images[-1]))
            names, index = np.unique(found, return_inverse=True)
            labels.append(index.astype(np.int64) + len(classes))
            classes += [f"{who} {name}" for name in names]
    if images[0].shape[1:] != images[1].shape[1:]:
        shapes = f"actors {images[0].shape[1:3]}, actresses {images[1].shape[1:3]}"
        raise DataError(f"{path}: pictures differ in size: {shapes}")
    return ImageSet(np.concatenate(images), np.concatenate(labels), tuple(classes))


def shuffled_parts(count: int) -> list[NDArray[np.int64]]:
    """Indices of train, validation and test: the released code's shuffle, its first 80 % cut 9 : 1.

    Example:
        >>> [len(part) for part in shuffled_parts(100)]
        [72, 8, 20]
    """
    order = np.arange(count)
    np.random.RandomState(PAPER_SEED).shuffle(order)
    learned = int(TRAIN_SHARE * count)
    train = learned - round(learned * VALIDATION_OF_TRAIN)
    return [part.astype(np.int64) for part in np.split(order, [train, learned])]


def _read(source: Path, size: int | None) -> ImageSet:
    if source.suffix == ".npz":
        return resized(read_facescrub_npz(source), size)
    return read_classes(source, size)


def load_facescrub(data: Path | None, cache: Path | None, size: int | None = None) -> Splits:
    """FaceScrub from ``facescrub_color1.npz``, ``facescrub/<person>/<file>`` or ``facescrub.tar``.

    CelebA (``img_align_celeba.zip``, ``img_align_celeba/`` or ``celebA_crop_color.npz``) lies beside it, or
    in ``celeba/``. Downloaded FaceScrub pictures differ in size: give ``size``.
    """
    data = require_data(data, "facescrub", f"{NPZ} or {FOLDER}/<person>/<file>, and CelebA,")
    source = find(data, (NPZ, FOLDER, TAR))
    if source is None:
        raise DataError(f"{data}: no FaceScrub here; expected {NPZ}, {FOLDER}/<person>/<file> or {TAR}")
    celeba = find_celeba(data)
    if celeba is None:
        raise DataError(
            f"{data}: FaceScrub is there, the attacker's CelebA is not; put img_align_celeba.zip beside it"
        )
    images = cached_set(cache, "facescrub", [source], size, lambda: _read(source, size))
    train, validation, test = (images.take(part) for part in shuffled_parts(len(images)))
    auxiliary, notes = read_celeba(celeba, cache, images.images_NHWC.shape[1])
    return Splits(train, validation, test, auxiliary, notes)
