"""What a fit has finished, kept in its folder so that the same command goes on behind it.

RUN/steps/about.json     which network, cut, input and pictures the steps are of
RUN/steps/NAME           a finished step, written whole or not at all; in a folder if it is of some settings
RUN/fit.json             all of that, with the settings, once the run is whole; the steps are gone then
"""

import json
import shutil
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor

from siftfunnel.lab.attacks.chunks import claim, read_tensors, write_json, write_tensors
from siftfunnel.lab.split.features import Ends, Say, Seen
from siftfunnel.lab.training.checkpoints import RUN, RunFolderError

FIT, STEPS, ABOUT = "fit.json", "steps", "about.json"
Made = tuple[dict[str, Tensor], dict[str, Any]]


class FitSteps:
    """Finished steps of a fit.

    Args:
        folder: The run's; None keeps nothing.
        about: What steps of all settings are of.
        settings: What the others are of.

    Attributes:
        is_whole: Whether the folder holds the run that is asked for, and nothing is left to be done.

    Raises:
        RunFolderError: the folder is of something else.
    """

    def __init__(
        self,
        folder: Path | None = None,
        about: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._folder, self._stage, self.is_whole = folder, "", False
        if folder is None:
            return
        self._all = {**(about or {}), **(settings or {})}
        if (folder / RUN).is_file():
            if not (folder / FIT).is_file():
                raise RunFolderError(f"{folder} holds another run; choose another folder or delete it")
            claim(folder / FIT, self._all)
            self.is_whole = True
            return
        claim(folder / STEPS / ABOUT, about or {})
        self._stage = sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]

    def of(self, stage: str) -> "FitSteps":
        """Steps of the same settings that have a name of their own."""
        other = copy(self)
        other._stage = f"{self._stage}/{stage}"
        return other

    def values(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Numbers and words of a step of these settings: as they were kept, or made and kept."""
        if self._folder is None:
            return make()
        path = self._folder / STEPS / self._stage / f"{name}.json"
        if not path.is_file():
            made = make()
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, made)
        stored: dict[str, Any] = json.loads(path.read_text())
        return stored

    def tensors(self, name: str, make: Callable[[], Made]) -> Made:
        """Tensors of a step of all settings, with details; likewise."""
        if self._folder is None:
            return make()
        path = self._folder / STEPS / f"{name}.safetensors"
        if not path.is_file():
            write_tensors(path, *make())
        return read_tensors(path)

    def finish(self) -> None:
        """Note whose the run is; to be called before it is written."""
        if self._folder is not None:
            write_json(self._folder / FIT, self._all)

    def clear(self) -> None:
        """Forget the steps: the run is written."""
        if self._folder is not None:
            shutil.rmtree(self._folder / STEPS)


@dataclass(frozen=True)
class Fitting:
    """What a funnel is fitted with.

    Attributes:
        ends: The cut network.
        fitted: Pictures to fit to.
        held_out: Others, by which sides of patches and rate points are judged.
        say: Shows progress.
        keep: Where what is finished is kept.
    """

    ends: Ends
    fitted: Seen
    held_out: Seen
    say: Say
    keep: FitSteps = field(default_factory=FitSteps)
