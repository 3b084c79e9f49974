"""Read JSON objects field by field, with errors that name the field.

fields = Fields(parse_object(data, "manifest.json"), "manifest.json")
name = fields.text("name")
size = fields.nested("feature").integer("channels", 1, 4096)
fields.finish()                       # anything left over is an error too
"""

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any


class FieldError(ValueError):
    """A field that is missing, unknown or of the wrong type; the text names it with its place."""


def parse_object(data: bytes | str, place: str) -> dict[str, Any]:
    """Parse JSON whose top is an object; no NaN, no infinity, no key twice.

    Raises:
        FieldError: anything else; the text begins with `place`.
    """
    try:
        value = json.loads(data, parse_constant=_no_constant, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise FieldError(f"{place}: not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise FieldError(f"{place}: expected a JSON object, not {_kind(value)}")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        counted = Counter(name for name, _ in pairs)
        raise ValueError(f"key {next(name for name, count in counted.items() if count > 1)!r} appears twice")
    return mapping


class Fields:
    """A JSON object that is being read; every getter takes its field out.

    Args:
        mapping: the object.
        place: where it stands, for messages: "manifest.json: input".
    """

    def __init__(self, mapping: Mapping[str, Any], place: str) -> None:
        self._left = dict(mapping)
        self._place = place

    def error(self, name: str, reason: str) -> FieldError:
        """The error to raise about a field."""
        return FieldError(f"{self._place}: field {name!r} {reason}")

    def names(self) -> list[str]:
        """Fields that have not been read yet."""
        return list(self._left)

    def take(self, name: str) -> Any:
        """A field of any type."""
        if name not in self._left:
            raise self.error(name, "is missing")
        return self._left.pop(name)

    def text(self, name: str) -> str:
        """A string that is not empty."""
        value = self.take(name)
        if not isinstance(value, str) or not value:
            raise self.error(name, f"must be a non-empty text, not {_kind(value)}")
        return value

    def string(self, name: str) -> str:
        """A string, possibly empty."""
        value = self.take(name)
        if not isinstance(value, str):
            raise self.error(name, f"must be a text, not {_kind(value)}")
        return value

    def optional_text(self, name: str) -> str | None:
        """A string, possibly empty, or null."""
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise self.error(name, f"must be a text or null, not {_kind(value)}")
        return value

    def integer(self, name: str, least: int, most: int) -> int:
        """A whole number in [least, most]; true and 1.0 are not."""
        value = self.take(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(name, f"must be a whole number, not {_kind(value)}")
        if not least <= value <= most:
            raise self.error(name, f"must lie in [{least}, {most}], not {value}")
        return value

    def optional_integer(self, name: str, least: int, most: int) -> int | None:
        """A whole number in [least, most], or null."""
        if name in self._left and self._left[name] is None:
            self.take(name)
            return None
        return self.integer(name, least, most)

    def integers(self, name: str, least: int, most: int, most_values: int) -> tuple[int, ...]:
        """A list of at most `most_values` whole numbers, each in [least, most]."""
        values = self.items(name)
        if not all(type(value) is int and least <= value <= most for value in values):
            raise self.error(name, f"must be a list of whole numbers in [{least}, {most}]")
        if len(values) > most_values:
            raise self.error(name, f"must list at most {most_values} numbers, not {len(values)}")
        return tuple(values)

    def boolean(self, name: str) -> bool:
        """True or false."""
        value = self.take(name)
        if not isinstance(value, bool):
            raise self.error(name, f"must be true or false, not {_kind(value)}")
        return value

    def number(self, name: str) -> float:
        """A finite number."""
        return self._finite(name, self.take(name))

    def numbers(self, name: str) -> tuple[float, ...]:
        """A list of finite numbers."""
        return tuple(self._finite(name, value) for value in self.items(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of non-empty strings."""
        values = self.items(name)
        if not all(isinstance(value, str) and value for value in values):
            raise self.error(name, "must be a list of non-empty texts")
        return tuple(values)

    def items(self, name: str) -> list[Any]:
        """A list."""
        value = self.take(name)
        if not isinstance(value, list):
            raise self.error(name, f"must be a list, not {_kind(value)}")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """An object, unread."""
        value = self.take(name)
        if not isinstance(value, dict):
            raise self.error(name, f"must be an object, not {_kind(value)}")
        return value

    def nested(self, name: str) -> "Fields":
        """An object, to be read field by field."""
        return Fields(self.mapping(name), f"{self._place}: {name}")

    def nested_list(self, name: str) -> list["Fields"]:
        """A list of objects, to be read field by field."""
        values = self.items(name)
        if not all(isinstance(value, dict) for value in values):
            raise self.error(name, "must be a list of objects")
        return [Fields(value, f"{self._place}: {name}[{i}]") for i, value in enumerate(values)]

    def finish(self) -> None:
        """End of reading: an unread field is an error, for it may be one that matters."""
        if self._left:
            raise self.error(sorted(self._left)[0], "is unknown; a newer version of siftfunnel may read it")

    def _finite(self, name: str, value: Any) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self.error(name, f"must be a number, not {_kind(value)}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.error(name, "must be finite")
        return number


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return "an empty text" if value == "" else names.get(type(value), "a number")
