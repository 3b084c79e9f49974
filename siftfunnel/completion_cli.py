"""``siftfunnel completion``: a script with which a shell completes commands, flags and files."""

import argparse
from pathlib import Path
from typing import Any

SHELLS = ("bash", "zsh", "tcsh")


def add_completion_parser(subparsers: Any) -> None:
    """Add ``completion`` to the console."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "completion",
        help="print a script that completes this program's command lines",
        description="Print a script for a shell. Bash: siftfunnel completion bash > "
        "~/.local/share/bash-completion/completions/siftfunnel; zsh: _siftfunnel in a folder of $fpath.",
    )
    parser.add_argument("shell", choices=SHELLS, help="whose script")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the script for every command that is installed here."""
    import shtab

    from siftfunnel.cli import build_parser, usable_commands
    from siftfunnel.configuration import leaves

    parser = build_parser(*usable_commands())
    for _, leaf in leaves(parser):
        for action in leaf._actions:
            if action.type is Path and action.choices is None:
                folder = "DIR" in str(action.metavar)
                action.complete = shtab.DIRECTORY if folder else shtab.FILE
    print(shtab.complete(parser, args.shell))
    return 0
