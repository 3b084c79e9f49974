"""One way to say things on every command line: units stand in the names of flags."""

import argparse
from collections.abc import Iterator

import pytest

from siftfunnel.cli import build_parser
from siftfunnel.commands import COMMANDS

UNITS = {"S": ("-seconds", "--seconds"), "MS": ("-ms",), "MB": ("-mb",)}
"""What a flag's name ends in, by what its value is called in the help."""
ONE_NAME = {"--models": "--bundles", "--record": "--record-flows", "--grace": "--drain-seconds"}


def options_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from options_of(child)
        yield from ((name, action) for name in action.option_strings)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_flags_say_their_unit_and_go_by_one_name(command) -> None:
    options = list(options_of(build_parser(command)))
    silent = [
        name
        for name, action in options
        if isinstance(action.metavar, str)
        and action.metavar in UNITS
        and not name.endswith(UNITS[action.metavar])
    ]
    assert silent == []
    timed = ("timeout", "patience", "grace", "duration")
    assert [name for name, _ in options if name.endswith(timed)] == []
    assert {name for name, _ in options} & set(ONE_NAME) == set()
