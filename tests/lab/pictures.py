"""Small sets of made-up pictures whose classes a tiny network learns in seconds."""

from pathlib import Path

import numpy as np
from PIL import Image

from siftfunnel.lab.data.images import ImageSet

CLASSES = ("blue", "green", "red")


def coloured_set(count: int, size: int = 32, seed: int = 0) -> ImageSet:
    """Noisy pictures with a gradient, tinted by class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 3
    ramp = np.linspace(0, 120, size)[None, :, None, None] * rng.uniform(0.3, 1, (count, 1, 1, 1))
    images = 40 + ramp + rng.normal(0, 12, (count, size, size, 3))
    images[np.arange(count), :, :, 2 - labels] += 80
    return ImageSet(images.clip(0, 255).astype(np.uint8), labels, CLASSES)


def write_class_folders(images: ImageSet, folder: Path) -> None:
    """Write a set as <folder>/<class>/<number>.png."""
    for number, (picture, label) in enumerate(zip(images.images_NHWC, images.labels, strict=True)):
        path = folder / images.classes[label] / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)


def write_data_directory(folder: Path, train: int = 300, test: int = 60, size: int = 32) -> Path:
    """A directory as --data wants it."""
    write_class_folders(coloured_set(train, size, seed=1), folder / "train")
    write_class_folders(coloured_set(test, size, seed=2), folder / "test")
    return folder
