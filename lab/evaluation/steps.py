"""A run folder's finished steps: each is made once, kept as a JSON file, and read back from then on.

FOLDER/done/STEP.json          what the step found
FOLDER/done/STEP.safetensors   pictures that belong to it, ``uint8``
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from siftfunnel.lab.attacks.attack import Show
from siftfunnel.lab.attacks.chunks import write_json, write_tensors

DONE = "done"


class Steps:
    """The steps of one subject's evaluation, and the folders in which its attacks keep what they make.

    Args:
        folder: The run folder.
        show: Takes a line of progress.
        single: Folder of attacks on single observations, within ``folder``.
        averaged: Folder of those on averaged ones; ``{}`` stands for how many.
    """

    def __init__(
        self,
        folder: Path,
        show: Show,
        *,
        single: str = "attacks/single",
        averaged: str = "attacks/averaged-{}",
    ) -> None:
        self.folder, self.show = folder, show
        self._single, self._averaged = single, averaged

    def attacks(self, frames: int = 1) -> Path:
        """Root of the attacks that average so many observations, where one finds another's result."""
        return self.folder / (self._single if frames == 1 else self._averaged.format(frames))

    def once(self, step: str, make: Callable[[], Any], *, like: Mapping[str, Any] | None = None) -> Any:
        """The JSON values that ``make`` gives, made unless the step is finished.

        Args:
            step: Its name.
            make: Does it.
            like: Values that a finished step must hold to count, such as an attack's budget.
        """
        path = self._path(step)
        wanted = json.loads(json.dumps(dict(like or {})))
        if path.is_file():
            stored = json.loads(path.read_text())
            if all(stored.get(key) == value for key, value in wanted.items()):
                return stored
        self.show(f"{self.folder.name}: {step}")
        made = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, made)
        return json.loads(path.read_text())

    def keep_pictures(self, step: str, x_NCHW: Tensor) -> None:
        """Keep pictures in [0, 1] beside a step."""
        path = self._path(step).with_suffix(".safetensors")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, {"x_NCHW": (x_NCHW * 255).round().to(torch.uint8)}, {})

    def _path(self, step: str) -> Path:
        return self.folder / DONE / f"{step}.json"


def finished(folder: Path) -> dict[str, Any]:
    """What every finished step in a run folder found, by its name."""
    paths = sorted((folder / DONE).glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in paths}


def kept_pictures(folder: Path, step: str) -> Tensor:
    """The pictures that ``Steps.keep_pictures`` kept in a run folder, ``uint8`` N x 3 x H x W."""
    return load_file(folder / DONE / f"{step}.safetensors")["x_NCHW"]
