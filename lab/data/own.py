"""Anybody's pictures, from a folder or a tar: prepared as a network wants them, in two parts.

    files -> prepared pixels -> equal ones once, alike ones in one group -> the attacker's | attacked

The parts follow from the pictures alone: groups are put in the order of their SHA-256, so that neither names
nor order matter. Alike pictures (another size or quality of the same, frames of one shot) stay in one part:
an attacker who owns an attacked picture in another coding would say nothing of the network.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.lab.data.archives import StoredPicture, open_pictures
from siftfunnel.lab.data.decoding import reason
from siftfunnel.lab.data.images import DataError, ImageSet
from siftfunnel.shared.pictures import ImageError
from siftfunnel.shared.preprocess import InputSpec, prepare

ATTACKED_SHARE = 0.2
MOST_BYTES, MOST_PICTURES = 600_000_000, 20_000
"""Bytes of pixels that are kept, and pictures that are compared; what is beyond stays unread, and is told."""
NOBODY = ("picture",)
"""The classes of pictures without labels."""
_THUMBNAIL, _ALIKE_LEVELS = 16, 6.0
_ROWS_AT_ONCE = 512
_NAMED = 3
Image_ = TypeVar("Image_")


@dataclass(frozen=True)
class OwnPictures:
    """A folder's pictures in two parts that share no picture and no likeness.

    Attributes:
        name: The folder's or file's own name, without where it lies.
        attacker: The attacker's pictures, in the order of their SHA-256.
        attacked: Those that are attacked and measured, likewise.
        is_labelled: Whether every picture lies in a sub-folder, whose name is its label; with a table of
            labels, whether it names some of them.
        sha256: Over the SHA-256 of all pixels, in order: the same pictures in other files give the same.
        notes: What a reader should know: how many were equal, alike, unreadable or left out.
    """

    name: str
    attacker: ImageSet
    attacked: ImageSet
    is_labelled: bool
    sha256: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.attacker) + len(self.attacked)


def load_own(
    place: Path, spec: InputSpec, *, attacker: int, attacked: int, labels: Mapping[str, str] | None = None
) -> OwnPictures:
    """Read, prepare and part a folder or tar of pictures.

    Args:
        place: A folder, whose sub-folders are searched too, or a tar.
        spec: The network's input.
        attacker: Pictures that the attacker needs at least.
        attacked: Pictures to attack at least.
        labels: By file name, instead of the folders'; a picture that is not among them has the label "".

    Raises:
        DataError: nothing there, nothing that is a picture, or too few that differ; says what to do.
    """
    with stored_pictures(place) as stored:
        if not stored:
            raise DataError(
                f"{place}: no pictures in it, by the ends of their names; give a folder or a tar of them"
            )
        room = max(attacker + attacked, min(MOST_PICTURES, MOST_BYTES // (3 * spec.height * spec.width)))
        chosen = at_most(stored, room)
        read = read_each(chosen, lambda data: prepare(data, spec).pixels_HWC, labels)
    pixels, found, failures = read.images, read.labels, read.skipped
    notes = (
        []
        if len(chosen) == len(stored)
        else [f"{len(chosen):,} of {len(stored):,} pictures were read, which is as many as are compared."]
    )
    if failures:
        told = "; ".join(failures[:_NAMED]) + (" and others" if len(failures) > _NAMED else "")
        notes.append(f"{len(failures)} of {len(chosen)} files could not be read and were left out ({told}).")
    order, digests = _distinct(pixels)
    images_NHWC = np.stack([pixels[index] for index in order]) if order else np.empty((0, 1, 1, 3), np.uint8)
    if len(order) < len(pixels):
        notes.append(f"{len(pixels) - len(order)} pictures are there more than once; each counts once.")
    groups = alike_groups(images_NHWC)
    if (alike := len(groups) - len(set(groups.tolist()))) > 0:
        notes.append(f"{alike} pictures are nearly the same as another; such pictures are in one part.")
    is_attacked = _parted(groups, attacked)
    if is_attacked.sum() < attacked or (~is_attacked).sum() < attacker:
        raise DataError(_too_few(place, len(order), len(set(groups.tolist())), attacker, attacked, failures))
    kept = [found[index] for index in order]
    is_labelled = (all(kept) if labels is None else any(kept)) and len(set(kept)) > 1
    classes = tuple(sorted(set(kept))) if is_labelled else NOBODY
    numbers = np.array([classes.index(label) if is_labelled else 0 for label in kept], dtype=np.int64)
    images = ImageSet(images_NHWC, numbers, classes)
    return OwnPictures(
        name=place.resolve().name,
        attacker=images.take(np.flatnonzero(~is_attacked)),
        attacked=images.take(np.flatnonzero(is_attacked)),
        is_labelled=is_labelled,
        sha256=hashlib.sha256("".join(digests).encode()).hexdigest(),
        notes=tuple(notes),
    )


@contextmanager
def stored_pictures(place: Path) -> Iterator[list[StoredPicture]]:
    """Every picture below a folder or in a tar; its label is the folder that it lies in, if any."""
    if not place.exists():
        raise DataError(f"{place}: no such folder or file; give a folder or a tar of pictures")
    with open_pictures(place) as pictures:
        # whoever keeps the report learns the names of files, not where they lie
        yield [replace(each, where=each.file) for each in pictures]


def at_most(stored: Sequence[StoredPicture], count: int) -> list[StoredPicture]:
    """``count`` of the files, evenly spread over their names."""
    if len(stored) <= count:
        return list(stored)
    return [stored[index * len(stored) // count] for index in range(count)]


@dataclass(frozen=True)
class Read(Generic[Image_]):
    """Pictures that were read.

    Attributes:
        images: What was made of each.
        names: Of their files.
        labels: Of their folders or of a table; empty where a picture has none.
        skipped: What could not be read, with why.
    """

    images: tuple[Image_, ...]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    skipped: tuple[str, ...]


def read_each(
    stored: Sequence[StoredPicture], make: Callable[[bytes], Image_], table: Mapping[str, str] | None
) -> Read[Image_]:
    """The pictures of which something can be made, with the labels that a table or their folders give."""
    found: list[tuple[Image_, StoredPicture]] = []
    skipped = []
    for picture in stored:
        try:
            found.append((make(picture.read()), picture))
        except (ImageError, OSError) as error:
            skipped.append(f"{picture.where}: {reason(error)}")
    names = tuple(picture.where for _, picture in found)
    labels = tuple(picture.label for _, picture in found)
    if table is not None:
        labels = tuple(table.get(name, "") for name in names)
    return Read(tuple(image for image, _ in found), names, labels, tuple(skipped))


def _distinct(pixels: Sequence[NDArray[np.uint8]]) -> tuple[list[int], list[str]]:
    """Index of one of each set of equal pictures, in the order of their SHA-256, and those."""
    found: dict[str, int] = {}
    for index, picture in enumerate(pixels):
        found.setdefault(hashlib.sha256(np.ascontiguousarray(picture).data).hexdigest(), index)
    digests = sorted(found)
    return [found[digest] for digest in digests], digests


def alike_groups(images_NHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
    """A number for each picture, the same for those that are nearly the same.

    Two pictures are alike whose thumbnails of 16x16 pixels, each without its mean colour, differ by less than
    6 levels of 255 (root mean square); whatever is alike to a picture of a group belongs to the group.
    """
    count = len(images_NHWC)
    group = np.arange(count, dtype=np.int64)
    if not count:
        return group
    size = (_THUMBNAIL, _THUMBNAIL)
    small = [np.asarray(Image.fromarray(each).resize(size, Image.Resampling.BOX)) for each in images_NHWC]
    values = np.stack(small).astype(np.float32)
    flat = (values - values.mean(axis=(1, 2), keepdims=True)).reshape(count, -1)
    squares = np.square(flat).sum(axis=1)
    limit = _ALIKE_LEVELS**2 * flat.shape[1]
    for start in range(0, count, _ROWS_AT_ONCE):
        rows = flat[start : start + _ROWS_AT_ONCE]
        apart = squares[start : start + len(rows), None] + squares[None] - 2 * rows @ flat.T
        for row, is_alike in enumerate(apart < limit):
            is_alike[start + row] = True
            joined = np.unique(group[is_alike])
            if len(joined) > 1:
                group[np.isin(group, joined)] = joined[0]
    return group


def _parted(groups: NDArray[np.int64], least: int) -> NDArray[np.bool_]:
    """Which pictures are attacked: whole groups in their order, until their share is full."""
    wanted = max(least, round(ATTACKED_SHARE * len(groups)))
    attacked = np.zeros(len(groups), dtype=bool)
    for group in dict.fromkeys(groups.tolist()):
        members = groups == group
        # a group that would take more than is wanted is the attacker's
        if attacked.sum() + members.sum() <= wanted:
            attacked |= members
    return attacked


def _too_few(
    place: Path, count: int, groups: int, attacker: int, attacked: int, failures: Sequence[str]
) -> str:
    alike = f", {groups} that are not alike" if groups < count else ""
    unread = f"; {len(failures)} files could not be read, such as {failures[0]}" if failures else ""
    return (
        f"{place}: {count} different pictures{alike}{unread}. {attacker} or more are wanted to learn from "
        f"and {attacked} or more others to measure: add pictures, a few hundred say more"
    )
