"""What a network says of pictures under several presets, side by side, so that a wrong one is seen.

pictures + labels? -> for each preset: prepare, run whole -> what it says of each, accuracy or confidence
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.data.own import Read, at_most, read_each, stored_pictures
from siftfunnel.lab.split.labels import class_places, label_table, sorted_places
from siftfunnel.lab.split.network import Network
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.pictures import open_image
from siftfunnel.shared.preprocess import prepare
from siftfunnel.shared.tensors import OutputSpec

MOST_PICTURES = 200


Pictures = Read[Image.Image]
"""As they are stored, decoded: each of its own size."""


@dataclass(frozen=True)
class Finding:
    """What a network says under one preset.

    Attributes:
        preset: its name.
        said: of each picture, for people: the likeliest classes, or the length of an embedding.
        figures: by their names: mean confidence, classes named, accuracy, range of each output.
    """

    preset: str
    said: tuple[str, ...]
    figures: Mapping[str, float]


def read_pictures(place: Path, labels: Path | None, most: int = MOST_PICTURES) -> Pictures:
    """Pictures of a folder or tar, evenly spread over it.

    Args:
        place: A folder, whose sub-folders are searched too, or a tar; a sub-folder's name is a label.
        labels: A CSV of NAME,LABEL instead, by the file's name.
        most: Pictures to read at most.

    Raises:
        DataError: no picture there, or none that can be read.
    """
    with stored_pictures(place) as stored:
        read = read_each(at_most(stored, most), open_image, label_table(labels) if labels else None)
    if not read.images:
        reasons = f"; {read.skipped[0]}" if read.skipped else ""
        raise DataError(f"{place}: no picture in it that can be read{reasons}; give a folder or tar of them")
    return read


def odd(pictures: Pictures, network: Network) -> tuple[str, ...]:
    """What is unusual about pictures for this network, for people."""
    facts, count = network.input, len(pictures.images)
    small = sum(image.width < facts.width or image.height < facts.height for image in pictures.images)
    grey = sum(_is_grey(image) for image in pictures.images)
    notes = []
    if small:
        notes.append(f"{small} of {count} pictures are smaller than the input, {facts.height}x{facts.width}")
    if grey and facts.channels == 3:
        notes.append(f"{grey} of {count} pictures are grey, the network takes colours")
    return tuple(notes)


def _is_grey(image: Image.Image) -> bool:
    small = np.asarray(image.resize((32, 32)), np.int16)
    return bool(np.abs(small - small.mean(axis=2, keepdims=True)).max() < 2)


def true_classes(
    pictures: Pictures, scores: OutputSpec | None, ids: Sequence[str], names: Sequence[str]
) -> NDArray[np.int64] | None:
    """The class of each picture; -1 for one without a label, None where labels name no classes.

    A label is what `class_places` takes; without ids and names the sorted labels are the classes where there
    are as many and they are no numbers.
    """
    if scores is None or not any(pictures.labels):
        return None
    count = scores.shape[0] or 0
    classes = class_places(pictures.labels, count, ids, names)
    if not ids and not names and (classes < 0).any():
        in_order = sorted_places(pictures.labels, count)
        classes = classes if in_order is None else in_order
    return classes if (classes >= 0).any() else None


def check(
    network: Network,
    specs: Mapping[str, InputSpec],
    pictures: Pictures,
    *,
    classes: Sequence[str] = (),
    truth: NDArray[np.int64] | None = None,
) -> tuple[Finding, ...]:
    """Run the whole network on pictures under each preset.

    Args:
        network: The network.
        specs: Inputs by the preset's name.
        pictures: To run on.
        classes: Names of the classes, for what is said.
        truth: Class of each picture, -1 where it has none.

    Raises:
        NetworkError: the network refuses the tensors.
    """
    findings = []
    for name, spec in specs.items():
        tensors = np.concatenate([prepare(image, spec).tensor for image in pictures.images])
        findings.append(_finding(name, network, network(tensors), classes, truth))
    return tuple(findings)


def _finding(
    preset: str,
    network: Network,
    outputs: Sequence[NDArray[Any]],
    classes: Sequence[str],
    truth: NDArray[np.int64] | None,
) -> Finding:
    figures: dict[str, float] = {}
    said: list[list[str]] = [[] for _ in outputs[0]]
    for output, values in zip(network.outputs, outputs, strict=True):
        rows = values.astype(np.float64)
        if output.is_scores:
            shares = rows if output.kind == "probabilities" else _softmax(rows)
            figures |= _score_figures(shares, truth)
            told = [_likeliest(share, classes) for share in shares]
        elif output.kind == "embedding":
            lengths = np.linalg.norm(rows, axis=1)
            unit = rows / np.maximum(lengths, 1e-12)[:, None]
            figures[f"{output.name}: mean likeness of two pictures"] = _mean_likeness(unit)
            told = [f"{output.name} of length {length:.2f}" for length in lengths]
        else:
            figures |= {f"{output.name}: least": rows.min(), f"{output.name}: mean": rows.mean()}
            figures[f"{output.name}: most"] = rows.max()
            told = [f"{output.name} {row.min():.2f} to {row.max():.2f}" for row in rows]
        for line, words in zip(said, told, strict=True):
            line.append(words)
    return Finding(preset, tuple("; ".join(line) for line in said), figures)


def _score_figures(shares_NK: NDArray[np.float64], truth: NDArray[np.int64] | None) -> dict[str, float]:
    best = shares_NK.argmax(1)
    figures = {"mean confidence": float(shares_NK.max(1).mean()), "classes named": len(set(best.tolist()))}
    if truth is not None:
        known = truth >= 0
        figures["accuracy"] = float((best[known] == truth[known]).mean())
    return figures


def _softmax(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(rows - rows.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))


def _likeliest(shares: NDArray[np.float64], classes: Sequence[str], count: int = 2) -> str:
    best = shares.argsort()[::-1][:count]
    return ", ".join(f"{classes[i] if i < len(classes) else f'class {i}'} {shares[i]:.0%}" for i in best)


def _mean_likeness(unit_NK: NDArray[np.float64]) -> float:
    """Mean cosine of two different pictures' embeddings; 1.0 for a single picture."""
    count = len(unit_NK)
    if count < 2:
        return 1.0
    return float((np.square(unit_NK.sum(0)).sum() - count) / (count * (count - 1)))


def most_likely(findings: Sequence[Finding]) -> Finding | None:
    """The preset of the best accuracy; None without labels, as confidence does not tell which is right."""
    able = [finding for finding in findings if "accuracy" in finding.figures]
    return max(able, key=lambda finding: finding.figures["accuracy"], default=None)
