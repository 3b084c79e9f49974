import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siftfunnel.lab.data.images import DataError, ImageSet, Splits, evenly_spread, grouped_parts


def labelled(labels: list[int], classes: tuple[str, ...] = ("a", "b", "c")) -> ImageSet:
    pixels = np.arange(len(labels) * 12, dtype=np.int64).astype(np.uint8).reshape(-1, 2, 2, 3)
    return ImageSet(pixels, np.array(labels, dtype=np.int64), classes)


def same_splits(images: ImageSet) -> Splits:
    return Splits(images, images, images, images, ("a note",))


def test_even_spacing_in_class_order_takes_the_same_of_every_class() -> None:
    labels = np.repeat(np.arange(10), 500)
    chosen = evenly_spread(labels, 256)
    assert np.bincount(labels[chosen]).tolist() == [26, 26, 25, 26, 25, 26, 26, 25, 26, 25]
    assert np.unique(np.diff(chosen)).tolist() == [19, 20]


def test_even_spacing_does_not_beat_with_classes_that_take_turns() -> None:
    labels = np.arange(1000) % 20
    assert np.bincount(labels[evenly_spread(labels, 50)], minlength=20).tolist() == [3, 2] * 10


@settings(max_examples=25)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), st.data())
def test_a_spread_is_distinct_rising_and_keeps_every_class_share(
    labels: list[int], data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(labels)))
    array = np.array(labels, dtype=np.int64)
    chosen = evenly_spread(array, count)
    assert len(chosen) == count
    assert (np.diff(chosen) > 0).all()
    shares = np.bincount(array, minlength=5) * count / len(labels)
    assert (np.abs(np.bincount(array[chosen], minlength=5) - shares) < 1).all()


def test_the_fair_order_is_the_same_however_the_pictures_were_stored() -> None:
    rng = np.random.default_rng(0)
    stored = ImageSet(
        rng.integers(0, 256, (400, 4, 4, 3), dtype=np.uint8), np.repeat(np.arange(4), 100), tuple("abcd")
    )
    fair = stored.in_fair_order()
    shuffled = stored.take(rng.permutation(400)).in_fair_order()
    assert fair.pixels_sha256() == shuffled.pixels_sha256()
    assert fair.labels.tolist() == shuffled.labels.tolist()
    assert sorted(p.tobytes() for p in fair.images_NHWC) == sorted(p.tobytes() for p in stored.images_NHWC)


def test_any_stretch_of_the_fair_order_is_a_fair_sample_of_the_classes() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 500)
    pixels = rng.integers(0, 256, (2000, 4, 4, 3), dtype=np.uint8)
    fair = ImageSet(pixels, labels, tuple("abcd")).in_fair_order()
    for start in range(0, 2000, 200):
        # 50 of each are expected, with a standard deviation of 6
        counts = np.bincount(fair.labels[start : start + 200], minlength=4)
        assert 20 < counts.min() <= counts.max() < 80


@pytest.mark.parametrize("count", [0, -1, 4])
def test_a_spread_of_none_or_of_more_than_there_is_is_refused(count: int) -> None:
    with pytest.raises(DataError, match="3 are there"):
        evenly_spread(np.zeros(3, np.int64), count)


def test_limited_cuts_each_part_by_itself_and_keeps_the_notes() -> None:
    splits = same_splits(labelled([0, 1, 2] * 4)).limited(train=6, test=3, auxiliary=100)
    assert splits.sizes() == {"train": 6, "validation": 12, "test": 3, "auxiliary": 12}
    assert sorted(splits.test.labels.tolist()) == [0, 1, 2]
    assert splits.notes == ("a note",)
    with pytest.raises(DataError, match="0 pictures wanted"):
        splits.limited(train=0)


def test_provenance_names_pictures_and_the_hash_of_their_pixels() -> None:
    images = labelled([0, 1])
    found = same_splits(images).provenance()
    digest = hashlib.sha256(bytes(range(24))).hexdigest()
    assert found["test"] == {"pictures": 2, "pixels_sha256": digest}
    assert found["notes"] == ["a note"]
    # the hash is that of the pixels in their order, also of a view that is not contiguous
    assert images.take(slice(None, None, -1)).pixels_sha256() != digest


def test_missing_classes_are_those_without_pictures() -> None:
    assert labelled([0, 2, 2]).missing_classes() == ("b",)
    assert labelled([0, 1, 2]).missing_classes() == ()


def test_one_picture_per_group_is_a_stratified_split() -> None:
    labels = np.repeat([0, 1], [20, 500])
    parts = grouped_parts(labels, np.arange(520), (0.72, 0.08, 0.2), seed=0)
    assert [np.bincount(labels[part]).tolist() for part in parts] == [[14, 360], [2, 40], [4, 100]]


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=150),
    st.integers(0, 2**32 - 1),
)
def test_groups_stay_together_and_the_split_repeats(pairs: list[tuple[int, int]], seed: int) -> None:
    labels = np.array([label for label, _ in pairs], dtype=np.int64)
    groups = np.array([group for _, group in pairs], dtype=np.int64)
    parts = grouped_parts(labels, groups, (0.6, 0.1, 0.3), seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(pairs)))
    sides = [set(groups[part].tolist()) for part in parts]
    assert sum(len(side) for side in sides) == len(set.union(*sides))
    for one, other in zip(parts, grouped_parts(labels, groups, (0.6, 0.1, 0.3), seed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_seeds_give_other_splits() -> None:
    labels = np.zeros(100, np.int64)
    one, other = (grouped_parts(labels, np.arange(100), (0.5, 0.5), seed) for seed in (0, 1))
    assert set(one[0].tolist()) != set(other[0].tolist())
