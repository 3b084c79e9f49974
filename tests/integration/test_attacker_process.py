"""The attacker as a process of its own: what it does when it can hear nothing any more."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacker.feeds.test_sniff import needs_permission
from tests.conftest import Child, Processes
from tests.tinybundle import make_tiny_bundle


def listen(processes: Processes, folder: Path, tap: str) -> Child:
    bundle = make_tiny_bundle(folder / "tiny")
    child = processes.siftfunnel(
        "attacker", "--tap", tap, "--http", "127.0.0.1:0", "--bundle", bundle.directory
    )
    child.wait_for('"ready": true', timeout_s=60)
    return child


def test_with_its_last_tap_the_attacker_ends_and_says_why(
    processes: Processes, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    attacker = listen(processes, tmp_path, f"relay:0:127.0.0.1:{free_port()}")
    pid = attacker.process.pid
    (relay,) = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    os.kill(relay, signal.SIGKILL)
    assert attacker.wait(30) == 1
    assert "no tap is left to listen with: relay:" in attacker.output
    assert "Traceback" not in attacker.output


@pytest.fixture
def interface() -> str:
    """A pair of virtual interfaces, such as a container has one end of."""
    name = f"sf{os.getpid() % 100_000}"
    command = ["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p"]
    if shutil.which("ip") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("making an interface takes `ip` and CAP_NET_ADMIN")
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    return name


@needs_permission
def test_an_interface_that_goes_away_ends_the_attacker(
    processes: Processes, tmp_path: Path, interface: str
) -> None:
    attacker = listen(processes, tmp_path, f"sniff:{interface}:50051")
    subprocess.run(["ip", "link", "del", interface], check=True)
    assert attacker.wait(30) == 1
    assert f"sniff:{interface}:50051: the interface went away" in attacker.output
