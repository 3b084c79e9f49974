"""The npz layouts of the paper's released code, read without pickle.

    train_data, train_labels, test_data, test_labels, auxiliary_data, auxiliary_labels

Pictures are ``uint8`` N x H x W x 3, or N x H x W for grey films. The colour order is taken as RGB. The
authors' own files are probably BGR, as their saved pictures are channel-flipped; turn such arrays first.
Ours: ``validation_data`` and ``validation_labels`` (without them a tenth of train validates), ``classes`` and
``auxiliary_classes`` (text arrays of names).
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from siftfunnel.lab.data.cache import cached_set
from siftfunnel.lab.data.decoding import resized
from siftfunnel.lab.data.images import DataError, ImageSet, Splits, seeded_parts

PARTS = ("train", "test", "auxiliary")
VALIDATION_OF_TRAIN = 0.1
SPLIT_SEED = 20241


class Arrays:
    """The arrays of an open npz file, each checked as it is read."""

    def __init__(self, path: Path, stored: NpzFile) -> None:
        """See ``open_npz``."""
        self._path = path
        self._stored = stored

    def __contains__(self, key: str) -> bool:
        return key in self._stored.files

    def require(self, *keys: str) -> None:
        """Refuse a file that lacks one of ``keys``."""
        missing = [key for key in keys if key not in self]
        if missing:
            there = ", ".join(sorted(self._stored.files)) or "none"
            raise DataError(f"{self._path}: {', '.join(missing)} missing; arrays there: {there}")

    def __getitem__(self, key: str) -> NDArray[Any]:
        self.require(key)
        try:
            array: NDArray[Any] = self._stored[key]
        except ValueError as error:
            if "allow_pickle" not in str(error):
                raise DataError(f"{self._path}: {key} cannot be read ({error})") from error
            raise DataError(
                f"{self._path}: {key} is an array of Python objects, which only pickle reads, and pickle "
                "runs code from the file. If you trust it, read it where nothing can be lost, with pickling "
                f"allowed, as a dictionary a, and write it again as numbers: a[{key!r}] = "
                f"numpy.stack([*a[{key!r}]]); numpy.savez('converted.npz', **a)"
            ) from error
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise DataError(
                f"{self._path}: {key} cannot be read ({error}): the file is truncated or damaged"
            ) from error
        return array

    def pictures(self, key: str) -> NDArray[np.uint8]:
        """Pictures N x H x W x 3; grey ones, N x H x W or N x H x W x 1, get their grey in all channels."""
        array = self[key]
        if array.dtype != np.uint8:
            raise DataError(f"{self._path}: {key} must be uint8 from 0 to 255, not {array.dtype}")
        if array.ndim == 3:
            array = array[..., None]
        if array.ndim != 4 or array.shape[3] not in (1, 3):
            raise DataError(
                f"{self._path}: {key} must be N x H x W or N x H x W x 3, its shape is {array.shape}"
            )
        return np.repeat(array, 3, axis=3) if array.shape[3] == 1 else array

    def labels(self, key: str, pictures_key: str, count: int) -> NDArray[Any]:
        """One whole-number or text label per picture, N or N x 1."""
        array = self[key]
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1 or array.dtype.kind not in "iuU":
            raise DataError(
                f"{self._path}: {key} must be whole numbers, one per picture, not {array.dtype} {array.shape}"
            )
        if len(array) != count:
            raise DataError(
                f"{self._path}: {pictures_key} has {count} pictures, {key} has {len(array)} labels"
            )
        return array

    def labelled(self, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """``<part>_data`` and ``<part>_labels``."""
        images = self.pictures(f"{part}_data")
        labels = self.labels(f"{part}_labels", f"{part}_data", len(images))
        if labels.dtype.kind == "U":
            raise DataError(f"{self._path}: {part}_labels must be whole numbers from 0, not text")
        return images, labels.astype(np.int64)

    def names(self, key: str) -> tuple[str, ...]:
        """Class names from a text array."""
        array = self[key]
        if array.ndim != 1 or array.dtype.kind != "U":
            raise DataError(f"{self._path}: {key} must be text, one name per class, not {array.dtype}")
        return tuple(str(name) for name in array)


@contextmanager
def open_npz(path: Path) -> Iterator[Arrays]:
    """An npz file's arrays; nothing is unpickled.

    Raises:
        DataError: not there, or no npz file.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: no npz file, or one that is truncated; fetch or write it again")
    with np.load(path, allow_pickle=False) as stored:
        yield Arrays(path, stored)


def _class_names(arrays: Arrays, labels: list[NDArray[np.int64]], known: tuple[str, ...]) -> tuple[str, ...]:
    if "classes" in arrays:
        return arrays.names("classes")
    if known:
        return known
    return tuple(str(label) for label in range(1 + max(int(part.max(initial=0)) for part in labels)))


def _read_parts(path: Path, classes: tuple[str, ...]) -> dict[str, ImageSet]:
    with open_npz(path) as arrays:
        arrays.require(*(f"{part}_{what}" for part in PARTS for what in ("data", "labels")))
        parts = (*PARTS, "validation") if "validation_data" in arrays else PARTS
        read = {part: arrays.labelled(part) for part in parts}
        names = _class_names(arrays, [labels for _, labels in read.values()], classes)
        others = arrays.names("auxiliary_classes") if "auxiliary_classes" in arrays else names
    try:
        return {
            part: ImageSet(*found, others if part == "auxiliary" else names) for part, found in read.items()
        }
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def load_parts_npz(
    path: Path, classes: tuple[str, ...], cache: Path | None, size: int | None, seed: int = SPLIT_SEED
) -> Splits:
    """The parts as the file has them; a seeded tenth of train validates (*ours*) unless the file says which.

    Args:
        path: The npz file.
        classes: Names of the classes; empty to name them by their number.
        cache: Directory of resized arrays, used only when pictures are resized.
        size: Side to resize to, or None.
        seed: Seed of the validation pictures.
    """
    parts = _read_parts(path, classes)
    for part, images in parts.items():
        if size is not None and images.images_NHWC.shape[1:3] != (size, size):
            name = f"{path.stem}-{part}"
            parts[part] = cached_set(cache, name, [path], size, partial(resized, images, size))
    train = parts["train"]
    if "validation" in parts:
        return Splits(train, parts["validation"], parts["test"], parts["auxiliary"])
    held_back = round(len(train) * VALIDATION_OF_TRAIN)
    rest, validation = seeded_parts(len(train), (len(train) - held_back, held_back), seed)
    return Splits(train.take(rest), train.take(validation), parts["test"], parts["auxiliary"])
