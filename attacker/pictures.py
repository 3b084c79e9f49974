"""Arrays to pictures that a page can show: PNG, as `data:` addresses."""

import base64
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_TILES = 64
MAX_PAGE_PIXELS = 512

# Anchors of a dark-to-bright map whose lightness rises evenly, so that it reads the same in grey.
_ANCHORS = np.array(
    [
        (10, 12, 28),
        (44, 24, 84),
        (112, 32, 110),
        (184, 54, 92),
        (233, 98, 60),
        (250, 168, 62),
        (252, 240, 180),
    ],
    np.float64,
)


def png_address(picture: Image.Image) -> str:
    """A picture as `data:image/png;base64,…`, made smaller where a page would have no use for its size."""
    if max(picture.size) > MAX_PAGE_PIXELS:
        picture = picture.copy()
        picture.thumbnail((MAX_PAGE_PIXELS, MAX_PAGE_PIXELS))
    stored = io.BytesIO()
    picture.save(stored, "PNG", compress_level=3)
    return "data:image/png;base64," + base64.b64encode(stored.getvalue()).decode("ascii")


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


def tile_grid(channels: int, most: int = MAX_TILES) -> tuple[int, int]:
    """Rows and columns for that many tiles, nearly square, at most `most` of them.

    >>> tile_grid(12), tile_grid(64), tile_grid(256)
    ((3, 4), (8, 8), (8, 8))
    """
    shown = min(channels, most)
    columns = math.ceil(math.sqrt(shown))
    return math.ceil(shown / columns), columns


def feature_picture(features_CHW: NDArray[np.float32], most: int = MAX_TILES) -> Image.Image:
    """The channels of a feature tensor side by side, one scale for all, one dark pixel between tiles.

    With more channels than `most`, evenly spaced ones are shown. Bright is large; the scale runs from the
    smallest value to the 99.5th percentile, so that one outlier does not darken the rest, and follows the
    square root, so that small values can be told from none.
    """
    channels, height, width = features_CHW.shape
    rows, columns = tile_grid(channels, most)
    chosen = np.linspace(0, channels - 1, min(channels, most)).round().astype(int)
    low, high = float(features_CHW.min()), float(np.percentile(features_CHW, 99.5))
    levels = np.sqrt(np.clip((features_CHW[chosen] - low) / max(high - low, 1e-9), 0, 1)) * 254 + 1
    sheet = np.zeros((rows * (height + 1) - 1, columns * (width + 1) - 1), np.uint8)
    for place, tile in enumerate(levels.astype(np.uint8)):
        top, left = place // columns * (height + 1), place % columns * (width + 1)
        sheet[top : top + height, left : left + width] = tile
    picture = Image.fromarray(sheet, "P")
    picture.putpalette(_PALETTE)
    return picture


def _palette() -> bytes:
    places = np.linspace(0, len(_ANCHORS) - 1, 256)
    colours = [np.interp(places, np.arange(len(_ANCHORS)), _ANCHORS[:, band]) for band in range(3)]
    return np.stack(colours, axis=1).round().astype(np.uint8).tobytes()


_PALETTE = _palette()
