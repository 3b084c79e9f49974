"""All processes of one peer: found by a mark in their environment, paused and resumed together.

A mark and not a process group: some servers put their workers into groups and sessions of their own.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

MARK = "SIFTFUNNEL_PEER"
_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_USER_TICKS, _SYSTEM_TICKS = 11, 12


def marked(mark: str) -> list[int]:
    """Process ids whose environment carries the mark; Linux only."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found


def send(mark: str, number: signal.Signals) -> None:
    """A signal to all of them."""
    for pid in marked(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def pause(mark: str) -> None:
    """Stop all of them, those as well that are started while this runs."""
    stopped: set[int] = set()
    while fresh := set(marked(mark)) - stopped:
        for pid in fresh:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        stopped |= fresh


def resume(mark: str) -> None:
    """Let all of them go on."""
    send(mark, signal.SIGCONT)


def end(mark: str, within_s: float) -> None:
    """Kill whatever is left of them."""
    until_s = time.monotonic() + within_s
    while marked(mark) and time.monotonic() < until_s:
        send(mark, signal.SIGKILL)
        time.sleep(0.05)


def cpu_seconds(mark: str) -> float:
    """Processor time that those alive have used so far."""
    ticks = 0
    for pid in marked(mark):
        with contextlib.suppress(OSError):
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
    return ticks / _TICKS_PER_S


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """This thread, and what it starts meanwhile, on one core; nothing changes for None."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
