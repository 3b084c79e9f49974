"""``siftfunnel config``: what each command's flags are set to, where, and how they are called in the file."""

import argparse
import os
from typing import Any

from siftfunnel.configuration import VARIABLE, Configuration, ConfigurationError, leaves, shown

_ABOUT = f"""\
Show the settings of a command as TOML: those that siftfunnel.toml or the environment sets, with where they
come from, and behind a # all others with their defaults. Without a command: of all commands that are set at
all. `siftfunnel config show cloud > siftfunnel.toml` makes a file to begin with. A command reads
siftfunnel.toml in the folder where it is started, or the file that {VARIABLE} names; if that is empty,
neither file nor environment.
"""


def add_config_parser(subparsers: Any) -> None:
    """Add ``config`` to the console."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "config", help="show the settings of commands", description=_ABOUT
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    show = actions.add_parser("show", help="show the settings of a command, or of all", description=_ABOUT)
    show.add_argument("command", nargs="*", metavar="COMMAND", help="its words: `cloud`, `lab run`")
    show.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the tables.

    Raises:
        ConfigurationError: there is no such command, or the file says what no flag of it does.
    """
    from siftfunnel.cli import usable_commands

    configuration, wanted = Configuration.found(os.environ), tuple(args.command)
    tables = []
    for row, console in usable_commands().items():
        if row.name == "config" or wanted[:1] not in ((), (row.name,)):
            continue
        for command, parser in leaves(console):
            if command[:1] == (row.name,) and command[: len(wanted)] == wanted:
                tables.append(shown(command, parser, configuration, everything=bool(wanted)))
    if wanted and not tables:
        raise ConfigurationError(f"there is no command `{' '.join(wanted)}`, or it is not installed here")
    print("\n\n".join(filter(None, tables)) or "nothing is set: all commands have their defaults")
    return 0
