"""A server in a process of its own that prints one line of JSON when it is ready."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

PATIENCE_S = 30


class ServerNotStartedError(RuntimeError):
    """A server ended before it was ready; it said why on its standard error."""


@contextmanager
def announced(command: Sequence[str]) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
    """The process and what its line says; ended afterwards, by force if it does not end in 30 s.

    Raises:
        ServerNotStartedError: it did not start.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise ServerNotStartedError(f"the server did not start; it said why above ({' '.join(command)})")
        yield process, json.loads(line)
    finally:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
