"""From encoded pictures to one array: decoding, cutting to a square and resizing."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.lab.data.archives import StoredPicture, open_classes
from siftfunnel.lab.data.images import DataError, ImageSet
from siftfunnel.shared.pictures import PICTURE_SUFFIXES, ImageError, open_image

Cut = Callable[[Image.Image], Image.Image]
NAMED_FAILURES = 5


def decode_rgb(data: bytes, source: str) -> NDArray[np.uint8]:
    """Decode one picture to H x W x 3 ``uint8``; a file that does not decode is a ``DataError`` naming it."""
    try:
        return np.array(open_image(data))
    except ImageError as error:
        raise DataError(f"{source}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Why a picture was not read, where it is named already."""
    return str(error).removeprefix("picture: ")


def fit_square(image: Image.Image, size: int | None) -> NDArray[np.uint8]:
    """Pixels of an RGB picture, resized to ``size`` x ``size``; None keeps its size.

    The largest centred square is resized, as the device cuts its pictures. Bilinear; when it shrinks, the
    kernel widens with the factor, so that it does not alias (Pillow's ``BILINEAR``).
    """
    if size is None or image.size == (size, size):
        return np.array(image)
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    # cut first: with resize's box the widened kernel would reach for pixels outside it
    square = image.crop((left, top, left + side, top + side))
    return np.array(square.resize((size, size), Image.Resampling.BILINEAR))


def resized(images: ImageSet, size: int | None) -> ImageSet:
    """Pictures of a set resized by ``fit_square``; the same set when they have that size already."""
    _check_size(size)
    if size is None or images.images_NHWC.shape[1:3] == (size, size):
        return images
    pixels = np.empty((len(images), size, size, 3), dtype=np.uint8)
    for index, picture in enumerate(images.images_NHWC):
        pixels[index] = fit_square(Image.fromarray(np.ascontiguousarray(picture)), size)
    return ImageSet(pixels, images.labels, images.classes)


def _check_size(size: int | None) -> None:
    if size is not None and size < 1:
        raise DataError(f"pictures cannot be resized to {size}x{size}; the size is 1 or more")


def decode_pictures(
    pictures: Sequence[StoredPicture], source: Path, size: int | None = None, cut: Cut | None = None
) -> ImageSet:
    """Decode pictures into one array; classes in alphabetical order. Grey pictures become grey RGB.

    Args:
        pictures: What to decode, in the order of the result.
        source: Where they come from, for messages.
        size: Side to resize to; None wants pictures of one size.
        cut: Applied to each decoded picture first; an ``ImageError`` from it refuses the picture.

    Raises:
        DataError: no pictures, pictures that do not decode (the first few are named, the rest counted), or
            pictures of differing sizes.
    """
    _check_size(size)
    if not pictures:
        raise DataError(
            f"{source}: no pictures found; expected <class>/<file> with {sorted(PICTURE_SUFFIXES)}"
        )
    pixels: NDArray[np.uint8] | None = None
    failures: list[str] = []
    for index, picture in enumerate(pictures):
        try:
            image = open_image(picture.read())
            found = fit_square(image if cut is None else cut(image), size)
        except (ImageError, OSError) as error:
            failures.append(f"{picture.where} ({reason(error)})")
            continue
        if pixels is None:
            pixels = np.empty((len(pictures), *found.shape), dtype=np.uint8)
        if found.shape != pixels.shape[1:]:
            raise DataError(
                f"{picture.where}: pictures differ in size ({_size(found)} after {_size(pixels[0])}); "
                "choose a size for all, or resize them to one size first"
            )
        pixels[index] = found
    if failures or pixels is None:
        raise DataError(_failures_text(failures, len(pictures), source))
    classes = tuple(sorted({picture.label for picture in pictures}))
    index_of = {name: position for position, name in enumerate(classes)}
    return ImageSet(pixels, np.array([index_of[p.label] for p in pictures], dtype=np.int64), classes)


def _size(picture_HWC: NDArray[np.uint8]) -> str:
    return f"{picture_HWC.shape[1]}x{picture_HWC.shape[0]}"


def _failures_text(failures: list[str], count: int, source: Path) -> str:
    more = len(failures) - NAMED_FAILURES
    return (
        f"{source}: {len(failures)} of {count} pictures cannot be read: "
        + "; ".join(failures[:NAMED_FAILURES])
        + (f"; and {more} more" if more > 0 else "")
        + ". Replace or remove them"
    )


def read_classes(place: Path, size: int | None = None) -> ImageSet:
    """Read a tar or a directory of class folders whole.

    Raises:
        DataError: nothing there, or see ``archives.open_classes`` and ``decode_pictures``.
    """
    with open_classes(place) as pictures:
        return decode_pictures(pictures, place, size)
