"""How this interpreter starts another one with a module of ours."""

import os
import sys


def python_module(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module in a process of its own.

    With `-m` alone Python would look for every module in the working folder first, and run a `queue.py` or a
    folder `shared/` that lies there instead of what is installed; `-P` leaves that folder out.

    >>> python_module("siftfunnel", "--version")[1:]
    ['-P', '-m', 'siftfunnel', '--version']
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def module_path() -> dict[str, str]:
    """The environment variable with which such a process finds its modules where this one does."""
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
