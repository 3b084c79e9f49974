"""Readers of single JSON fields beyond those of `siftfunnel.shared.json_fields`."""

from typing import TypeVar

from siftfunnel.shared.json_fields import FieldError, Fields

ChoiceT = TypeVar("ChoiceT", bound=str)

_MOST = 2**53


class CellError(ValueError):
    """A measurement that is no valid cell; the text names the field."""


def count(fields: Fields, name: str) -> int:
    """A whole number of 0 or more."""
    return fields.integer(name, 0, _MOST)


def non_negative(fields: Fields, name: str) -> float:
    """A finite number of 0 or more."""
    value = fields.number(name)
    if value < 0:
        raise fields.error(name, f"must not be negative, got {value}")
    return value


def number_or_none(fields: Fields, name: str) -> float | None:
    """A finite number of 0 or more, or null."""
    value = fields.take(name)
    if value is None:
        return None
    try:
        return non_negative(Fields({name: value}, ""), name)
    except FieldError:
        raise fields.error(name, f"must be null or a number of 0 or more, got {value!r}") from None


def nested_or_none(fields: Fields, name: str) -> Fields | None:
    """An object to be read field by field, or null."""
    value = fields.take(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise fields.error(name, "must be an object or null")
    return Fields(value, name)


def one_of(fields: Fields, name: str, choices: tuple[ChoiceT, ...]) -> ChoiceT:
    """One of some texts."""
    value = fields.string(name)
    if value not in choices:
        raise fields.error(name, f"must be one of {', '.join(choices)}, got {value!r}")
    return value
