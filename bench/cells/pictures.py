"""The device's pictures: encoded files in memory, with their labels, from a folder, a tar or CIFAR-10."""

import hashlib
import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.edge_client.sources.directory import find_pictures, label_of
from siftfunnel.lab.data.archives import open_classes, open_tar
from siftfunnel.lab.data.cifar10 import BATCHES, iterate_batches

TEST_BATCH = BATCHES["test"][0]
ORDER_SEED = 4


@dataclass(frozen=True)
class LabelledFile:
    """One picture file.

    Attributes:
        name: For people.
        data: As it lies on a disk: a PNG or JPEG, not decoded.
        label: The class that it shows; None where unknown.
    """

    name: str
    data: bytes
    label: str | None


@dataclass(frozen=True)
class PictureSet:
    """Pictures in a fixed order.

    Attributes:
        place: Where they came from.
        files: At least one.
    """

    place: str
    files: tuple[LabelledFile, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over labels and files, so that a measurement can be matched to its pictures."""
        total = hashlib.sha256()
        for file in self.files:
            total.update(f"{file.label} {len(file.data)}\n".encode())
            total.update(file.data)
        return total.hexdigest()

    def knows(self, classes: tuple[str, ...]) -> bool:
        """Whether it has a label that is one of these classes."""
        return not {file.label for file in self.files}.isdisjoint(classes)


def read_pictures(place: Path, at_most: int) -> PictureSet:
    """Read pictures: always the same ones of the same place, drawn evenly.

    Args:
        place: A folder of pictures, its sub-folders being classes; a tar of class folders; or the binary
            version of CIFAR-10, packed or unpacked, of which the test set is taken.
        at_most: How many to keep.

    Raises:
        ValueError: nothing there that is a picture; a damaged archive.
    """
    if place.is_dir() and not (place / TEST_BATCH).is_file():
        files = [_Unread(str(path), label_of(path, place), path.read_bytes) for path in find_pictures(place)]
        return _drawn(place, files, at_most)
    if place.is_dir() or _is_cifar10(place):
        ((_, batch),) = iterate_batches(place, BATCHES["test"])
        pictures = zip(batch.images_NHWC, batch.labels.tolist(), strict=True)
        files = [
            _Unread(f"test {number}", batch.classes[label], partial(_as_png, pixels_HWC))
            for number, (pixels_HWC, label) in enumerate(pictures)
        ]
        return _drawn(place, files, at_most)
    with open_classes(place) as stored:
        return _drawn(place, [_Unread(each.where, each.label, each.read) for each in stored], at_most)


@dataclass(frozen=True)
class _Unread:
    name: str
    label: str | None
    read: Callable[[], bytes]


def _drawn(place: Path, files: list[_Unread], at_most: int) -> PictureSet:
    if not files:
        raise ValueError(f"{place}: no picture in it")
    random.Random(ORDER_SEED).shuffle(files)
    return PictureSet(
        str(place), tuple(LabelledFile(each.name, each.read(), each.label) for each in files[:at_most])
    )


def _is_cifar10(place: Path) -> bool:
    with open_tar(place) as (_, members):
        return any(PurePosixPath(member.name).name == TEST_BATCH for member in members)


def _as_png(pixels_HWC: NDArray[np.uint8]) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(pixels_HWC).save(stored, "PNG")
    return stored.getvalue()
