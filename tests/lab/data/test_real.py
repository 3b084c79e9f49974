"""The real stand-ins below SIFTFUNNEL_TEST_DATA; SIFTFUNNEL_CACHE, when set, keeps them decoded."""

import csv
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from siftfunnel.lab.data.chest import read_groups
from siftfunnel.lab.data.datasets import load_splits
from siftfunnel.lab.data.images import Splits

VARIABLE, CACHE_VARIABLE = "SIFTFUNNEL_TEST_DATA", "SIFTFUNNEL_CACHE"
DATA = Path(os.environ.get(VARIABLE, "."))
pytestmark = [
    pytest.mark.skipif(VARIABLE not in os.environ, reason=f"set {VARIABLE} to the stand-ins' directory"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(os.environ.get(CACHE_VARIABLE) or tmp_path_factory.mktemp("cache"))


def shared_pictures(splits: Splits) -> int:
    """How many pictures of one part are in another."""
    sets = [{p.tobytes() for p in part.images_NHWC} for part in splits.parts().values()]
    return sum(len(part) for part in sets) - len(set.union(*sets))


def test_cifar10_is_cut_as_the_lab_always_cut_it(cache: Path) -> None:
    splits = load_splits("cifar10", DATA, cache)
    assert splits.sizes() == {"train": 36_000, "validation": 4_000, "test": 5_000, "auxiliary": 10_000}
    order = np.random.default_rng(20241).permutation(50_000)
    # 5,000 of each class in class order
    assert (splits.train.labels == order[:36_000] // 5_000).all()
    assert (splits.auxiliary.labels == order[40_000:] // 5_000).all()
    assert np.bincount(splits.limited(test=256).test.labels).min() == 25


def test_faces_are_twenty_people_and_two_kinds_of_strangers(cache: Path) -> None:
    same, other = (load_splits(name, DATA, cache) for name in ("faces", "faces-other-domain"))
    assert sum(same.sizes().values()) == 5_785 + 2_907
    assert (len(same.auxiliary), len(other.auxiliary)) == (2_907, 1_221)
    assert len(same.train.classes) == 20
    assert same.test.pixels_sha256() == other.test.pixels_sha256()
    for part in (same.train, same.validation, same.test):
        assert part.missing_classes() == ()
    assert shared_pictures(same) == 0


def test_chest_films_of_a_patient_are_on_one_side(cache: Path) -> None:
    splits = load_splits("chest", DATA, cache, size=32)
    assert sum(splits.sizes().values()) == 1_405
    assert splits.train.classes == ("covid19", "normal", "pneumonia_unspecified", "viral_pneumonia")
    for part in splits.parts().values():
        assert part.missing_classes() == ()
    shares = np.array(list(splits.sizes().values())) / 1_405
    np.testing.assert_allclose(shares, [0.6, 1 / 15, 1 / 6, 1 / 6], atol=0.01)


def test_groups_of_the_real_csv_are_those_it_lists() -> None:
    path = DATA / "chest_xray/groups.csv"
    files = defaultdict(set)
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            files[row["group"]].add(row["file"])
    names = sorted(name for group in files.values() for name in group)
    numbers = read_groups(path, names)
    assert len(names) == 1_405
    assert int(numbers.max()) + 1 == len(files) == 1_088
