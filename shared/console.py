"""What every console command does about its terminal: escapes what it cannot show, ends when nobody reads."""

import io
import os
import signal
import sys
import warnings
from collections.abc import Callable

from siftfunnel.shared.files import naming

STANDARD_OUTPUT = "standard output"
NOBODY_READS = 128 + getattr(signal, "SIGPIPE", 13)
"""Exit code where the reader of the output went away, as a shell reports it of other tools."""


def on_console(run: Callable[[], int]) -> int:
    """Run a command.

    Characters that the terminal's encoding lacks, and bytes of file names that are no text, are written as
    escapes; a reader that goes away, as `head` does, ends the command without a word. Pillow's warnings are
    not shown.

    Returns:
        The command's exit code, or `NOBODY_READS`.
    """
    for stream in (sys.stdout, sys.stderr):
        # a test's or an embedding program's stream may be of another kind
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not sys.warnoptions:
        # what Pillow remarks about a picture that it reads all the same
        warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        try:
            return run()
        finally:
            # here rather than when the interpreter ends, which knows no better than a traceback
            if sys.stdout is not None:
                with naming(STANDARD_OUTPUT):
                    sys.stdout.flush()
    except BrokenPipeError:
        _silence()
        return NOBODY_READS
    except OSError as error:
        if error.filename != STANDARD_OUTPUT:
            raise
        _silence()
        print(f"{STANDARD_OUTPUT} {error.strerror}", file=sys.stderr)
        return 1


def _silence() -> None:
    """Let the interpreter's last flush go nowhere instead of where it fails."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
        except (AttributeError, ValueError):
            continue
    os.close(nowhere)
