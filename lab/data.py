"""Labelled image sets: readers, seeded splits and a cache of decoded arrays.

Three layouts are read: a tar of class folders, a directory of class folders, and CIFAR-10's official binary
archive. Pixels are kept as ``uint8`` in N x H x W x C order. NumPy and Pillow only: a demo user unpacks data
without PyTorch.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
CIFAR10_RECORD_BYTES = 1 + 3 * 32 * 32


class DataError(ValueError):
    """An image set that cannot be used: says which file, what is wrong with it and what to do."""


@dataclass(frozen=True)
class ImageSet:
    """Pictures of one size with their labels.

    Attributes:
        images_NHWC: ``uint8`` pixels, N x H x W x 3, RGB.
        labels: ``int64`` class indices, length N.
        classes: Class names; ``labels`` index into it.
    """

    images_NHWC: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        shape = self.images_NHWC.shape
        if self.images_NHWC.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
            raise DataError(f"images must be uint8, N x H x W x 3, not {self.images_NHWC.dtype} {shape}")
        if self.labels.shape != (shape[0],):
            raise DataError(f"{shape[0]} images need {shape[0]} labels, got shape {self.labels.shape}")
        if shape[0] and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise DataError(f"labels must lie in 0..{len(self.classes) - 1}")

    def __len__(self) -> int:
        return int(self.labels.shape[0])

    def take(self, indices: NDArray[np.int64] | slice) -> "ImageSet":
        """The pictures at ``indices``, in that order."""
        return ImageSet(self.images_NHWC[indices], self.labels[indices], self.classes)


@dataclass(frozen=True)
class Splits:
    """What each party may see: the target's three sets and the attacker's own pictures, all disjoint."""

    train: ImageSet
    validation: ImageSet
    test: ImageSet
    auxiliary: ImageSet

    def sizes(self) -> dict[str, int]:
        """Number of pictures per split, for provenance."""
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "test": len(self.test),
            "auxiliary": len(self.auxiliary),
        }


def _stack(pairs: Iterable[tuple[str, NDArray[np.uint8]]], source: str) -> ImageSet:
    names: list[str] = []
    images: list[NDArray[np.uint8]] = []
    for name, image in pairs:
        if images and image.shape != images[0].shape:
            raise DataError(
                f"{source}: pictures differ in size ({image.shape[:2]} after {images[0].shape[:2]}); "
                "resize them to one size first"
            )
        names.append(name)
        images.append(image)
    if not images:
        raise DataError(f"{source}: no pictures found; expected <class>/<file> with {sorted(IMAGE_SUFFIXES)}")
    classes = tuple(sorted(set(names)))
    index = {name: position for position, name in enumerate(classes)}
    return ImageSet(np.stack(images), np.array([index[name] for name in names], dtype=np.int64), classes)


def decode_rgb(data: bytes, source: str) -> NDArray[np.uint8]:
    """Decode one picture to H x W x 3 ``uint8``; a file that does not decode is a ``DataError`` naming it."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"{source}: not a picture that Pillow can decode ({error})") from error


def iterate_class_tar(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield (class, file name, bytes) per picture of a tar of ``<class>/<file>``, sorted by name."""
    try:
        archive = tarfile.open(path)  # noqa: SIM115 - closed by the with below; opened apart for its own error
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{path}: cannot be opened as a tar archive ({error})") from error
    with archive:
        members = [
            m for m in archive.getmembers() if m.isfile() and Path(m.name).suffix.lower() in IMAGE_SUFFIXES
        ]
        for member in sorted(members, key=lambda m: m.name):
            parts = Path(member.name).parts
            if len(parts) < 2:
                raise DataError(f"{path}: member {member.name} has no class folder; expected <class>/<file>")
            stream = archive.extractfile(member)
            assert stream is not None  # a regular file always has a stream
            yield parts[-2], parts[-1], stream.read()


def read_class_tar(path: Path) -> ImageSet:
    """Read a tar of class folders whole. All pictures must have one size."""
    return _stack(
        (
            (label, decode_rgb(data, f"{path}:{label}/{name}"))
            for label, name, data in iterate_class_tar(path)
        ),
        str(path),
    )


def read_class_folder(path: Path) -> ImageSet:
    """Read a directory whose sub-directories are the classes. All pictures must have one size."""
    if not path.is_dir():
        raise DataError(f"{path}: no such directory")
    files = sorted(p for p in path.glob("*/*") if p.suffix.lower() in IMAGE_SUFFIXES)
    return _stack(((p.parent.name, decode_rgb(p.read_bytes(), str(p))) for p in files), str(path))


def parse_cifar10_records(data: bytes, source: str) -> ImageSet:
    """Parse a CIFAR-10 binary batch: per picture a label byte, then 1,024 bytes of each colour."""
    if not data or len(data) % CIFAR10_RECORD_BYTES:
        raise DataError(
            f"{source}: {len(data)} bytes is not a whole number of {CIFAR10_RECORD_BYTES}-byte records; "
            "the download is probably incomplete"
        )
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, CIFAR10_RECORD_BYTES)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return ImageSet(np.ascontiguousarray(images), records[:, 0].astype(np.int64), CIFAR10_CLASSES)


def seeded_parts(count: int, sizes: tuple[int, ...], seed: int) -> list[NDArray[np.int64]]:
    """Cut a seeded permutation of ``range(count)`` into consecutive disjoint parts of the given sizes.

    Example:
        >>> [len(part) for part in seeded_parts(10, (7, 3), seed=0)]
        [7, 3]
    """
    if sum(sizes) > count:
        raise DataError(f"parts of {sizes} pictures need {sum(sizes)}, only {count} are there")
    order = np.random.default_rng(seed).permutation(count).astype(np.int64)
    bounds = np.cumsum((0, *sizes))
    return [order[start:stop] for start, stop in pairwise(bounds)]


def save_cache(images: ImageSet, folder: Path) -> None:
    """Write an image set as two ``.npy`` files and a JSON file with its classes and the pixels' SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", images.images_NHWC, allow_pickle=False)
    np.save(folder / "labels.npy", images.labels, allow_pickle=False)
    digest = hashlib.sha256(images.images_NHWC.tobytes()).hexdigest()
    meta = {"classes": list(images.classes), "images_sha256": digest}
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


def load_cache(folder: Path) -> ImageSet:
    """Read what ``save_cache`` wrote; nothing is unpickled."""
    meta = json.loads((folder / "meta.json").read_text())
    return ImageSet(
        np.load(folder / "images.npy", allow_pickle=False),
        np.load(folder / "labels.npy", allow_pickle=False),
        tuple(meta["classes"]),
    )


def read_cached(source: Path, cache: Path | None) -> ImageSet:
    """Read a tar or directory of class folders, through ``cache`` when one is given."""
    if cache is not None and (cache / "meta.json").is_file():
        return load_cache(cache)
    images = read_class_folder(source) if source.is_dir() else read_class_tar(source)
    if cache is not None:
        save_cache(images, cache)
    return images
