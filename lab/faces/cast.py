"""The twenty people of the shipped task; ``people.toml`` has their traits."""

import tomllib
from pathlib import Path
from typing import Any

from siftfunnel.lab.faces.identity import Identity, make_identity

_PEOPLE: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("people.toml").read_text(encoding="utf-8")
)
TARGET_NAMES: tuple[str, ...] = tuple(sorted(_PEOPLE))


def target(name: str) -> Identity:
    """The person of a name.

    Raises:
        ValueError: for a name that is not in `TARGET_NAMES`.
    """
    if name not in _PEOPLE:
        raise ValueError(f"nobody is called {name!r}; the cast is {', '.join(TARGET_NAMES)}")
    traits = {
        trait: tuple(value) if isinstance(value, list) else value for trait, value in _PEOPLE[name].items()
    }
    usual = {"freckles": 0.0} if traits["feminine"] else {"freckles": 0.0, "earrings": False}
    return make_identity(TARGET_NAMES.index(name), **{**usual, **traits})
