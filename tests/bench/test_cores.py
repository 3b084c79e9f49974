import os
import subprocess
import sys

import pytest

from siftfunnel.bench.cores import on_core, two_cores


def test_cores_are_two_and_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 5})
    assert two_cores() == (2, 5)
    assert two_cores(5) == (5, 2)
    assert two_cores(None, 2) == (5, 2)
    for wrong, said in (((2, 2), "would share core 2"), ((0, 2), "no core 0"), ((7, None), "no core 7")):
        with pytest.raises(ValueError, match=said):
            two_cores(*wrong)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    with pytest.raises(ValueError, match="a core each; this process may use 3"):
        two_cores()


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
