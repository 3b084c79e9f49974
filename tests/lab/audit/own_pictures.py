"""Folders of drawn pictures, each a few shapes in colours of its own: no two are alike."""

from pathlib import Path

import numpy as np
from PIL import Image


def drawn(seed: int, size: tuple[int, int] = (40, 32)) -> Image.Image:
    """A picture of coarse coloured cells, so many times smaller than it is wide that it can be restored."""
    cells = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)


def write_pictures(folder: Path, count: int, *, labels: tuple[str, ...] = ("",), first: int = 0) -> Path:
    """``count`` pictures as PNG, in turn in sub-folders of these names."""
    for number in range(first, first + count):
        place = folder / labels[number % len(labels)]
        place.mkdir(parents=True, exist_ok=True)
        drawn(number).save(place / f"{number:04d}.png")
    return folder
