"""Settings by one declaration each: a dataclass's fields are its flags, their help and their bounds.

    @dataclass(frozen=True)
    class Patience:
        stop_s: float = setting(5.0, "patience of a stop", least=0)

        def __post_init__(self) -> None:
            check(self)

    add_flags(parser, Patience)                       # --stop-seconds S
    from_flags(Patience, parser.parse_args())

A flag is named after its field: `max_batch` is `--max-batch`, and `stop_s` is `--stop-seconds`. Its type is
the annotation's: a truth is a switch, a tuple of texts or paths may be repeated, and a type of one's own with
a class method `parse` reads itself.
"""

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import partial
from numbers import Integral, Real
from operator import ge, le, lt
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

SettingsT = TypeVar("SettingsT")

_KEY = "setting"
_METAVARS: Mapping[type, str] = {int: "N", float: "X", str: "NAME", Path: "FILE"}


@dataclass(frozen=True)
class _Setting:
    help: str
    flag: str | None
    metavar: str | None
    choices: tuple[str, ...] | None
    read: Callable[[str], Any] | None
    bounds: Mapping[str, Callable[[Any], bool]]


def setting(
    default: Any = MISSING,
    help: str = "",
    *,
    flag: str | None = None,
    metavar: str | None = None,
    choices: tuple[str, ...] | None = None,
    read: Callable[[str], Any] | None = None,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    finite: bool = False,
) -> Any:
    """A field of a settings dataclass.

    Args:
        default: what it is without its flag; left out, the flag is required.
        help: what it means, with its unit; the default is added where there is one.
        flag: its flag where that is not the field's name; "" for none, where a program alone sets it.
        metavar: what stands for its value; by the type where left out.
        choices: the only values it may have.
        read: makes it of the flag's text; a ValueError is told as wrong input.
        least: the smallest value it may have.
        above: what it must be larger than.
        most: the largest value it may have.
        finite: whether infinity is refused.
    """
    # NaN is out of all of them
    possible = {
        f"at least {least}": least is not None and partial(le, least),
        f"above {above}": above is not None and partial(lt, above),
        f"at most {most}": most is not None and partial(ge, most),
        "finite": finite and math.isfinite,
    }
    bounds = {words: holds for words, holds in possible.items() if holds}
    about = _Setting(help, flag, metavar, choices, read, bounds)
    return field(default=default, metadata={_KEY: about})


def check(settings: Any) -> None:
    """Hold every setting of a dataclass to its type and bounds; None is let through.

    Raises:
        TypeError: something else than a number where a number is meant.
        ValueError: out of bounds, or none of the choices.
    """
    for each in fields(settings):
        about, value = _about(each), getattr(settings, each.name)
        if about is None or value is None:
            continue
        if about.choices is not None and value not in about.choices:
            raise ValueError(f"unknown {each.name} {value!r}; known: {', '.join(about.choices)}")
        for one in value if get_origin(each.type) is tuple else (value,):
            _check_number(each.name, about, _kind(each), one)


def _check_number(name: str, about: _Setting, kind: Any, value: Any) -> None:
    if kind not in (int, float):
        return
    if not isinstance(value, Integral if kind is int else Real):
        raise TypeError(f"{name} takes {'a whole number' if kind is int else 'a number'}, not {value!r}")
    if not all(holds(value) for holds in about.bounds.values()):
        raise ValueError(f"{name} must be {' and '.join(about.bounds)}, not {value}")


def add_flags(parser: Any, settings: type, *names: str) -> None:
    """Declare the flags of a settings dataclass.

    Args:
        parser: a parser or a group of one.
        settings: the class.
        names: of the fields whose flags are wanted; all where none is named.
    """
    for each in fields(settings):
        about = _about(each)
        if about is not None and about.flag != "" and (not names or each.name in names):
            parser.add_argument(_flag(each, about), **_options(each, about))


def from_flags(settings: type[SettingsT], args: argparse.Namespace, **beside: Any) -> SettingsT:
    """The settings that a command line means.

    Args:
        settings: the class; what was not declared keeps its default.
        args: what the parser read.
        beside: fields that have no flag, or that mean something else than their flag says alone.

    Raises:
        ValueError: the class refuses them.
    """
    said = {}
    for each in fields(settings):  # type: ignore[arg-type]
        about = _about(each)
        destination = about and _flag(each, about).removeprefix("--").replace("-", "_")
        if destination and hasattr(args, destination):
            value = getattr(args, destination)
            said[each.name] = tuple(value) if isinstance(value, list) else value
    return settings(**said | beside)


def _about(each: "Field[Any]") -> _Setting | None:
    about: _Setting | None = each.metadata.get(_KEY)
    return about


def _flag(each: "Field[Any]", about: _Setting) -> str:
    name = each.name.removesuffix("_s") + "_seconds" if each.name.endswith("_s") else each.name
    return about.flag or f"--{name.replace('_', '-')}"


def _kind(each: "Field[Any]") -> Any:
    """The type of a value, without None and without the tuple around it."""
    kind: Any = each.type
    if get_origin(kind) in (UnionType, Union):
        kind = next(part for part in get_args(kind) if part is not type(None))
    return get_args(kind)[0] if get_origin(kind) is tuple else kind


def _options(each: "Field[Any]", about: _Setting) -> dict[str, Any]:
    """What `add_argument` is told besides the flag."""
    default: Any = each.default
    kind, required = _kind(each), default is MISSING
    # to argparse a percent sign begins something to fill in
    words = about.help.replace("%", "%%")
    if kind is bool:
        return {"action": "store_true", "help": words}
    options: dict[str, Any] = {"help": words, "required": required}
    if default not in (MISSING, None, ()) and "(default" not in about.help:
        options["help"] += " (%(default)s)"
    if about.choices is not None:
        return {**options, "choices": about.choices, "default": default}
    several = get_origin(each.type) is tuple and about.read is None
    if several:
        options["action"] = "append"
    if not required:
        options["default"] = list(default) if several else default
    options["metavar"] = about.metavar or ("S" if each.name.endswith("_s") else _METAVARS.get(kind))
    options["type"] = _telling(about.read or getattr(kind, "parse", kind))
    return options


def _telling(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader whose ValueError keeps its words: of any other reader argparse tells no more than the name."""
    if read in _METAVARS:
        return read

    def telling(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return telling
