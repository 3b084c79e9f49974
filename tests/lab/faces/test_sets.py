"""The labelled sets: who is in them, that they repeat, and that they do not overlap."""

import numpy as np
import pytest

from siftfunnel.lab.faces import TARGET_NAMES, draw_auxiliary, draw_split, make_identity
from siftfunnel.lab.faces.cast import target
from siftfunnel.lab.faces.sets import SPLITS, Pictures


def _distinct(pictures: Pictures) -> set[bytes]:
    return {picture.tobytes() for picture in pictures}


def test_the_cast_is_twenty_people_in_alphabetical_order() -> None:
    assert len(TARGET_NAMES) == 20
    assert len(set(TARGET_NAMES)) == 20
    assert list(TARGET_NAMES) == sorted(TARGET_NAMES)
    assert TARGET_NAMES[:3] == ("ada", "boris", "chidi")


def test_a_split_holds_everyone_equally_often_in_order() -> None:
    pictures, labels = draw_split("test", 2, seed=5)
    assert pictures.shape == (40, 64, 64, 3)
    assert pictures.dtype == np.uint8
    assert labels.dtype == np.int64
    assert labels.tolist() == [i // 2 for i in range(40)]


def test_the_same_seed_draws_the_same_bytes() -> None:
    first, _ = draw_auxiliary(identities=4, per_identity=2, seed=11)
    second, _ = draw_auxiliary(identities=4, per_identity=2, seed=11)
    assert first.tobytes() == second.tobytes()


def test_no_picture_occurs_in_two_splits_or_under_two_seeds() -> None:
    pairs = [*((split, 0) for split in SPLITS), ("train", 1)]
    drawn = [draw_split(split, 1, seed)[0] for split, seed in pairs]
    assert len(_distinct(np.concatenate(drawn))) == 20 * len(pairs)


def test_a_longer_set_begins_with_the_pictures_of_a_shorter_one() -> None:
    short, _ = draw_auxiliary(identities=3, per_identity=1, seed=3)
    long, _ = draw_auxiliary(identities=3, per_identity=2, seed=3)
    assert np.array_equal(long[::2], short)


def test_the_auxiliary_set_shows_strangers_only() -> None:
    pictures, labels = draw_auxiliary(identities=6, per_identity=2, seed=0)
    assert pictures.shape == (12, 64, 64, 3)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert len(_distinct(pictures)) == 12
    cast = {target(name) for name in TARGET_NAMES}
    strangers = {make_identity(seed) for seed in range(1_000_000, 1_000_200)}
    assert len(strangers) == 200
    assert not cast & strangers


def test_another_auxiliary_seed_brings_other_people() -> None:
    first, _ = draw_auxiliary(identities=3, per_identity=1, seed=0)
    second, _ = draw_auxiliary(identities=3, per_identity=1, seed=1)
    assert len(_distinct(np.concatenate((first, second)))) == 6


def test_an_unknown_split_is_named_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match="unknown split 'trian'; choose one of train, validation, test, demo"
    ):
        draw_split("trian", 1, seed=0)


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one picture per person, got 0"):
        draw_split("train", 0, seed=0)
    with pytest.raises(ValueError, match="at least one person, got 0"):
        draw_auxiliary(0, 1, seed=0)


def test_nobody_else_is_in_the_cast() -> None:
    with pytest.raises(ValueError, match="nobody is called 'zoe'; the cast is ada, boris"):
        target("zoe")


def test_a_nearest_neighbour_tells_people_apart_and_the_mean_colour_does_not() -> None:
    train, train_labels = draw_split("train", 6, seed=0)
    test, test_labels = draw_split("test", 2, seed=0)
    assert _nearest_mean_accuracy(_blocks(train, 8), train_labels, _blocks(test, 8), test_labels) > 0.5
    assert _nearest_mean_accuracy(_blocks(train, 1), train_labels, _blocks(test, 1), test_labels) < 0.3


def _blocks(pictures: Pictures, count: int) -> np.ndarray:
    edge = 64 // count
    return pictures.reshape(-1, count, edge, count, edge, 3).mean(axis=(2, 4)).reshape(len(pictures), -1)


def _nearest_mean_accuracy(x: np.ndarray, y: np.ndarray, probe: np.ndarray, truth: np.ndarray) -> float:
    spread = np.concatenate([x[y == label] - x[y == label].mean(axis=0) for label in range(20)]).std(axis=0)
    means = np.stack([x[y == label].mean(axis=0) for label in range(20)])
    distance = (((probe[:, None] - means[None]) / (spread + 1.0)) ** 2).sum(axis=2)
    return float((distance.argmin(axis=1) == truth).mean())
