"""Pixels to pictures that a page can show, as `data:` addresses."""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_PAGE_PIXELS = 384
EXACT_PIXELS = 96
PHOTO_QUALITY = 90


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
