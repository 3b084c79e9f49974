"""What a process that does nothing but serve sets once: its signals, its memory, its open files."""

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable

try:
    import resource
except ImportError:  # where processes have no such limits
    resource = None  # type: ignore[assignment]

_STOPPED, _FORCED = 0, 1
_OTHER_FILES = 128


class StopSignals:
    """What SIGTERM, Ctrl-C and a terminal that closes (SIGHUP) mean.

    Until the server is ready nothing has been taken, and the process ends at once. Then the first one drains,
    and another SIGTERM or Ctrl-C ends it at once; a terminal that closes sends SIGHUP more than once. Under
    nohup SIGHUP is ignored, and stays so.

    Args:
        drain: called from the signal handler.

    Attributes:
        ready: whether the server takes frames.
    """

    def __init__(self, drain: Callable[[], object]) -> None:
        self._drain = drain
        self._draining = False
        self.ready = False

    def install(self) -> None:
        """Take the signals; again after something else has taken them.

        Not as handlers of an event loop: they are gone when the loop is, and a signal in that moment would
        kill a process that had drained well.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._on_signal)

    def finish(self) -> None:
        """Mean nothing by any of them from here on: what has drained well is not killed while it ends.

        They are ignored, not handled: Python gives its own handlers back before the process is gone.
        """
        for number in (signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, frame: object) -> None:
        if not self.ready:
            _end(_STOPPED, "stopped before it was ready")
        if not self._draining:
            self._draining = True
            self._drain()
        elif number in (signal.SIGTERM, signal.SIGINT):
            _end(_FORCED, "second signal: stopping at once")


def _end(code: int, why: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"{why}\n".encode())
    os._exit(code)


def settle_memory() -> None:
    """Take what a started server is made of out of the garbage collector's rounds.

    A full round over the modules of gRPC, ONNX Runtime and HTTP stops every thread for tens of milliseconds
    and would find nothing.
    """
    gc.collect()
    gc.freeze()


def release_memory() -> None:
    """Let go of what a server and its calls have left in circles, also of what `settle_memory` set aside.

    Before a process that spoke TLS ends, gRPC waits two seconds for servers and calls that are still held;
    this takes a tenth of that. What is left is set aside again, for the interpreter's own last round.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def allow_open_files(connections: int) -> int:
    """Raise this process's limit of open files for some connections, as far as it may.

    Args:
        connections: that shall be open at once.

    Returns:
        How many there is room for.
    """
    if resource is None:
        return connections
    wanted = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(soft - _OTHER_FILES, 1)
    return connections


def forget_standard_output() -> None:
    """Nobody reads it: what is still written there shall fail no more, not even when the process ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
