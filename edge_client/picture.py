"""What a source hands over: a picture with the name people know it by and, where there is one, its label."""

from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture that is not decoded yet, or comes decoded from a camera.

    Attributes:
        name: for people and outputs, for example its path.
        image: a path, encoded bytes, a binary file, a Pillow image, or RGB pixels (uint8, HWC).
        label: the class it shows, None where unknown.
        sequence: the number of its frame where the source gives it one, so that several streams number it
            alike; None takes the client's next.
        problem: why there is nothing to decode, where the source knows; None otherwise.
        index: its number in the source, from 0; whoever reads the source sets it.
        read_s: when it was read, on the monotonic clock; likewise.
    """

    name: str
    image: Path | bytes | BinaryIO | Image.Image | NDArray[np.uint8]
    label: str | None = None
    sequence: int | None = None
    problem: str | None = None
    index: int = 0
    read_s: float = 0.0

    def decodable(self) -> Path | bytes | BinaryIO | Image.Image:
        """The picture in a form that `siftfunnel.shared.preprocess.prepare` takes.

        Raises:
            ValueError: pixels of another type or shape, or nothing to decode.
        """
        if self.problem is not None:
            raise ValueError(self.problem)
        if not isinstance(self.image, np.ndarray):
            return self.image
        if self.image.dtype != np.uint8 or self.image.ndim != 3 or self.image.shape[2] != 3:
            raise ValueError(
                f"{self.name}: pixels must be uint8 of shape (height, width, 3), "
                f"not {self.image.dtype} {self.image.shape}"
            )
        return Image.fromarray(self.image)


def as_picture(item: object, label: str | None = None) -> Picture:
    """Wrap what callers hand to `classify` and `stream`.

    Raises:
        TypeError: nothing that can be a picture.
    """
    if isinstance(item, Picture):
        return item
    if isinstance(item, (str, PathLike)):
        return Picture(fspath(item), Path(item), label)
    if isinstance(item, bytes):
        return Picture(f"{len(item)} bytes", item, label)
    if isinstance(item, (Image.Image, np.ndarray)):
        return Picture("picture", item, label)
    if callable(getattr(item, "read", None)):
        return Picture(str(getattr(item, "name", "file")), item, label)  # type: ignore[arg-type]
    raise TypeError(
        "a picture is a path, encoded bytes, a binary file, a Pillow image or uint8 RGB pixels, "
        f"not {type(item).__name__}"
    )
