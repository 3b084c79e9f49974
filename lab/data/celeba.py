"""CelebA, the attacker's pictures for FaceScrub, from the official zip.

``img_align_celeba.zip`` holds 202,599 aligned pictures of 178 x 218. The crop is that of the adversarial
model inversion code (github yziqi/adversarial-model-inversion), which the paper builds on: 108 x 108 from
(x 35, y 70), resized to 64 x 64. The paper leaves out 6,878 pictures of the 296 people that are in FaceScrub
too; which ones is not published, so they are read from ``celeba_exclude.txt`` beside the pictures (one file
name per line), where there is one.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from siftfunnel.lab.data.archives import open_pictures
from siftfunnel.lab.data.cache import cached_set
from siftfunnel.lab.data.decoding import decode_pictures, resized
from siftfunnel.lab.data.images import DataError, ImageSet, Splits, seeded_parts
from siftfunnel.lab.data.npz import open_npz
from siftfunnel.lab.data.places import find, require_data
from siftfunnel.shared.preprocess import ImageError

ZIP, FOLDER, NPZ, EXCLUDE = (
    "img_align_celeba.zip",
    "img_align_celeba",
    "celebA_crop_color.npz",
    "celeba_exclude.txt",
)
ROOMS = ("celeba", "CelebA", "celebA")
STORED_SIZE, CROP_BOX = (178, 218), (35, 70, 143, 178)
PAPER_SIZE = 64
CLASSES = ("face",)
SPLIT_SEED = 20241
OVERLAP_NOTE = (
    f"CelebA without {EXCLUDE}: people of FaceScrub may be among the attacker's pictures; the paper left out "
    "6,878 pictures of 296 people"
)


def crop_celeba(image: Image.Image) -> Image.Image:
    """The 108 x 108 face of an aligned CelebA picture.

    Raises:
        ImageError: not 178 x 218, so not of the aligned set.
    """
    if image.size != STORED_SIZE:
        raise ImageError(f"{image.width}x{image.height}, aligned CelebA pictures are 178x218")
    return image.crop(CROP_BOX)


def find_celeba(data: Path) -> Path | None:
    """The zip, directory or npz in ``data`` or its ``celeba`` directory, or None."""
    if data.is_file():
        return data if data.suffix in (".zip", ".npz") else None
    return find(data, (ZIP, FOLDER, NPZ), ROOMS)


def _excluded(source: Path) -> tuple[list[Path], frozenset[str]]:
    path = source.parent / EXCLUDE
    if not path.is_file():
        return [], frozenset()
    return [path], frozenset(path.read_text().split())


def _read(source: Path, excluded: frozenset[str], size: int) -> ImageSet:
    if source.suffix == ".npz":
        with open_npz(source) as arrays:
            images = arrays.pictures("celeba")
        return resized(ImageSet(images, np.zeros(len(images), np.int64), CLASSES), size)
    with open_pictures(source) as pictures:
        unknown = excluded - {picture.file for picture in pictures}
        if unknown:
            raise DataError(
                f"{source.parent / EXCLUDE}: {len(unknown)} names are no pictures of {source.name}, "
                f"for instance {min(unknown)}"
            )
        kept = [replace(each, label=CLASSES[0]) for each in pictures if each.file not in excluded]
        return decode_pictures(kept, source, size, crop_celeba)


def read_celeba(source: Path, cache: Path | None, size: int | None) -> tuple[ImageSet, tuple[str, ...]]:
    """All CelebA pictures, cropped and resized (64 unless ``size`` says otherwise), and notes on them."""
    beside, excluded = _excluded(source)
    side = size or PAPER_SIZE
    images = cached_set(cache, "celeba", [source, *beside], side, lambda: _read(source, excluded, side))
    return images, () if beside or source.suffix == ".npz" else (OVERLAP_NOTE,)


def load_celeba(data: Path | None, cache: Path | None, size: int | None = None) -> Splits:
    """CelebA by itself, one class, for training decoders: as an attacker's own set see ``facescrub``.

    Seeded by image, 60 : 6.7 : 16.7 : 16.7; *ours*, after the proportions of Table 1's other sets.
    """
    data = require_data(data, "celeba", ZIP)
    source = find_celeba(data)
    if source is None:
        raise DataError(f"{data}: no CelebA here; expected {ZIP}, {FOLDER}/ or {NPZ}")
    images, _ = read_celeba(source, cache, size)
    test = auxiliary = len(images) // 6
    validation = (len(images) - test - auxiliary) // 10
    train = len(images) - test - auxiliary - validation
    parts = seeded_parts(len(images), (train, validation, test, auxiliary), SPLIT_SEED)
    return Splits.of(images.take(part) for part in parts)
