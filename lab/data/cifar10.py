"""CIFAR-10 from class folders, from the official binary archive, or from the authors' npz layout.

Split: 50,000 official training pictures are cut, seeded, into 40,000 for the target and 10,000 for the
attacker, and the official 10,000 are the test set: 66.6 / 16.7 / 16.7 %, Table 1 of the paper (*paper*). Of
the 40,000 a tenth validates (*ours*). The paper's text does not say which pictures go where.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from siftfunnel.lab.data.archives import open_tar, read_member
from siftfunnel.lab.data.cache import cached_set
from siftfunnel.lab.data.decoding import read_classes, resized
from siftfunnel.lab.data.images import DataError, ImageSet, Splits, seeded_parts
from siftfunnel.lab.data.npz import load_parts_npz
from siftfunnel.lab.data.places import find, require_data

SPLIT_SEED = 20241
TRAIN_SHARE, VALIDATION_SHARE = 0.72, 0.08
ARCHIVE, NPZ, FOLDER = "cifar-10-binary.tar.gz", "cifar10_data.npz", "cifar10"
BATCHES_FOLDER = "cifar-10-batches-bin"
BATCHES = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}
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


def _batch_bytes(source: Path, names: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    missing = (
        f"{source}: {{}} is missing; expected the binary version of CIFAR-10 ({ARCHIVE}), "
        "or a tar of class folders"
    )
    if source.is_dir():
        for name in names:
            if not (source / name).is_file():
                raise DataError(missing.format(name))
            yield name, (source / name).read_bytes()
        return
    with open_tar(source) as (archive, members):
        by_name = {Path(member.name).name: member for member in members if member.isfile()}
        for name in names:
            if name not in by_name:
                raise DataError(missing.format(name))
            yield name, read_member(archive, by_name[name], source)


def iterate_batches(source: Path, names: tuple[str, ...]) -> Iterator[tuple[str, ImageSet]]:
    """Yield (name, pictures) per binary batch of the archive, or of the directory it unpacks to.

    Raises:
        DataError: a batch is missing or cut off, or the archive is damaged.
    """
    for name, data in _batch_bytes(source, names):
        yield name, parse_cifar10_records(data, f"{source}:{name}")


def read_binary(source: Path, part: str, size: int | None = None) -> ImageSet:
    """All pictures of ``train`` (five batches) or ``test`` (one), in the archive's order."""
    batches = [batch for _, batch in iterate_batches(source, BATCHES[part])]
    images = ImageSet(
        np.concatenate([batch.images_NHWC for batch in batches]),
        np.concatenate([batch.labels for batch in batches]),
        CIFAR10_CLASSES,
    )
    return resized(images, size)


def split_training_pictures(images: ImageSet, test: ImageSet, seed: int = SPLIT_SEED) -> Splits:
    """Cut 72 : 8 : 20 into train, validation and the attacker's own (of 50,000: 36,000, 4,000, 10,000).

    Raises:
        DataError: other classes in the test set, or so few pictures that a part is empty.
    """
    if images.classes != test.classes:
        differing = sorted(set(images.classes) ^ set(test.classes))
        raise DataError(
            f"train and test differ in classes: {', '.join(differing) or 'another order'} "
            f"({len(images.classes)} and {len(test.classes)} classes)"
        )
    train_size, validation_size = round(len(images) * TRAIN_SHARE), round(len(images) * VALIDATION_SHARE)
    sizes = (train_size, validation_size, len(images) - train_size - validation_size)
    if min(sizes) < 1:
        raise DataError(
            f"{len(images)} training pictures are too few to cut into train, validation and the attacker's "
            f"auxiliary set ({sizes[0]}, {sizes[1]} and {sizes[2]}); 7 are the least"
        )
    train, validation, auxiliary = (images.take(part) for part in seeded_parts(len(images), sizes, seed))
    return Splits(train, validation, test, auxiliary)


def _folders_or_tars(data: Path) -> tuple[Path, Path] | None:
    places = [find(data, (name, f"{name}.tar"), (FOLDER,)) for name in ("train", "test")]
    if not any(places):
        return None
    for name, place in zip(("train", "test"), places, strict=True):
        if place is None:
            raise DataError(f"{data}: neither {name}/ (folders as classes) nor {name}.tar is there")
    train, test = places
    assert train is not None
    assert test is not None
    return train, test


def _binary_source(data: Path) -> Path | None:
    if data.is_file():
        return data if data.name.endswith((".tar", ".tar.gz", ".tgz")) else None
    return find(data, (ARCHIVE, BATCHES_FOLDER), (FOLDER,))


def load_cifar10(data: Path | None, cache: Path | None, size: int | None = None) -> Splits:
    """CIFAR-10 from ``data`` or its ``cifar10`` directory.

    Read is the first that is there of

    1. ``train`` and ``test``, directories or tars of class folders;
    2. ``cifar-10-binary.tar.gz``, the official archive, or the directory that it unpacks to;
    3. ``cifar10_data.npz``, see ``load_cifar10_npz``.

    ``data`` may also be the archive or the npz file itself. The cut is by position, so the same pictures
    from folders and from the archive, whose orders differ, fall into other parts.
    """
    data = require_data(
        data, "cifar10", f"train and test, {ARCHIVE} or {NPZ} (`siftfunnel data cifar10` makes one)"
    )
    if (pair := _folders_or_tars(data)) is not None:
        train, test = (
            cached_set(cache, f"cifar10-{place.stem}", [place], size, partial(read_classes, place, size))
            for place in pair
        )
        return split_training_pictures(train, test)
    if (source := _binary_source(data)) is not None:
        train, test = (
            cached_set(
                cache, f"cifar10-binary-{part}", [source], size, partial(read_binary, source, part, size)
            )
            for part in BATCHES
        )
        return split_training_pictures(train, test)
    if data.is_file() or find(data, (NPZ,), (FOLDER,)) is not None:
        return load_cifar10_npz(data, cache, size)
    raise DataError(
        f"{data}: neither train and test (folders or tars of class folders) nor {ARCHIVE} nor {NPZ} is "
        "there; unpack the data with `siftfunnel data cifar10` or point --data at it"
    )


def load_cifar10_npz(data: Path | None, cache: Path | None, size: int | None = None) -> Splits:
    """CIFAR-10 from the authors' ``cifar10_data.npz`` (LAB.md section 3), or a file of the same layout."""
    data = require_data(data, "cifar10-npz", NPZ)
    path = data if data.is_file() else find(data, (NPZ,), (FOLDER,))
    if path is None:
        raise DataError(f"{data}: no {NPZ} here")
    return load_parts_npz(path, CIFAR10_CLASSES, cache, size)
