"""A run folder of a split: what was cut where, the funnel and its rate points.

RUN/run.json              network, cut, input, outputs, pictures, points with their codecs, figures
RUN/funnel.safetensors    the funnel's matrices; absent where there is none
RUN/edge.onnx, cloud.onnx both halves without a funnel, as they were cut
RUN/weights.safetensors   what fine-tuning made of the cloud half's weights; absent where it is the original's
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors import numpy as stored_arrays
from safetensors.torch import load_file, save_file
from torch import Tensor

from siftfunnel.lab.attacks.chunks import write_json
from siftfunnel.lab.onnx_graphs import copy_of
from siftfunnel.lab.split.features import Ends
from siftfunnel.lab.split.fit_steps import ABOUT, STEPS
from siftfunnel.lab.split.funnel import Funnel
from siftfunnel.lab.split.halves import Halves, with_weights
from siftfunnel.lab.split.linear import Refinement, TensorFunnel
from siftfunnel.lab.split.points import Point
from siftfunnel.lab.split.settings import Target
from siftfunnel.lab.training.checkpoints import RUN, RunFolderError
from siftfunnel.shared import manifest_fields as told
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.json_fields import Fields
from siftfunnel.shared.tensors import OutputSpec, TensorSpec

FUNNEL, EDGE, CLOUD, WEIGHTS = "funnel.safetensors", "edge.onnx", "cloud.onnx", "weights.safetensors"
_PARTS = ("encode_KI", "decode_IK", "mean_I", "variances_K")
SCHEMA = 2
"""Of the manifest, whose words are used."""


@dataclass(frozen=True)
class SplitRun:
    """What a run folder holds.

    Attributes:
        network: Name of the network, for people.
        original_sha256: Of its file; None for halves that were brought cut already.
        cut: The cut's name.
        spec: The input.
        halves: Both of the original, without a funnel.
        pictures: The folder or tar of pictures.
        macs: Multiply-adds of the device's half (without a funnel) and of the whole network.
        funnel: None where the network is only cut.
        points: Rate points, the default one first.
        classes: Names of the classes, as they were given.
        class_ids: What tells them apart, where the names do not.
        about: Figures and notes.
        labels: A CSV of the pictures' labels, where their folders do not say them.
        weights: Of the cloud half after fine-tuning, by initialiser; empty where it is the original's.
    """

    network: str
    original_sha256: str | None
    cut: str
    spec: InputSpec
    halves: Halves
    pictures: Path
    macs: tuple[int, int]
    funnel: Funnel | None = None
    points: tuple[Point, ...] = ()
    classes: tuple[str, ...] = ()
    class_ids: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    labels: Path | None = None
    weights: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @cached_property
    def ends(self) -> Ends:
        """Both halves of the original, ready to run: the uncut network."""
        return Ends(self.halves)

    @property
    def own_halves(self) -> Halves:
        """What is served: the original's halves, or those that were fine-tuned."""
        return with_weights(self.halves, self.weights)

    @cached_property
    def own_ends(self) -> Ends:
        """`own_halves`, ready to run."""
        return Ends(self.own_halves) if self.weights else self.ends

    @property
    def sent(self) -> tuple[TensorSpec, ...]:
        """What crosses the wire."""
        return tuple(part.sent for part in self.funnel.parts) if self.funnel else self.halves.tensors


def require_own(folder: Path) -> None:
    """Refuse a folder in which a run would replace files that are of no split.

    Raises:
        RunFolderError: there are such files, or it is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{folder}: is no folder and is left alone; name a new one")
    there = [name for name in (RUN, EDGE, CLOUD, FUNNEL) if (folder / name).exists()]
    if there and not _is_split(folder):
        raise RunFolderError(
            f"{folder}: holds {there[0]!r}, which is of no split, and is left alone; name a new or empty "
            "folder"
        )


def _is_split(folder: Path) -> bool:
    # a fit that was stopped while it wrote its run has its steps still
    if (folder / STEPS / ABOUT).is_file():
        return True
    try:
        return bool(json.loads((folder / RUN).read_text())["kind"] == "split")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def save_run(folder: Path, run: SplitRun) -> None:
    """Write a run folder; `run.json` comes last, so that a folder with it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, half in ((EDGE, run.halves.edge), (CLOUD, run.halves.cloud)):
        onnx.save_model(copy_of(half), str(folder / name))
    if run.funnel is not None:
        save_file(_matrices(run.funnel), folder / FUNNEL)
    if run.weights:
        stored_arrays.save_file(dict(run.weights), folder / WEIGHTS)
    write_json(folder / RUN, _as_json(run))


