"""Real faces of twenty people, with an attacker who owns aligned faces of others, or crops of another kind.

``target.tar``, ``auxiliary_same_domain.tar`` and ``auxiliary_other_domain.tar`` of class folders stand in for
FaceScrub and CelebA. Split: 80/20 by image as FaceScrub's (*paper*), per person, a tenth of the 80 validating
(*ours*): 72 : 8 : 20. People have 20 to 619 pictures: report balanced accuracy beside plain accuracy.
"""

from pathlib import Path

import numpy as np

from siftfunnel.lab.data.cache import cached_set
from siftfunnel.lab.data.decoding import read_classes
from siftfunnel.lab.data.images import DataError, ImageSet, Splits, grouped_parts
from siftfunnel.lab.data.places import find, require_data

SHARES = (0.72, 0.08, 0.20)
SPLIT_SEED = 20241
TARGET, SAME_DOMAIN, OTHER_DOMAIN = "target", "auxiliary_same_domain", "auxiliary_other_domain"


def _read(data: Path, name: str, cache: Path | None, size: int | None) -> ImageSet:
    path = find(data, (f"{name}.tar",), ("faces",))
    if path is None:
        raise DataError(f"{data}: {name}.tar is not there, nor in {data / 'faces'}")
    return cached_set(cache, f"faces-{name}", [path], size, lambda: read_classes(path, size))


def _load(data: Path | None, cache: Path | None, size: int | None, dataset: str, auxiliary: str) -> Splits:
    data = require_data(data, dataset, f"{TARGET}.tar and {auxiliary}.tar")
    target = _read(data, TARGET, cache, size)
    parts = grouped_parts(target.labels, np.arange(len(target)), SHARES, SPLIT_SEED)
    train, validation, test = (target.take(part) for part in parts)
    return Splits(train, validation, test, _read(data, auxiliary, cache, size))


def load_faces(data: Path | None, cache: Path | None, size: int | None = None) -> Splits:
    """The twenty people; the attacker owns aligned faces of four others from the same source."""
    return _load(data, cache, size, "faces", SAME_DOMAIN)


def load_faces_other_domain(data: Path | None, cache: Path | None, size: int | None = None) -> Splits:
    """The same target split as ``faces``; the attacker owns unaligned crops of 99 others."""
    return _load(data, cache, size, "faces-other-domain", OTHER_DOMAIN)
