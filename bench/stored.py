"""Values between processes and in files: dataclasses as JSON and back, read by their declared types."""

import json
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from pydantic import TypeAdapter

T = TypeVar("T")


class StoredError(ValueError):
    """What is no value of its type; the text names the field."""


def as_json(value: "DataclassInstance") -> dict[str, Any]:
    """JSON values by the fields' names; an underscore after a name, which Python asks for, is left out."""
    return asdict(value, dict_factory=lambda pairs: {_json_name(name): each for name, each in pairs})


def read(kind: type[T], value: object, place: str) -> T:
    """What `as_json` gave, or a program of another version wrote.

    Args:
        kind: A dataclass; its fields' types, their `annotated_types` and its `__post_init__` decide.
        value: JSON values.
        place: Where it stands, for messages.

    Raises:
        StoredError: a field that is missing, unknown, ill-typed or out of range; no NaN, no infinity.
    """
    from pydantic import ValidationError

    try:
        found: T = _reader(cast("Any", kind)).validate_json(json.dumps([value]), strict=True)[0]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        why = str(first.get("ctx", {}).get("error") or first["msg"])
        raise StoredError(f"{place}: " + (f"field {where!r}: {why}" if where else why)) from None
    return found


@cache
def _reader(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import ConfigDict, TypeAdapter

    # a dataclass takes the configuration of what holds it, and one at the top takes none
    config = ConfigDict(extra="forbid", allow_inf_nan=False, alias_generator=_json_name)
    return TypeAdapter(tuple[kind], config=config)


def _json_name(name: str) -> str:
    return name.removesuffix("_")