def _matrices(funnel: Funnel) -> dict[str, Tensor]:
    stored: dict[str, Tensor] = {}
    for number, part in enumerate(funnel.parts):
        refined = vars(part.refinement) if part.refinement else {}
        values = {name: getattr(part, name) for name in _PARTS} | refined
        stored |= {f"{number}.{name}": value.contiguous() for name, value in values.items()}
    return stored


def load_run(folder: Path) -> SplitRun:
    """Read a run folder.

    Raises:
        RunFolderError: it holds no split, or one that is damaged.
    """
    try:
        stored = json.loads((folder / RUN).read_text())
        if stored.get("kind") != "split":
            raise RunFolderError(f"{folder} holds another kind of run; give one of `siftfunnel split fit`")
        return _from_json(folder, stored)
    except (FileNotFoundError, NotADirectoryError) as error:
        missing = Path(str(error.filename)).name
        raise RunFolderError(
            f"{folder} holds no finished split ({missing} is missing); `siftfunnel split fit` makes one"
        ) from error
    except (KeyError, ValueError) as error:
        if isinstance(error, RunFolderError):
            raise
        raise RunFolderError(f"{folder}: {error}; fit it again") from error


def _as_json(run: SplitRun) -> dict[str, Any]:
    return {
        "kind": "split",
        "network": run.network,
        "original_sha256": run.original_sha256,
        "cut": run.cut,
        "input": told.input_as_json(run.spec, SCHEMA),
        "tensors": [told.as_json(tensor) for tensor in run.halves.tensors],
        "outputs": [told.as_json(output) for output in run.halves.outputs],
        "frames_per_run": run.halves.frames_per_run,
        "difference": run.halves.difference,
        "sides": [part.side for part in run.funnel.parts] if run.funnel else None,
        "importance": run.funnel.importance if run.funnel else None,
        "pictures": str(run.pictures),
        "labels": None if run.labels is None else str(run.labels),
        "finetuned": bool(run.weights),
        "classes": list(run.classes),
        "class_ids": list(run.class_ids),
        "macs": list(run.macs),
        "about": dict(run.about),
        "points": [
            {
                "name": point.target.name,
                "bytes": point.target.bytes,
                "agreement": point.target.agreement,
                "step": point.step,
                "codec": told.as_json(point.spec),
            }
            for point in run.points
        ],
    }


def _from_json(folder: Path, stored: Mapping[str, Any]) -> SplitRun:
    def fields(values: Mapping[str, Any]) -> Fields:
        return Fields(dict(values), str(folder / RUN))

    tensors = tuple(told.read_tensor(fields(tensor)) for tensor in stored["tensors"])
    outputs: tuple[OutputSpec, ...] = tuple(told.read_output(fields(o)) for o in stored["outputs"])
    halves = Halves(
        onnx.load(str(folder / EDGE)),
        onnx.load(str(folder / CLOUD)),
        tensors,
        outputs,
        None,
        stored["frames_per_run"],
        stored["difference"],
    )
    points = tuple(
        Point(
            Target(point["name"], point["bytes"], point["agreement"]),
            point["step"],
            told.read_codec(fields(point["codec"])),
        )
        for point in stored["points"]
    )
    on_device, whole = stored["macs"]
    return SplitRun(
        network=stored["network"],
        original_sha256=stored["original_sha256"],
        cut=stored["cut"],
        spec=told.read_input(fields(stored["input"]), SCHEMA),
        halves=halves,
        pictures=Path(stored["pictures"]),
        macs=(on_device, whole),
        funnel=_funnel(folder, tensors, stored) if stored["sides"] else None,
        points=points,
        classes=tuple(stored["classes"]),
        class_ids=tuple(stored["class_ids"]),
        about=stored["about"],
        labels=Path(stored["labels"]) if stored.get("labels") else None,
        weights=stored_arrays.load_file(folder / WEIGHTS) if stored.get("finetuned") else {},
    )


def _funnel(folder: Path, tensors: Sequence[TensorSpec], stored: Mapping[str, Any]) -> Funnel:
    held = load_file(folder / FUNNEL)
    parts = []
    for number, (tensor, side) in enumerate(zip(tensors, stored["sides"], strict=True)):
        matrices = {name: held[f"{number}.{name}"] for name in _PARTS}
        parts.append(TensorFunnel(tensor, side, **matrices, refinement=_refinement(held, number)))
    return Funnel(tuple(parts), stored["importance"])


def _refinement(held: Mapping[str, Tensor], number: int) -> Refinement | None:
    names = [f"{number}.{name}" for name in Refinement.__dataclass_fields__]
    return Refinement(*(held[name] for name in names)) if names[0] in held else None
