"""The twenty people of the shipped task."""

from typing import Any

from siftfunnel.lab.faces.identity import Identity, make_identity

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
