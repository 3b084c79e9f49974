"""Console entry: mounts one parser, runs it, and turns expected failures into a clear message.

Exit codes: 0 done, 1 the run failed, 2 the input was wrong, 130 interrupted with Ctrl-C, 141 the reader of
the output went away.
"""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, cast

from siftfunnel import __version__
from siftfunnel.commands import COMMANDS, Command
from siftfunnel.configuration import VARIABLE, Configuration, with_configuration
from siftfunnel.shared.console import on_console
from siftfunnel.shared.extras import EXTRA_OF, how_to_install
from siftfunnel.shared.showing import without_credentials

_BAD_INPUT = (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
_RUNTIME_FAILURE = (OSError, RuntimeError)
_INTERRUPTED = 128 + signal.SIGINT
WRONG_INPUT = 2
_READ_SETTINGS_THEMSELVES = ("config", "doctor")


class _Parser(argparse.ArgumentParser):
    """Whoever names no command, or none of a command's own, gets the list of those there are."""

    def error(self, message: str) -> NoReturn:
        if message.endswith((": COMMAND", ": ACTION")):
            self.print_help(sys.stderr)
            self.exit(2, f"\n{self.prog}: error: {message}\n")
        super().error(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: arguments after the program's name; the process's own when left out.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    return on_console(lambda: _run(arguments))


def _run(arguments: list[str]) -> int:
    command = _command_in(arguments)
    # Help is there for what is not installed yet, too.
    asks_for_help = not {"-h", "--help"}.isdisjoint(arguments)
    if command is not None and not asks_for_help and (missing := command.missing()):
        return _fail(command.name, _missing_message(missing[0], command.extra), 1)
    added: list[str] = []
    try:
        parser = build_parser(*filter(None, [command]))
        if not asks_for_help and command is not None and command.name not in _READ_SETTINGS_THEMSELVES:
            arguments, added = with_configuration(parser, arguments, Configuration.found(os.environ))
            # what we start is told all it needs by its command line
            os.environ[VARIABLE] = ""
        args = parser.parse_args(arguments)
        run = cast(Callable[[argparse.Namespace], int] | None, getattr(args, "run", None))
        if run is None:
            parser.print_help(sys.stderr)
            return 2
        return run(args)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except SystemExit as ended:
        if ended.code == WRONG_INPUT and added:
            print(_also_from(added), file=sys.stderr)
        raise
    except BrokenPipeError:
        raise
    except ModuleNotFoundError as error:
        if "--traceback" in arguments or command is None or error.name is None:
            raise
        extra = EXTRA_OF.get(error.name.partition(".")[0], command.extra)
        return _fail(command.name, _missing_message(error.name, extra), 1)
    except Exception as error:
        if "--traceback" in arguments or not _is_expected(error):
            raise
        code = exit_code_of(error)
        also = f"\n{_also_from(added)}" if added and code == WRONG_INPUT else ""
        return _fail(command.name if command else "", _message_of(error) + also, code)


def build_parser(*commands: Command) -> argparse.ArgumentParser:
    """Build the top-level parser with only these commands imported; the others are rows of the help text."""
    parser = _Parser(
        prog="siftfunnel",
        description="Split inference that runs: an edge half, a cloud half, and an attacker on the wire.",
        epilog="`siftfunnel COMMAND --help` explains a command. Every flag may stand in siftfunnel.toml or "
        "in the environment as well: `siftfunnel config show COMMAND`.",
    )
    parser.add_argument("--version", action="version", version=f"siftfunnel {__version__}")
    parser.add_argument(
        "--traceback", action="store_true", help="show where an error came from, not only what it was"
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for row in COMMANDS:
        if row in commands:
            row.add_parser(subparsers)
        else:
            subparsers.add_parser(row.name, help=_summary(row), add_help=False)
    return parser


def usable_commands() -> dict[Command, argparse.ArgumentParser]:
    """The commands that can be built with what is installed here, each with the console's parser for it."""
    usable = {}
    for row in COMMANDS:
        with contextlib.suppress(ModuleNotFoundError):
            if not row.missing():
                usable[row] = build_parser(row)
    return usable


def exit_code_of(error: BaseException) -> int:
    """2 when the caller can mend it by other input, 1 when the run failed."""
    return WRONG_INPUT if isinstance(error, _BAD_INPUT) else 1


def _command_in(arguments: Sequence[str]) -> Command | None:
    """The command named by the first argument that is not an option, or None."""
    word = next((argument for argument in arguments if not argument.startswith("-")), None)
    return next((row for row in COMMANDS if row.name == word), None)


def _summary(row: Command) -> str:
    if not row.missing():
        return row.summary
    return f"{row.summary} (not installed here: {how_to_install(row.extra)})"


def _missing_message(module: str, extra: str) -> str:
    return f"needs the module {module!r}, which is not installed: {how_to_install(extra)}"


def _is_expected(error: Exception) -> bool:
    """Whether the error speaks to the user: bad input, a failed run, or a typed error of one of our rooms."""
    if isinstance(error, (*_BAD_INPUT, *_RUNTIME_FAILURE)):
        return True
    return type(error).__module__.partition(".")[0] == "siftfunnel"


def _message_of(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename is not None else ""
        return f"{error.strerror}{where}"
    return str(error).strip() or type(error).__name__


def _also_from(added: Sequence[str]) -> str:
    return f"(not typed: {', '.join(added)})"


def _fail(command: str, message: str, code: int) -> int:
    print(f"siftfunnel{' ' if command else ''}{command}: {without_credentials(message)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
