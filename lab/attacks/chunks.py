"""Reconstruction chunk by chunk, so that an interrupt loses at most one chunk of pictures.

FOLDER/NAME/reconstruction.json   whose features, and under which budget
FOLDER/NAME/chunk-0000.safetensors   pictures of one chunk; its details as JSON in the header
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from siftfunnel.lab.attacks.attack import Attack, Reconstruction, Show
from siftfunnel.lab.attacks.fingerprint import tensor_digest
from siftfunnel.lab.attacks.victim import Victim
from siftfunnel.lab.training import checkpoints
from siftfunnel.lab.training.fitting import keep_freed_memory
from siftfunnel.shared.files import write_file

ABOUT = "reconstruction.json"
PER_IMAGE = "_per_image"

Solve = Callable[[Tensor, int], Reconstruction]
"""Pictures of one chunk: from its features on the victim's device and its number."""


class AttackDivergedError(RuntimeError):
    """The loss of an attack is no longer a number; finished chunks are kept."""


def require_features(victim: Victim, z_NCHW: Tensor) -> None:
    """Refuse features of another shape, and features that are no numbers.

    Raises:
        ValueError: says which.
    """
    if z_NCHW.ndim != 4 or tuple(z_NCHW.shape[1:]) != tuple(victim.feature_shape):
        raise ValueError(
            f"features must be N x {' x '.join(map(str, victim.feature_shape))}, got {tuple(z_NCHW.shape)}"
        )
    if not len(z_NCHW):
        raise ValueError("there are no features to reconstruct from")
    if not bool(torch.isfinite(z_NCHW).all()):
        raise ValueError("the features hold NaN or infinite values; nothing can be reconstructed from them")


@contextmanager
def memory_advice(batch: int) -> Iterator[None]:
    """Turn an out-of-memory error of either device into one that says what to lower."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        text = str(error).lower()
        if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in text:
            raise MemoryError(
                f"out of memory with {batch} pictures at a time; lower the attack's `batch`"
            ) from error
        raise


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Replace a JSON file in one step."""
    write_file(path, json.dumps(values, indent=1) + "\n")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], details: Mapping[str, Any]) -> None:
    """Replace a safetensors file in one step, with JSON details in its header."""
    checkpoints.write_tensors(path, tensors, {"details": json.dumps(details)})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What ``write_tensors`` wrote."""
    with safe_open(path, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        return tensors, json.loads(opened.metadata()["details"])


def claim(path: Path, about: Mapping[str, Any]) -> None:
    """Note in ``path`` what a folder is for, or compare with what stands there.

    Raises:
        RunFolderError: the folder belongs to something else.
    """
    wanted = json.loads(json.dumps(about))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        checkpoints.require_same(path.parent, json.loads(path.read_text()), wanted)
    else:
        write_json(path, wanted)


def merge_details(parts: Sequence[Mapping[str, Any]], sizes: Sequence[int]) -> dict[str, Any]:
    """One set of details from those of chunks.

    Values whose key ends in ``_per_image`` are joined and summarised by mean and median; other numbers, and
    lists of numbers, are averaged with the chunks' sizes as weights; whatever else is the same in all chunks.

    Example:
        >>> merge_details([{"a": 1.0, "b_per_image": [1]}, {"a": 4.0, "b_per_image": [2, 6]}], [1, 2])
        {'a': 3.0, 'b_per_image': [1, 2, 6], 'b_mean': 3.0, 'b_median': 2.0}
    """
    merged: dict[str, Any] = {}
    for key, first in parts[0].items():
        values = [part[key] for part in parts]
        if key.endswith(PER_IMAGE):
            joined = [value for part in values for value in part]
            name = key.removesuffix(PER_IMAGE)
            merged |= {key: joined, f"{name}_mean": float(np.mean(joined))}
            merged[f"{name}_median"] = float(np.median(joined))
        elif isinstance(first, (float, list)):
            merged[key] = np.average(np.asarray(values, dtype=float), axis=0, weights=sizes).tolist()
        else:
            merged[key] = first
    return merged


def reconstruct_in_chunks(
    attack: Attack,
    victim: Victim,
    z_NCHW: Tensor,
    folder: Path,
    show: Show,
    *,
    batch: int,
    solve: Solve,
) -> Reconstruction:
    """Solve ``batch`` pictures at a time; chunks that the folder already holds are read back.

    Raises:
        ValueError: features that do not fit the victim.
        RunFolderError: the folder holds reconstructions from other features or with another budget.
        MemoryError: says to lower ``batch``.
    """
    require_features(victim, z_NCHW)
    if victim.device.type == "cpu":
        keep_freed_memory()
    home = folder / attack.name
    claim(
        home / ABOUT,
        {"attack": attack.name, "budget": attack.budget(), "features_sha256": tensor_digest(z_NCHW)},
    )
    parts = torch.split(z_NCHW, batch)
    pictures: list[Tensor] = []
    details: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        path = home / f"chunk-{number:04d}.safetensors"
        if not path.is_file():
            started = time.monotonic()
            with memory_advice(batch):
                made = solve(part.to(victim.device, torch.float32), number)
            seconds = time.monotonic() - started
            write_tensors(path, {"x_NCHW": made.x_NCHW}, {**made.details, "seconds": seconds})
            show(f"{attack.name}  {number + 1}/{len(parts)}  {len(part) / seconds:.1f} images/s")
        tensors, stored = read_tensors(path)
        pictures.append(tensors["x_NCHW"])
        details.append(stored)
    merged = merge_details(details, [len(part) for part in parts])
    merged["seconds"] = sum(part["seconds"] for part in details)
    return Reconstruction(torch.cat(pictures), merged)
