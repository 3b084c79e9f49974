"""The picture of the self-test: drawn by a program, so that it belongs to nobody and shows everything.

Whatever is done wrong to a picture changes this one: it is not square and larger than the input (cut,
padding, shorter side), fine stripes and strokes run through it (filter, antialiasing), each corner has a
colour of its own (channel order, mirroring), and dark and light parts are far apart (normalisation).
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from siftfunnel.shared.input_spec import InputSpec

MAX_SIDE = 1024
"""Of an input; pixels. Larger ones would make files of tens of megabytes."""
MAX_PIXELS = 2**24
"""That a reference picture may have."""
_CORNERS = ((230, 40, 30), (30, 190, 70), (40, 70, 220), (240, 220, 60))
_STROKES = 60


def reference_picture(spec: InputSpec) -> NDArray[np.uint8]:
    """A picture for one input; the same input gives the same picture.

    Returns:
        uint8 RGB, shape (height, width, 3), larger than the input on both sides.
    """
    side = max(spec.height, spec.width, spec.shorter_side or 0)
    height, width = 1 + side * 13 // 10, 3 + side * 17 // 10
    image = Image.fromarray(_ground(height, width))
    _strokes(ImageDraw.Draw(image), height, width)
    pixels_HWC: NDArray[np.uint8] = np.array(image)
    return pixels_HWC


def _ground(height: int, width: int) -> NDArray[np.uint8]:
    """Corners of four colours that run into one another, and rings that grow finer outwards on the right."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    down, across = (y / height)[..., None], (x / width)[..., None]
    top = _CORNERS[0] + across * np.subtract(_CORNERS[1], _CORNERS[0])
    bottom = _CORNERS[2] + across * np.subtract(_CORNERS[3], _CORNERS[2])
    ground = top + down * (bottom - top)
    radius = np.hypot(x - 0.62 * width, y - 0.45 * height)
    rings = 45 * np.sin(radius**2 / (0.45 * height))
    rings[radius > 0.35 * height] = 0
    checks = 40.0 * (((x // 2) + (y // 2)) % 2 - 0.5) * (x < 0.3 * width) * (y > 0.4 * height)
    drawn: NDArray[np.float32] = ground + (rings + checks)[..., None]
    return np.clip(drawn, 0, 255).astype(np.uint8)


def _strokes(pen: ImageDraw.ImageDraw, height: int, width: int) -> None:
    """Lines of small dark and light strokes, as text has them, and two solid shapes with sharp edges."""
    rng = np.random.default_rng(14)
    pen.ellipse((0.34 * width, 0.6 * height, 0.5 * width, 0.9 * height), fill=(250, 250, 245))
    pen.rectangle((0.42 * width, 0.12 * height, 0.5 * width, 0.5 * height), fill=(10, 12, 20))
    for x, y, reach in rng.random((_STROKES, 3)):
        left, top = x * width, round(y * 12) / 12 * height
        tall, wide = height / 20, width / 30
        colour = (15, 15, 15) if reach < 0.5 else (245, 240, 235)
        pen.line((left, top, left + wide * (2 * reach - 0.5), top + tall), fill=colour, width=1)
        pen.line((left, top + tall, left + wide, top + tall), fill=colour, width=2)
