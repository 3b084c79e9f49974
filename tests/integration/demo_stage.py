"""Two tiny bundles with inverters and a folder of pictures, for tests that run the whole demo."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.tinybundle import make_tiny_bundle, make_tiny_inverter

CLASSES = ("circle", "square", "triangle")
BUNDLES = ("tiny-unprotected", "tiny-siftfunnel")


@dataclass(frozen=True)
class Stage:
    """Folders of one test, and the environment that makes the demo use them."""

    models: Path
    inverters: Path
    images: Path
    flat: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"SIFTFUNNEL_MODELS": str(self.models), "SIFTFUNNEL_INVERTERS": str(self.inverters)}


def make_stage(folder: Path) -> Stage:
    stage = Stage(folder / "models", folder / "inverters", folder / "images", folder / "flat")
    for seed, (name, defence) in enumerate(zip(BUNDLES, ("none", "siftfunnel"), strict=True)):
        bundle = make_tiny_bundle(stage.models / name, name=name, defence=defence, seed=seed)
        make_tiny_inverter(stage.inverters / name, bundle)
    stage.flat.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (stage.images / name).mkdir(parents=True)
        for number in range(4):
            picture = Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8))
            picture.save(stage.images / name / f"{number}.png")
            picture.save(stage.flat / f"{name}-{number}.jpg")
    return stage
