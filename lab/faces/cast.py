"""The twenty people of the shipped task, and the labelled sets drawn of them and of strangers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.faces.identity import Identity, make_identity
from lab.faces.rendering import render

Pictures = NDArray[np.uint8]
Labels = NDArray[np.int64]

SPLITS = ("train", "validation", "test", "demo")
_PICTURE_STREAM = 0x91C7
_AUXILIARY_STREAM = 0xA0
_AUXILIARY_SEEDS = 1_000_000

_F: dict[str, Any] = {"feminine": True, "freckles": 0.0}
_M: dict[str, Any] = {"feminine": False, "freckles": 0.0, "earrings": False}
_CAST: dict[str, dict[str, Any]] = {
    "ada": _F
    | {
        "skin_tone": 1,
        "hair_name": "auburn",
        "hair_style": "bob",
        "age": 0.25,
        "glasses": "round",
        "iris_name": "green",
    },
    "boris": _M
    | {
        "skin_tone": 2,
        "hair_name": "grey",
        "hair_style": "receding",
        "age": 0.7,
        "beard": "full",
        "glasses": "none",
    },
    "chidi": _M
    | {
        "skin_tone": 8,
        "hair_name": "black",
        "hair_style": "crew",
        "age": 0.25,
        "beard": "none",
        "glasses": "square",
    },
    "dalia": _F
    | {
        "skin_tone": 4,
        "hair_name": "espresso",
        "hair_style": "wavy",
        "age": 0.25,
        "glasses": "none",
        "earrings": True,
    },
    "emil": _M
    | {
        "skin_tone": 0,
        "hair_name": "ginger",
        "hair_style": "tousled",
        "age": 0.1,
        "beard": "none",
        "freckles": 0.9,
        "brow_tilt": -0.1,
        "glasses": "none",
    },
    "farah": _F
    | {"skin_tone": 3, "hair_name": "teal", "hair_style": "scarf", "age": 0.25, "glasses": "none"},
    "goro": _M
    | {
        "skin_tone": 2,
        "hair_name": "black",
        "hair_style": "quiff",
        "age": 0.25,
        "beard": "stubble",
        "glasses": "none",
        "iris_name": "dark",
    },
    "hilda": _F
    | {
        "skin_tone": 1,
        "hair_name": "white",
        "hair_style": "bun",
        "age": 0.95,
        "lip_colour": (196, 84, 92),
        "glasses": "half",
    },
    "idris": _M
    | {
        "skin_tone": 7,
        "hair_name": "black",
        "hair_style": "shaved",
        "age": 0.45,
        "beard": "goatee",
        "glasses": "none",
    },
    "junko": _F
    | {
        "skin_tone": 1,
        "hair_name": "black",
        "hair_style": "fringe",
        "age": 0.1,
        "glasses": "none",
        "iris_name": "dark",
    },
    "kofi": _M
    | {
        "skin_tone": 6,
        "hair_name": "espresso",
        "hair_style": "shortcurls",
        "age": 0.1,
        "beard": "none",
        "glasses": "round",
    },
    "lena": _F
    | {
        "skin_tone": 0,
        "hair_name": "blond",
        "hair_style": "long",
        "age": 0.25,
        "glasses": "none",
        "iris_name": "blue",
    },
    "marco": _M
    | {
        "skin_tone": 3,
        "hair_name": "chestnut",
        "hair_style": "sidepart",
        "age": 0.45,
        "beard": "moustache",
        "brow_tilt": -0.08,
        "glasses": "none",
    },
    "nia": _F
    | {
        "skin_tone": 7,
        "hair_name": "black",
        "hair_style": "afro",
        "age": 0.25,
        "glasses": "none",
        "earrings": True,
    },
    "olaf": _M
    | {
        "skin_tone": 1,
        "hair_name": "sand",
        "hair_style": "bald",
        "age": 0.45,
        "beard": "long",
        "glasses": "none",
        "iris_name": "blue",
    },
    "priya": _F
    | {"skin_tone": 5, "hair_name": "black", "hair_style": "braids", "age": 0.1, "glasses": "none"},
    "quentin": _M
    | {
        "skin_tone": 2,
        "hair_name": "sand",
        "hair_style": "shoulder",
        "age": 0.25,
        "beard": "goatee",
        "glasses": "square",
    },
    "rosa": _F
    | {"skin_tone": 5, "hair_name": "chestnut", "hair_style": "curls", "age": 0.45, "glasses": "cat"},
    "stellan": _M
    | {
        "skin_tone": 0,
        "hair_name": "white",
        "hair_style": "sidepart",
        "age": 0.95,
        "beard": "none",
        "glasses": "half",
    },
    "tove": _F
    | {
        "skin_tone": 2,
        "hair_name": "plum",
        "hair_style": "pixie",
        "age": 0.25,
        "glasses": "none",
        "iris_name": "grey",
    },
}

TARGET_NAMES: tuple[str, ...] = tuple(sorted(_CAST))


def target(name: str) -> Identity:
    """The person of a name.

    Raises:
        ValueError: for a name that is not in `TARGET_NAMES`.
    """
    if name not in _CAST:
        raise ValueError(f"nobody is called {name!r}; the cast is {', '.join(TARGET_NAMES)}")
    return make_identity(TARGET_NAMES.index(name), **_CAST[name])


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
