"""Settings that are numbers: one of another type is refused by its name."""

from numbers import Integral, Real
from typing import Any


def require_numbers(settings: Any, kind: type[Integral] | type[Real], *names: str) -> None:
    """Refuse attributes that are no numbers.

    Args:
        settings: what has them.
        kind: `Integral` for whole numbers, `Real` for any.
        names: of the attributes.

    Raises:
        TypeError: it names the attribute and what it is instead.
    """
    wanted = "a whole number" if kind is Integral else "a number"
    for name in names:
        if not isinstance(value := getattr(settings, name), kind):
            raise TypeError(f"{name} takes {wanted}, not {value!r}")
