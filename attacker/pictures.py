"""Pixels and tensors as pictures of bounded size, and pictures as `data:` addresses for a page.

A tensor is shown as maps side by side, a vector as rows of cells, all on one scale.
"""

import base64
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_PAGE_PIXELS = 384
EXACT_PIXELS = 96
PHOTO_QUALITY = 90
MAX_TILES = 64
MAX_CELLS = 64 * 64
MAX_SHEET_PIXELS = 384
ZERO, SPAN = 128, 127

# Anchors of two maps whose lightness rises evenly, so that they read the same in grey: what is above zero
# goes from dark to warm, what is below it from dark to cool.
_WARM = (
    (10, 12, 28),
    (44, 24, 84),
    (112, 32, 110),
    (184, 54, 92),
    (233, 98, 60),
    (250, 168, 62),
    (252, 240, 180),
)
_COOL = ((10, 12, 28), (12, 44, 84), (16, 84, 128), (28, 128, 156), (64, 172, 178), (214, 244, 240))


def address(picture: Image.Image) -> str:
    """A picture as a `data:` address, made smaller where a page would have no use for its size.

    Small photos and everything with a palette come pixel by pixel, as PNG; a larger photo as JPEG, a tenth of
    the size.
    """
    if max(picture.size) > MAX_PAGE_PIXELS:
        picture = picture.copy()
        picture.thumbnail((MAX_PAGE_PIXELS, MAX_PAGE_PIXELS))
    stored = io.BytesIO()
    is_photo = picture.mode == "RGB" and max(picture.size) > EXACT_PIXELS
    if is_photo:
        picture.save(stored, "JPEG", quality=PHOTO_QUALITY, subsampling=0)
    else:
        picture.save(stored, "PNG", compress_level=3)
    kind = "jpeg" if is_photo else "png"
    return f"data:image/{kind};base64,{base64.b64encode(stored.getvalue()).decode('ascii')}"


def rgb_picture(pixels_HWC: NDArray[Any]) -> Image.Image:
    """RGB pixels, uint8 or float in [0, 1], as a picture of the same size."""
    if pixels_HWC.dtype != np.uint8:
        pixels_HWC = (np.clip(pixels_HWC, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels_HWC), "RGB")


def noise_picture(data: bytes, side: int = 64) -> Image.Image:
    """Bytes as grey pixels, row by row, the rest black: ciphertext looks like nothing at all."""
    pixels = np.zeros(side * side, np.uint8)
    shown = np.frombuffer(data[: side * side], np.uint8)
    pixels[: len(shown)] = shown
    return Image.fromarray(pixels.reshape(side, side), "L")


def jpeg_bytes(pixels_HWC: NDArray[np.uint8], quality: int = 75) -> int:
    """How many bytes the picture takes as a JPEG: what sending the picture itself would cost."""
    stored = io.BytesIO()
    rgb_picture(pixels_HWC).save(stored, "JPEG", quality=quality)
    return len(stored.getvalue())


def tensor_picture(values: NDArray[np.generic], most: int = MAX_TILES) -> Image.Image:
    """The maps of a tensor side by side, one scale for all, one dark pixel between tiles.

    Of more maps than `most` evenly spaced ones are shown, and maps that do not fit into `MAX_SHEET_PIXELS`
    are made smaller. Zero is dark, far from it bright: warm above, cool below. The scale ends at the 99.5th
    percentile of what is not zero, so that one outlier does not darken the rest, and follows the square
    root, so that small values can be told from none.

    Args:
        values: of any shape: the last two axes longer than 1 are a map's rows and columns.
        most: maps that are shown.
    """
    maps = _as_maps(values, most)
    rows, columns = tile_grid(len(maps))
    maps = _shrunk(maps, (MAX_SHEET_PIXELS + 1) // max(rows, columns) - 1)
    height, width = maps.shape[1:]
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), ZERO, np.uint8)
    for place, tile in enumerate(_levels(maps)):
        top, left = place // columns * (height + 1), place % columns * (width + 1)
        sheet[top : top + height, left : left + width] = tile
    picture = Image.fromarray(sheet, "P")
    picture.putpalette(_PALETTE)
    return picture


def tile_grid(count: int) -> tuple[int, int]:
    """Rows and columns for that many tiles, nearly square.

    >>> tile_grid(12), tile_grid(64)
    ((3, 4), (8, 8))
    """
    columns = math.ceil(math.sqrt(count))
    return math.ceil(count / columns), columns


def _as_maps(values: NDArray[np.generic], most: int) -> NDArray[np.float32]:
    """The maps that are shown, N x H x W; a vector is one map, its last row filled up with zeros."""
    sides = [axis for axis in values.shape if axis != 1]
    if len(sides) > 1:
        maps = values.reshape(-1, *sides[-2:])
        return maps[_spaced(len(maps), most)].astype(np.float32)
    vector = values.reshape(-1)
    vector = vector[_spaced(len(vector), MAX_CELLS)].astype(np.float32)
    rows, columns = tile_grid(len(vector))
    return np.pad(vector, (0, rows * columns - len(vector))).reshape(1, rows, columns)


def _spaced(count: int, most: int) -> NDArray[np.intp]:
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.intp)


def _shrunk(maps: NDArray[np.float32], room: int) -> NDArray[np.float32]:
    """Maps whose longer side is at most `room` pixels, as means over what falls together."""
    height, width = maps.shape[1:]
    scale = room / max(height, width)
    if scale >= 1:
        return maps
    size = max(1, round(width * scale)), max(1, round(height * scale))
    smaller = [Image.fromarray(each, "F").resize(size, Image.Resampling.BOX) for each in maps]
    return np.stack([np.asarray(each) for each in smaller])


def _levels(maps: NDArray[np.float32]) -> NDArray[np.uint8]:
    maps = np.nan_to_num(maps.astype(np.float64))
    sizes = np.abs(maps[maps != 0])
    scaled = np.clip(maps / np.percentile(sizes, 99.5), -1, 1) if sizes.size else maps
    steps = np.rint(SPAN * np.sign(scaled) * np.sqrt(np.abs(scaled)))
    return np.asarray(ZERO + steps, np.uint8)


def _palette() -> bytes:
    def bands(anchors: tuple[tuple[int, int, int], ...], steps: int) -> NDArray[np.float64]:
        places = np.linspace(0, len(anchors) - 1, steps)
        return np.stack(
            [np.interp(places, np.arange(len(anchors)), band) for band in zip(*anchors, strict=True)], axis=1
        )

    colours = np.concatenate([bands(_COOL, ZERO + 1)[::-1], bands(_WARM, SPAN + 1)[1:]])
    return colours.round().astype(np.uint8).tobytes()


_PALETTE = _palette()
