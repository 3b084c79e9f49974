"""All processes of one peer: found by a mark in their environment, paused, resumed and ended together.

A mark and not a process group: some servers put their workers into groups and sessions of their own.
"""

import contextlib
import os
import signal
import time
import uuid
from pathlib import Path

from siftfunnel.bench.children import cpu_seconds

MARK = "SIFTFUNNEL_PEER"
_PROC = Path("/proc")


class Family:
    """Processes whose environment carries one mark; Linux only.

    Attributes:
        variables: What the first of them is started with; its children inherit it.
    """

    def __init__(self) -> None:
        self._mark = uuid.uuid4().hex
        self.variables = {MARK: self._mark}

    def pids(self) -> list[int]:
        """All of them that are alive."""
        wanted = f"{MARK}={self._mark}".encode()
        found = []
        for folder in _PROC.iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    if wanted in (folder / "environ").read_bytes().split(b"\0"):
                        found.append(int(folder.name))
        return found

    def pause(self) -> None:
        """Take all of them off the processor, those as well that are started while this runs."""
        stopped: set[int] = set()
        while fresh := set(self.pids()) - stopped:
            _send(fresh, signal.SIGSTOP)
            stopped |= fresh

    def resume(self) -> None:
        """Let all of them go on."""
        _send(self.pids(), signal.SIGCONT)

    def end(self, within_s: float) -> None:
        """Kill whatever is left of them."""
        until_s = time.monotonic() + within_s
        while (left := self.pids()) and time.monotonic() < until_s:
            _send(left, signal.SIGKILL)
            time.sleep(0.05)

    def cpu_s(self) -> float:
        """Processor time that those alive have used so far."""
        return cpu_seconds(self.pids())


def _send(pids: set[int] | list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
