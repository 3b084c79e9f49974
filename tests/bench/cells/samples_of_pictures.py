"""Small labelled pictures for tests."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("circle", "square", "triangle")


def make_pictures(folder: Path, count: int = 6) -> Path:
    """A folder of class folders with PNG files of noise, 32x32; the folder."""
    rng = np.random.default_rng(0)
    for number in range(count):
        place = folder / CLASSES[number % 3] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(place)
    return folder
