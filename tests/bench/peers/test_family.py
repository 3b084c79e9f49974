"""Processes of a peer are found by their mark, whatever session they put themselves in."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from siftfunnel.bench.peers.family import Family

# the child puts its own child into another session, as some servers do with their workers
_FAMILY = (
    "import subprocess, sys, time\n"
    "worker = 'import time\\nwhile True: sum(range(1000))'\n"
    "child = subprocess.Popen([sys.executable, '-c', worker], start_new_session=True)\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)\n"
)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_family_is_paused_resumed_and_ended_together() -> None:
    family = Family()
    first = subprocess.Popen(
        [sys.executable, "-c", _FAMILY],
        env={**os.environ, **family.variables},
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert first.stdout is not None
    try:
        worker = int(first.stdout.readline())
        # a process that has just begun shows its environment a moment later
        while sorted(family.pids()) != sorted([first.pid, worker]):
            time.sleep(0.01)
        while family.cpu_s() == 0.0:
            time.sleep(0.02)
        family.pause()
        while state(worker) != "T" or state(first.pid) != "T":
            time.sleep(0.01)
        used_s = family.cpu_s()
        time.sleep(0.1)
        assert family.cpu_s() == used_s
        family.resume()
        while family.cpu_s() <= used_s:
            time.sleep(0.02)
    finally:
        family.end(within_s=10)
        first.stdout.close()
        assert first.wait() == -signal.SIGKILL
    assert family.pids() == []
    # whoever is gone is no error
    family.resume()
    assert family.cpu_s() == 0.0
