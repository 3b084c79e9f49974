"""Files of classes and labels, and which class a picture's label names."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.data.images import DataError


def label_table(path: Path) -> dict[str, str]:
    """Labels by the pictures' file names, from a CSV of NAME,LABEL.

    Raises:
        DataError: a line of another kind, or none.
    """
    rows = _rows(path)
    if not rows or any(len(row) != 2 for row in rows):
        raise DataError(f"{path}: a line for each picture is wanted, NAME,LABEL")
    return {Path(name).name: label for name, label in rows}


def class_places(
    labels: Sequence[str], count: int, ids: Sequence[str], names: Sequence[str]
) -> NDArray[np.int64]:
    """The class of each picture, -1 for a label that names none.

    A label is a class's id, its name where no other has it, or its number; what fits most labels is taken.

    >>> class_places(["sea", "1", ""], 2, (), ("crane", "sea")).tolist()
    [1, -1, -1]
    """
    told = {name: place for place, name in enumerate(names) if list(names).count(name) == 1}
    told |= {identity: place for place, identity in enumerate(ids)}
    numbers = {str(place): place for place in range(count)}
    return max(
        (_looked_up(labels, known) for known in (told, numbers)), key=lambda found: int((found >= 0).sum())
    )


def sorted_places(labels: Sequence[str], count: int) -> NDArray[np.int64] | None:
    """The class of each picture where the sorted labels are as many as there are classes, else None."""
    distinct = sorted({label for label in labels if label})
    if len(distinct) != count:
        return None
    return _looked_up(labels, {label: place for place, label in enumerate(distinct)})


def _looked_up(labels: Sequence[str], known: Mapping[str, int]) -> NDArray[np.int64]:
    return np.array([known.get(label, -1) for label in labels], np.int64)


def read_classes(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids (none where the file has none) and names of classes, in the order of the scores.

    Raises:
        ValueError: an empty file, or lines of differing kinds.
    """
    rows = _rows(path)
    if not rows or len({len(row) for row in rows}) != 1 or len(rows[0]) > 2:
        raise ValueError(f"{path}: a line for each class is wanted, NAME or ID,NAME")
    names = tuple(row[-1] for row in rows)
    return (tuple(row[0] for row in rows), names) if len(rows[0]) == 2 else ((), names)


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [[cell.strip() for cell in row] for row in csv.reader(file) if any(map(str.strip, row))]
