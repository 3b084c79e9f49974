"""A service manager hears when the server is ready, alive and stopping; systemd takes the unit file."""

import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from siftfunnel.cloud_server.supervisor import UNSUPERVISED, Supervisor
from tests.conftest import ROOT, Processes

UNIT = ROOT / "cloud_server" / "deploy" / "systemd" / "siftfunnel-cloud.service"
MOST_EXPOSED = 2.0
"""Of 10, as `systemd-analyze security` counts: below it calls a service "OK" or better."""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(30)
        yield listener


def heard(manager: socket.socket, wanted: str) -> str:
    while wanted not in (told := manager.recv(4096).decode()):
        pass
    return told


def test_a_served_process_says_ready_then_alive_then_stopping(
    processes: Processes, manager: socket.socket
) -> None:
    server = processes.siftfunnel(
        *("cloud", "--bundle", "drawnfaces-siftfunnel", "--listen", "127.0.0.1:0"),
        NOTIFY_SOCKET=manager.getsockname(),
        WATCHDOG_USEC="1000000",
    )
    assert "drawnfaces-siftfunnel" in heard(manager, "READY=1")
    for _ in range(2):
        heard(manager, "WATCHDOG=1")
    server.process.send_signal(signal.SIGTERM)
    heard(manager, "STOPPING=1")
    assert server.process.wait(30) == 0


def test_a_beat_is_told_three_times_a_watch_and_only_to_whom_it_concerns(manager: socket.socket) -> None:
    now_s = [0.0]
    environment = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "3000000"}
    supervisor = Supervisor(environment, lambda: now_s[0])
    for _ in range(30):
        supervisor.alive()
        now_s[0] += 0.1
    stranger = Supervisor({**environment, "WATCHDOG_PID": "1"})
    stranger.alive()
    stranger.status("last")
    told = []
    while "STATUS=last" not in told:
        told.append(manager.recv(4096).decode())
    assert told.count("WATCHDOG=1") == 3


def test_an_abstract_address_is_reached_and_one_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0siftfunnel-test-notify")
        Supervisor({"NOTIFY_SOCKET": "@siftfunnel-test-notify"}).ready("x")
        assert listener.recv(4096).decode().splitlines() == ["READY=1", "STATUS=x"]
    for silent in (Supervisor({"NOTIFY_SOCKET": str(tmp_path / "gone")}), UNSUPERVISED):
        silent.ready("x")
        silent.alive()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_takes_the_unit_and_finds_it_well_locked_up(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub("ExecStart=[^ ]+", f"ExecStart={sys.executable}", UNIT.read_text()))
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in verified.stderr.splitlines() if UNIT.name in line]
    assert (verified.returncode, complaints) == (0, [])
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    exposed = re.search(r"Overall exposure level for \S+: ([\d.]+)", judged.stdout)
    assert exposed is not None
    assert float(exposed[1]) < MOST_EXPOSED
