"""Processes of a peer are found by their mark, whatever session they put themselves in."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from siftfunnel.bench.peers import processes
from siftfunnel.bench.peers.processes import MARK, cpu_seconds, end, marked, on_core, pause, resume

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
    mark = f"test-{os.getpid()}"
    family = subprocess.Popen(
        [sys.executable, "-c", _FAMILY],
        env={**os.environ, MARK: mark},
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert family.stdout is not None
    try:
        worker = int(family.stdout.readline())
        assert sorted(marked(mark)) == sorted([family.pid, worker])
        while cpu_seconds(mark) == 0.0:
            time.sleep(0.02)
        pause(mark)
        while state(worker) != "T" or state(family.pid) != "T":
            time.sleep(0.01)
        used_s = cpu_seconds(mark)
        time.sleep(0.1)
        assert cpu_seconds(mark) == used_s
        resume(mark)
        while cpu_seconds(mark) <= used_s:
            time.sleep(0.02)
    finally:
        end(mark, within_s=10)
        family.stdout.close()
        assert family.wait() == -signal.SIGKILL
    assert marked(mark) == []
    assert marked("nobody") == []


def test_a_thread_lends_its_core_to_what_it_starts_and_takes_its_own_back() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    with on_core(core):
        ask = "import os; print(sorted(os.sched_getaffinity(0)))"
        told = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
        assert told.stdout.strip() == f"[{core}]"
    assert os.sched_getaffinity(0) == before
    with on_core(None):
        assert os.sched_getaffinity(0) == before


def test_a_process_that_is_gone_is_no_error() -> None:
    processes.send("nobody", signal.SIGCONT)
    assert cpu_seconds("nobody") == 0.0
