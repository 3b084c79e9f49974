"""Resizing without antialiasing, as OpenCV and ONNX's Resize do it: each pixel is read from its neighbours.

Where a picture is made smaller, what lies between those is never looked at. A network that was trained on
pictures made so loses accuracy on smooth ones, and the other way round.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_CUBIC = -0.75
"""Sharpness of the cubic kernel, OpenCV's and PyTorch's; Pillow's is -0.5."""


def sample(
    pixels_HWC: NDArray[np.uint8],
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    filter_name: str,
) -> NDArray[np.uint8]:
    """Resize a rectangle of a picture by interpolation alone.

    "bilinear", "bicubic" and "lanczos" (of four lobes) read around the middle of each new pixel and repeat
    the picture's border; "nearest" takes the pixel in which the new one's top left corner lies. Like OpenCV's
    `INTER_LINEAR`, `INTER_CUBIC`, `INTER_LANCZOS4` and `INTER_NEAREST`, but for its weights of 11 bits.

    Args:
        pixels_HWC: the picture.
        box: left, top, right, bottom.
        size: width and height that come out.
        filter_name: one of these four.

    Returns:
        uint8, shape (height, width, channels).
    """
    left, top, right, bottom = box
    columns, across = _taps(left, right, size[0], pixels_HWC.shape[1], filter_name)
    rows, down = _taps(top, bottom, size[1], pixels_HWC.shape[0], filter_name)
    if filter_name == "nearest":
        return np.ascontiguousarray(pixels_HWC[rows[0]][:, columns[0]])
    # only the rows that are read are resized, each once
    needed, places = np.unique(rows, return_inverse=True)
    lines = _weighted(pixels_HWC[needed], 1, columns, across)
    drawn = _weighted(lines, 0, list(places.reshape(len(rows), -1)), down)
    return np.clip(np.rint(drawn, out=drawn), 0, 255, out=drawn).astype(np.uint8)


def _weighted(
    pixels_HWC: NDArray[Any], axis: int, reads: list[NDArray[np.intp]], weights: list[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """What the taps read along one axis, weighted and summed."""
    shape = list(pixels_HWC.shape)
    shape[axis] = len(reads[0])
    # fresh memory for each tap would take longer than the arithmetic
    read, term = np.empty(shape, pixels_HWC.dtype), np.empty(shape, np.float32)
    total = np.zeros(shape, np.float32)
    for places, weight in zip(reads, weights, strict=True):
        np.take(pixels_HWC, places, axis, out=read, mode="clip")
        total += np.multiply(read, weight[:, None] if axis else weight[:, None, None], out=term)
    return total


def _taps(
    start: float, end: float, new: int, old: int, filter_name: str
) -> tuple[list[NDArray[np.intp]], list[NDArray[np.float32]]]:
    """For each tap the pixels that it reads along one axis, and their weights."""
    step = (end - start) / new
    if filter_name == "nearest":
        places = start + np.arange(new) * step
        # a whole number that arithmetic left a hair below itself
        return [np.clip(np.floor(places + 1e-9), 0, old - 1).astype(np.intp)], [np.ones(new, np.float32)]
    places = start + (np.arange(new) + 0.5) * step - 0.5
    first = np.floor(places)
    part = places - first
    weights = _KERNELS[filter_name](part)
    reach = len(weights) // 2 - 1
    reads = [np.clip(first + tap - reach, 0, old - 1).astype(np.intp) for tap in range(len(weights))]
    return reads, [weight.astype(np.float32) for weight in weights]


def _linear(part: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [1 - part, part]


def _cubic(part: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    def near(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1

    def far(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return ((_CUBIC * x - 5 * _CUBIC) * x + 8 * _CUBIC) * x - 4 * _CUBIC

    return [far(part + 1), near(part), near(1 - part), far(2 - part)]


def _lanczos(part: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    distances = [part + 3 - tap for tap in range(8)]
    weights = [np.sinc(x) * np.sinc(x / 4) for x in distances]
    return [weight / sum(weights) for weight in weights]


_KERNELS = {"bilinear": _linear, "bicubic": _cubic, "lanczos": _lanczos}
