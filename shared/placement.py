"""Where a picture comes to lie in a model's input, and the way back for boxes and points.

Every rule for cutting is one rectangle of the picture drawn on one rectangle of the input.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siftfunnel.shared.input_spec import InputSpec

_LONG = 8
"""Sides of a picture to one another, from which on it is cut before it is resized."""


@dataclass(frozen=True)
class Transform:
    """From pixels of the model's input to pixels of the picture, upright as it was decoded.

        picture = input * scale + offset        for x and y; 0 is the edge of the first pixel, not its middle

    Attributes:
        scale: (x, y), pixels of the picture in one of the input.
        offset: (x, y), where the input's top left corner lies in the picture; outside it for a letterbox.
    """

    scale: tuple[float, float]
    offset: tuple[float, float]

    def boxes_to_picture(self, boxes_N4: ArrayLike) -> NDArray[np.float64]:
        """Boxes [x0, y0, x1, y1] in pixels of the input as such boxes in pixels of the picture.

        Other forms: a centre and its size are `centre * scale + offset` and `size * scale`.

        Args:
            boxes_N4: any shape that ends in 4.

        Returns:
            The same shape; not clipped to the picture.

        >>> Transform((2.0, 2.0), (0.0, -8.0)).boxes_to_picture([[4, 4, 8, 12]]).tolist()
        [[8.0, 0.0, 16.0, 16.0]]
        """
        corners = np.asarray(boxes_N4, np.float64)
        if corners.shape[-1:] != (4,):
            raise ValueError(f"boxes are [x0, y0, x1, y1], not arrays of shape {corners.shape}")
        moved: NDArray[np.float64] = corners * np.tile(self.scale, 2) + np.tile(self.offset, 2)
        return moved

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The same as an affine map, 2 x 3: picture = matrix @ (x, y, 1)."""
        (scale_x, scale_y), (left, top) = self.scale, self.offset
        return np.array([[scale_x, 0.0, left], [0.0, scale_y, top]])


@dataclass(frozen=True)
class Placement:
    """A rectangle of a picture and where it lies in the input.

    Attributes:
        source: left, top, right, bottom in the picture; pixels, not rounded.
        target: left, top, right, bottom in the input, pixels; what lies beyond the input is cut away, what it
            leaves free is padding.
    """

    source: tuple[float, float, float, float]
    target: tuple[int, int, int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the target."""
        left, top, right, bottom = self.target
        return (right - left, bottom - top)

    @property
    def transform(self) -> Transform:
        """The way back."""
        left, top, right, bottom = self.source
        scale = ((right - left) / self.size[0], (bottom - top) / self.size[1])
        return Transform(scale, (left - self.target[0] * scale[0], top - self.target[1] * scale[1]))


def place(size: tuple[int, int], spec: InputSpec) -> Placement:
    """Where a picture of that width and height lies in a model's input."""
    whole = (0, 0, spec.width, spec.height)
    if spec.crop in ("letterbox", "letterbox-corner"):
        return Placement((0, 0, *size), _letterbox(size, spec))
    if spec.crop == "stretch":
        return Placement((0, 0, *size), whole)
    if spec.shorter_side is None:
        return Placement(_largest_centred(size, spec), whole)
    return _centre_of_resized(size, spec, spec.shorter_side)


def _largest_centred(size: tuple[int, int], spec: InputSpec) -> tuple[float, float, float, float]:
    width, height = size
    scale = min(width / spec.width, height / spec.height)
    cut_width, cut_height = spec.width * scale, spec.height * scale
    # a picture of 225 rows for 224 would begin a rounding error above its first
    left, top = max(0.0, (width - cut_width) / 2), max(0.0, (height - cut_height) / 2)
    return (left, top, min(left + cut_width, width), min(top + cut_height, height))


def _centre_of_resized(size: tuple[int, int], spec: InputSpec, shorter_side: int) -> Placement:
    """Torchvision's `Resize(shorter_side)` and `CenterCrop`, rounded as they round, to the last bit.

    The longer side is rounded down, the cut's corner to the nearest pixel and to the even one of two. Of a
    picture that is very long only the cut is resized: whole, a thousand to one would take gigabytes.
    """
    width, height = size
    if width <= height:
        resized = (shorter_side, shorter_side * height // width)
    else:
        resized = (shorter_side * width // height, shorter_side)
    left, top = round((resized[0] - spec.width) / 2), round((resized[1] - spec.height) / 2)
    if max(resized) <= _LONG * shorter_side:
        return Placement((0, 0, *size), (-left, -top, resized[0] - left, resized[1] - top))
    scale_x, scale_y = width / resized[0], height / resized[1]
    right, bottom = (left + spec.width) * scale_x, (top + spec.height) * scale_y
    source = (left * scale_x, top * scale_y, min(right, width), min(bottom, height))
    return Placement(source, (0, 0, spec.width, spec.height))


def _letterbox(size: tuple[int, int], spec: InputSpec) -> tuple[int, int, int, int]:
    """The whole picture in the middle, an odd pixel of padding below and to the right; or at the top left."""
    width, height = size
    scale = min(spec.width / width, spec.height / height)
    fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
    left = top = 0
    if spec.crop == "letterbox":
        left, top = (spec.width - fitted[0]) // 2, (spec.height - fitted[1]) // 2
    return (left, top, left + fitted[0], top + fitted[1])
