"""A run's folder: checkpoints that are written whole, compared with what is asked for, and restored.

``last.safetensors`` holds weights, optimiser state and random states, with the loop's counters as JSON in its
header; ``best.safetensors`` the weights that scored best on validation; ``run.json`` what a reader wants to
know. Nothing is pickled.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from siftfunnel.lab.provenance import provenance
from siftfunnel.shared.files import write_file

LAST, BEST, RUN = "last.safetensors", "best.safetensors", "run.json"


class RunFolderError(ValueError):
    """A run folder that does not fit: made by other settings, or damaged."""


@dataclass
class Progress:
    """Where a run stands; stored with every checkpoint.

    ``steps_done`` and ``sums`` (of what the task logs) are of the epoch that was stopped in its middle.
    """

    epochs_done: int = 0
    steps_done: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    best_score: float = -math.inf
    best_epoch: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def require_same(folder: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a folder whose results are of something else than what is wanted.

    Raises:
        RunFolderError: names what differs.
    """
    differing = sorted(key for key in {*stored, *wanted} if stored.get(key) != wanted.get(key))
    if differing:
        raise RunFolderError(
            f"{folder} holds results of other settings ({', '.join(differing)}); choose another folder or "
            "delete it"
        )


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: dict[str, str]) -> None:
    """Replace a safetensors file in one step."""
    partial = path.with_suffix(".partial")
    save_file(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, partial, metadata=header
    )
    partial.replace(path)


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{key}": torch.as_tensor(value)
        for index, entries in state.items()
        for key, value in entries.items()
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            like = parameters[int(index)]
            # the parameter's memory format keeps the optimiser's fast path after a resume
            state.setdefault(int(index), {})[key] = (
                torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            )
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


class RunFolder:
    """A run folder: writes and restores checkpoints."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        """``about`` identifies the run (recipe, data) and is compared when the folder already holds one."""
        self.folder = folder
        self.about = json.loads(json.dumps(about))
        self._made_with = provenance()
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / RUN).is_file():
            require_same(folder, json.loads((folder / RUN).read_text())["about"], self.about)

    def save(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        order: Tensor,
        progress: Progress,
        *,
        is_best: bool,
    ) -> None:
        """Store where the run stands; each file is replaced in one step.

        Args:
            model: What is trained.
            optimizer: Its optimiser.
            order: State of the generator of batches at the beginning of the epoch that comes or is under way.
            progress: Finished epochs, and steps of the one under way.
            is_best: Whether the last finished epoch is the best so far.
        """
        weights = model.state_dict()
        if is_best:
            write_tensors(self.folder / BEST, weights, {"epoch": str(progress.epochs_done)})
        tensors = {f"model.{name}": value for name, value in weights.items()}
        tensors |= _optimizer_tensors(optimizer)
        tensors |= {"random.global": torch.get_rng_state(), "random.data": order}
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        write_tensors(self.folder / LAST, tensors, {"progress": json.dumps(vars(progress))})
        told = {"about": self.about, **vars(progress), "provenance": self._made_with}
        write_file(self.folder / RUN, json.dumps(told, indent=1) + "\n")

    def restore(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
    ) -> Progress:
        """Continue from the last checkpoint, or start fresh when there is none."""
        if self.is_fresh():
            return Progress()
        path = self.folder / LAST
        with safe_open(path, framework="pt") as opened:
            progress = Progress(**json.loads(opened.metadata()["progress"]))
        tensors = load_file(path)
        prefix = "model."
        model.load_state_dict({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})
        _restore_optimizer(optimizer, tensors)
        torch.set_rng_state(tensors["random.global"])
        generator.set_state(tensors["random.data"])
        if torch.cuda.is_available() and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])
        return progress

    def is_fresh(self) -> bool:
        """Whether nothing was stored here yet."""
        return not (self.folder / LAST).is_file()

    def load_best(self, model: nn.Module) -> nn.Module:
        """Put the best weights into ``model``."""
        path = self.folder / BEST
        if not path.is_file():
            raise RunFolderError(f"{self.folder} holds no finished epoch yet ({BEST} is missing)")
        model.load_state_dict(load_file(path))
        return model
