"""Chest X-ray films: class folders or a tar of them, cut by patient, or the authors' npz layout.

Split (*paper*, Table 1): 66.6 % train, 16.7 % test, 16.7 % attacker. A tenth of train validates (*ours*), and
the cut by patient is ours too: with ``groups.csv`` (columns ``file`` and ``group``) no patient is on two
sides.
"""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.data.archives import open_classes
from siftfunnel.lab.data.cache import cached_set
from siftfunnel.lab.data.decoding import read_classes
from siftfunnel.lab.data.images import DataError, ImageSet, Splits, grouped_parts
from siftfunnel.lab.data.npz import load_parts_npz
from siftfunnel.lab.data.places import find, require_data

NPZ, ROOMS, GROUPS = "xray_dataset.npz", ("chest_xray", "chest"), "groups.csv"
SHARES = (0.6, 1 / 15, 1 / 6, 1 / 6)
SPLIT_SEED = 20241
BY_IMAGE_NOTE = f"chest films without {GROUPS} are split by image: a patient may be on two sides"


def read_groups(path: Path, names: Sequence[str]) -> NDArray[np.int64]:
    """Group of each picture, numbered from 0, from a CSV with the columns ``file`` and ``group``.

    Args:
        path: The CSV.
        names: ``<class>/<file>`` of the pictures.

    Raises:
        DataError: a column is missing, or pictures without a group (the first few are named).
    """
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        if not {"file", "group"} <= set(rows.fieldnames or ()):
            raise DataError(f"{path}: needs the columns file and group, has {rows.fieldnames}")
        group_of = {row["file"]: row["group"] for row in rows if row["group"]}
    without = [name for name in names if name not in group_of]
    if without:
        raise DataError(
            f"{path}: no group for {len(without)} of {len(names)} pictures: {', '.join(without[:5])}"
            + (f" and {len(without) - 5} more" if len(without) > 5 else "")
        )
    _, numbers = np.unique([group_of[name] for name in names], return_inverse=True)
    return numbers.astype(np.int64)


def _names(source: Path) -> list[str]:
    with open_classes(source) as pictures:
        return [picture.name for picture in pictures]


def split_films(films: ImageSet, groups_N: NDArray[np.int64], seed: int = SPLIT_SEED) -> Splits:
    """Cut films by group into train, validation, test and auxiliary, 60 : 6.7 : 16.7 : 16.7 of each class."""
    return Splits.of(films.take(part) for part in grouped_parts(films.labels, groups_N, SHARES, seed))


def load_chest(data: Path | None, cache: Path | None, size: int | None = None) -> Splits:
    """Chest films from ``data`` or its ``chest_xray`` directory; grey values stand in all three channels.

    The first that is there of ``xray_dataset.npz``, ``images.tar`` and ``images/<class>/<file>``.
    """
    data = require_data(data, "chest", f"{NPZ}, or images.tar or images/<class>/<file> with {GROUPS},")
    arrays = data if data.is_file() else find(data, (NPZ,), ROOMS)
    if arrays is not None:
        return load_parts_npz(arrays, (), cache, size)
    source = find(data, ("images.tar", "images"), ROOMS)
    if source is None:
        raise DataError(f"{data}: no chest films here; expected {NPZ}, images.tar or images/<class>/<file>")
    films = cached_set(cache, "chest", [source], size, lambda: read_classes(source, size))
    groups = source.parent / GROUPS
    if not groups.is_file():
        return replace(split_films(films, np.arange(len(films))), notes=(BY_IMAGE_NOTE,))
    return split_films(films, read_groups(groups, _names(source)))
