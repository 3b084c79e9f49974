"""Every flag of every command, settable in `siftfunnel.toml` and in the environment as well.

    [cloud]                                    # siftfunnel cloud
    max-batch = 8                              # --max-batch 8, or SIFTFUNNEL_CLOUD_MAX_BATCH=8
    bundle = ["a", "b"]                        # --bundle a --bundle b, or SIFTFUNNEL_CLOUD_BUNDLE=a,b

    [lab.run]                                  # siftfunnel lab run
    threads = 1

A flag is declared once, where its command is: its name, type, bounds and help are those of the command
line, because what a file or the environment says becomes a piece of the command line. What is typed counts
before the environment, and that before the file.
"""

import argparse
import difflib
import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from siftfunnel.shared.files import read_regular

VARIABLE = "SIFTFUNNEL_CONFIG"
"""Names the file; empty: neither a file nor the environment counts, as for every process that we start."""

DEFAULT_FILE = Path("siftfunnel.toml")
_MOST_BYTES = 1 << 20
_UNSETTABLE = frozenset({"help", "version", "traceback"})
_SWITCHES = (argparse._StoreTrueAction, argparse.BooleanOptionalAction)
_TRUTHS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


class ConfigurationError(ValueError):
    """A file or a variable that says what no flag does."""


@dataclass(frozen=True)
class Said:
    """What a flag is set to, and where: "--max-batch", a variable's name, or the file's and key's."""

    value: Any
    where: str


@dataclass(frozen=True)
class Flag:
    """One settable flag of one command.

    Attributes:
        command: its words, `("lab", "run")`.
        action: what the parser knows of it.
    """

    command: tuple[str, ...]
    action: argparse.Action

    @property
    def key(self) -> str:
        """Its name in the file: the long flag without dashes in front."""
        return max(self.action.option_strings, key=len).lstrip("-")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return "_".join(("SIFTFUNNEL", *self.command, self.key)).upper().replace("-", "_")

    @property
    def switches(self) -> bool:
        """Whether it is on or off and takes no value."""
        return isinstance(self.action, _SWITCHES)

    @property
    def repeats(self) -> bool:
        """Whether it may have several values."""
        return isinstance(self.action, argparse._AppendAction) or self.greedy

    @property
    def greedy(self) -> bool:
        """Whether one flag takes any number of values."""
        return self.action.nargs in ("*", "+")

    def words(self, said: Said) -> list[str]:
        """The piece of a command line that says the same.

        Raises:
            ConfigurationError: the value is of another kind than the flag's.
        """
        flag, value = f"--{self.key}", said.value
        if self.switches:
            if not isinstance(value, bool):
                raise ConfigurationError(f"{said.where}: {self.key} is true or false, not {value!r}")
            return [flag] if value else []
        values = value if isinstance(value, list) else [value]
        if len(values) != 1 and not self.repeats:
            raise ConfigurationError(f"{said.where}: {self.key} takes one value, not {len(values)}")
        if bad := [one for one in values if isinstance(one, bool) or not isinstance(one, str | int | float)]:
            raise ConfigurationError(f"{said.where}: {self.key} takes text or a number, not {bad[0]!r}")
        texts = [str(one) for one in values]
        return [flag, *texts] if self.greedy else [f"{flag}={text}" for text in texts]

    def read(self, text: str) -> Any:
        """What a variable's text means: a truth for a switch, texts between commas where several may be."""
        if self.switches:
            return _TRUTHS.get(text.strip().lower(), text)
        return [part for part in text.split(",") if part] if self.repeats else text


@dataclass(frozen=True)
class Configuration:
    """What a file and the environment say.

    Attributes:
        file: where the tables come from; None where there is no file.
        tables: the file's content.
        environment: variables.
    """

    file: Path | None = None
    tables: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def found(cls, environment: Mapping[str, str]) -> "Configuration":
        """The file that `SIFTFUNNEL_CONFIG` names, else `siftfunnel.toml` of this folder, if it is there.

        Raises:
            ConfigurationError: a file that is no TOML.
            OSError: a named file that cannot be read.
        """
        named = environment.get(VARIABLE)
        if named == "":
            return cls()
        path = Path(named) if named else DEFAULT_FILE
        if not named and not path.is_file():
            return cls(environment=environment)
        try:
            tables = tomllib.loads(read_regular(path, _MOST_BYTES).decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path} is no TOML: {error}") from None
        return cls(path, tables, environment)

    def said(self, flags: Sequence[Flag]) -> dict[str, Said]:
        """What is said of a command's flags, by their keys; the environment counts before the file.

        Raises:
            ConfigurationError: the file has a key that is none of the flags, or no table where one belongs.
        """
        if not flags:
            return {}
        told: dict[str, Said] = {}
        by_key = {flag.key: flag for flag in flags}
        for key, value in self._table(flags[0].command).items():
            if key not in by_key:
                raise ConfigurationError(self._unknown(flags[0].command, key, by_key))
            told[key] = Said(value, f"{self.file} [{'.'.join(flags[0].command)}]")
        for key, flag in by_key.items():
            if text := self.environment.get(flag.variable):
                told[key] = Said(flag.read(text), flag.variable)
        return told

    def _table(self, command: tuple[str, ...]) -> dict[str, Any]:
        table: Any = self.tables
        for word in command:
            table = table.get(word, {})
            if not isinstance(table, dict):
                raise ConfigurationError(f"{self.file}: {word} must be a table, [{'.'.join(command)}]")
        return {key: value for key, value in table.items() if not isinstance(value, dict)}

    def _unknown(self, command: tuple[str, ...], key: str, known: Mapping[str, Flag]) -> str:
        near = difflib.get_close_matches(key, known, n=1)
        hint = (
            f"do you mean {near[0]}?" if near else f"`siftfunnel config show {' '.join(command)}` lists all"
        )
        return f"{self.file} [{'.'.join(command)}]: there is no {key}; {hint}"


