"""Labelled sets of drawn pictures: of the twenty, and of strangers."""

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.faces.cast import TARGET_NAMES, target
from siftfunnel.lab.faces.identity import Identity, make_identity
from siftfunnel.lab.faces.rendering import render

Pictures = NDArray[np.uint8]
Labels = NDArray[np.int64]

SPLITS = ("train", "validation", "test", "demo")
_PICTURE_STREAM = 0x91C7
_AUXILIARY_STREAM = 0xA0
_AUXILIARY_SEEDS = 1_000_000


def draw_split(split: str, per_identity: int, seed: int) -> tuple[Pictures, Labels]:
    """Draw a labelled set of the twenty; the sets of one seed share no picture between splits.

    Args:
        split: one of `SPLITS`.
        per_identity: pictures of each person.
        seed: seed of the whole set.

    Returns:
        Pictures, uint8 of shape (20 * per_identity, 64, 64, 3), and labels, indices into `TARGET_NAMES`, in
        order. A longer set begins, for each person, with the pictures of a shorter one.

    Raises:
        ValueError: for an unknown split or a count below one.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
    people = [target(name) for name in TARGET_NAMES]
    return _draw_set(people, per_identity, (_PICTURE_STREAM, seed, SPLITS.index(split)))


def draw_auxiliary(identities: int, per_identity: int, seed: int) -> tuple[Pictures, Labels]:
    """Draw a set of strangers, as an attacker would gather it: nobody in it belongs to the twenty.

    Args:
        identities: how many people.
        per_identity: pictures of each.
        seed: seed of the set; other seeds give other people.

    Returns:
        Pictures, uint8 of shape (identities * per_identity, 64, 64, 3), and labels 0 ... identities - 1.

    Raises:
        ValueError: for a count below one.
    """
    if identities < 1:
        raise ValueError(f"an auxiliary set needs at least one person, got {identities}")
    first = _AUXILIARY_SEEDS * (1 + seed)
    people = [make_identity(first + i) for i in range(identities)]
    return _draw_set(people, per_identity, (_PICTURE_STREAM, seed, _AUXILIARY_STREAM))


def _draw_set(people: list[Identity], per_identity: int, stream: tuple[int, ...]) -> tuple[Pictures, Labels]:
    if per_identity < 1:
        raise ValueError(f"a set needs at least one picture per person, got {per_identity}")
    drawn = [_draw_person(person, per_identity, (*stream, i)) for i, person in enumerate(people)]
    return np.concatenate(drawn), np.repeat(np.arange(len(people), dtype=np.int64), per_identity)


def _draw_person(person: Identity, count: int, stream: tuple[int, ...]) -> Pictures:
    return np.stack([render(person, np.random.default_rng((*stream, k))) for k in range(count)])
