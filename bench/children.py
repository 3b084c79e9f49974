"""Processes under measurement: how one is started, says that it is ready, is watched, and is ended.

A function of ours becomes a process with `child`. Whatever runs in it, a process prints one line of JSON when
it is ready (`tell`), or why it cannot be; `announced` gives that line and ends the process afterwards.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from siftfunnel.shared.children import python_module
from siftfunnel.shared.ports import LOOPBACK

PATIENCE_S = 30
_FAILURE = "failure"
_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_USER_TICKS, _SYSTEM_TICKS = 11, 12


class NotStartedError(RuntimeError):
    """A process ended before it was ready; says why."""


@dataclass(frozen=True)
class Child:
    """A running process.

    Attributes:
        process: Itself; its standard input is a pipe where one was asked for.
        told: What its line says.
    """

    process: "subprocess.Popen[str]"
    told: dict[str, Any]

    @property
    def address(self) -> str:
        """HOST:PORT of a server of gRPC, as `siftfunnel cloud` tells it."""
        return str(self.told["grpc"])

    def say(self, value: dict[str, Any]) -> None:
        """Hand it one line of JSON on its standard input.

        Raises:
            OSError: it has ended.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(value) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any] | None:
        """Wait for its next line; None when it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return dict(json.loads(line)) if line else None

    def cpu_s(self) -> float:
        """Processor time of all its threads so far, user and system."""
        return cpu_seconds([self.process.pid])

    def resident_bytes(self) -> int:
        """Its resident memory."""
        pages = int((_PROC / str(self.process.pid) / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def child(function: Callable[..., object], **settings: object) -> list[str]:
    """The command line that runs a function of a module of ours in a process of its own.

    Args:
        function: At the top of its module; what it raises as `ValueError`, `RuntimeError` or `OSError` before
            it is ready is told to whoever waits for it.
        settings: Its arguments, JSON values.
    """
    name = f"{function.__module__}:{function.__qualname__}"
    return python_module("siftfunnel.bench.children", name, json.dumps(settings))


def cloud_command(bundles: Iterable[Path], host: str = LOOPBACK) -> list[str]:
    """The command line that serves bundles with `siftfunnel cloud` on a free port."""
    named = [each for path in bundles for each in ("--bundle", str(path))]
    return python_module("siftfunnel", "cloud", *named, "--listen", f"{host}:0", "--log-level", "warning")


def tell(**values: object) -> None:
    """Print one line of JSON for the process that started this one."""
    print(json.dumps(values), flush=True)


@contextlib.contextmanager
def announced(command: list[str], *, takes_input: bool = False) -> Iterator[Child]:
    """A process that has said that it is ready; ended afterwards, by force if it does not end in 30 s.

    Raises:
        NotStartedError: it is not ready, and says why.
    """
    source = subprocess.PIPE if takes_input else None
    process = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Child(process, _read(process.stdout.readline(), command))
    finally:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for end in (process.stdin, process.stdout):
            if end is not None:
                # what was not taken yet cannot be handed over any more
                with contextlib.suppress(OSError):
                    end.close()


def asked(command: list[str], patience_s: float | None = None) -> dict[str, Any]:
    """What a process tells that ends by itself.

    Raises:
        NotStartedError: it told nothing, or why it could not.
        subprocess.TimeoutExpired: it took longer.
    """
    made = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=patience_s)
    return _read(made.stdout, command)


def _read(line: str, command: list[str]) -> dict[str, Any]:
    if not line.strip():
        raise NotStartedError(f"a process told nothing; it said why above ({' '.join(command)})")
    told: dict[str, Any] = json.loads(line)
    if _FAILURE in told:
        raise NotStartedError(told[_FAILURE])
    return told


def until_told() -> asyncio.Event:
    """An event of this process's loop that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time that those processes which are alive have used so far; in hundredths of a second."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
    return ticks / _TICKS_PER_S


def _run(name: str, settings: str) -> int:
    module, _, function = name.partition(":")
    try:
        getattr(import_module(module), function)(**json.loads(settings))
    except KeyboardInterrupt:
        return 0
    except (ValueError, RuntimeError, OSError) as error:
        tell(**{_FAILURE: str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_run(*sys.argv[1:]))