def leaves(
    parser: argparse.ArgumentParser, command: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The commands below a parser that have flags of their own, with their parsers."""
    below = _below(parser)
    if below is None:
        yield command, parser
    for name, child in (below or {}).items():
        yield from leaves(child, (*command, name))


def flags_of(command: tuple[str, ...], parser: argparse.ArgumentParser) -> list[Flag]:
    """The settable flags of one command."""
    named = [action for action in parser._actions if action.option_strings and action.dest not in _UNSETTABLE]
    return [Flag(command, action) for action in named]


def with_configuration(
    parser: argparse.ArgumentParser, arguments: Sequence[str], configuration: Configuration
) -> tuple[list[str], list[str]]:
    """A command line with what the configuration adds to it.

    Args:
        parser: the console's.
        arguments: as they were typed.
        configuration: what file and environment say.

    Returns:
        The whole command line, and for messages what was added: "max-batch from siftfunnel.toml [cloud]".

    Raises:
        ConfigurationError: the configuration of this command says what none of its flags does.
    """
    command, leaf, begin = _called(parser, arguments)
    flags = flags_of(command, leaf) if command else []
    end = arguments.index("--") if "--" in arguments else len(arguments)
    typed = _typed(leaf, arguments[:end])
    single: list[str] = []
    several: list[str] = []
    told: list[str] = []
    said = configuration.said(flags)
    for flag in flags:
        if flag.key in said and flag.action.dest not in typed:
            (several if flag.greedy else single).extend(flag.words(said[flag.key]))
            told.append(f"{flag.key} from {said[flag.key].where}")
    # operands that are torn apart by a flag are lost, and a flag with any number of values takes operands
    return [*arguments[:begin], *single, *arguments[begin:end], *several, *arguments[end:]], told


def shown(
    command: tuple[str, ...], parser: argparse.ArgumentParser, configuration: Configuration, everything: bool
) -> str:
    """A command's settings as a table of TOML with comments.

    Args:
        command: its words.
        parser: its own.
        configuration: what file and environment say.
        everything: whether those that are not set are there too, behind a #; else "" where none is set.
    """
    flags = flags_of(command, parser)
    said = configuration.said(flags)
    lines = []
    for flag in flags:
        if flag.key in said:
            lines.append(f"{flag.key} = {_toml(said[flag.key].value)}  # {said[flag.key].where}")
        elif everything:
            help_text = " ".join(parser._get_formatter()._expand_help(flag.action).split())
            lines += ["", f"# {help_text}", f"# {flag.key} = {_default(flag)}  # {flag.variable}"]
    return "\n".join([f"[{'.'.join(command)}]", *lines]) if lines else ""


def _below(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser] | None:
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return found[0].choices if found else None


def _called(
    parser: argparse.ArgumentParser, arguments: Sequence[str]
) -> tuple[tuple[str, ...], argparse.ArgumentParser, int]:
    """The command that is called, its parser, and where its arguments begin; no words if it is incomplete."""
    command: tuple[str, ...] = ()
    for place, word in enumerate(arguments, 1):
        if word in (below := _below(parser) or {}):
            command, parser = (*command, word), below[word]
        if _below(parser) is None:
            return command, parser, place
    return (), parser, 0


def _typed(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> set[str]:
    """Destinations of the flags that were typed, also in short, and of those that they exclude."""
    options = parser._option_string_actions
    typed: set[str] = set()
    for word in arguments:
        name = word.partition("=")[0]
        if name in options:
            typed.add(options[name].dest)
        elif name.startswith("--"):
            typed |= {action.dest for option, action in options.items() if option.startswith(name)}
    for group in parser._mutually_exclusive_groups:
        rivals = {action.dest for action in group._group_actions}
        typed |= rivals if rivals & typed else set()
    return typed


def _default(flag: Flag) -> str:
    default = flag.action.default
    if default in (None, argparse.SUPPRESS, []) or isinstance(default, tuple):
        metavar = flag.action.metavar or flag.action.dest.upper()
        return f'["{metavar}"]' if flag.repeats else f'"{metavar}"'
    return _toml(default)


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value if isinstance(value, bool | int | float) else str(value))
