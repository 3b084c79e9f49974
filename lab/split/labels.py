"""Which class a picture's label names: for accuracies, and for a network that is trained on."""

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
    with path.open(newline="", encoding="utf-8") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
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
