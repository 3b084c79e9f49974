"""A Ray cluster of several nodes on this machine, started as a user starts one; nodes can be killed."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_RAY = Path(sys.executable).with_name("ray")
_START_S = 120.0
_OBJECT_STORE_BYTES = 100_000_000


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RayCluster:
    """Nodes in the foreground of processes of ours; a context manager that leaves none of them behind.

    Attributes:
        address: HOST:PORT of the head.
        environment: what a program needs to be let in.
    """

    def __init__(self, cores: int) -> None:
        # a socket's path may have 107 characters, so pytest's own folders are too deep
        self._folder = Path(tempfile.mkdtemp(prefix="ray-"))
        self._nodes: list[subprocess.Popen[bytes]] = []
        # a secret of its own: whatever token this user's home may hold belongs to other clusters
        self.environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self.address = f"127.0.0.1:{free_port()}"
        host, port = self.address.split(":")
        self._start(
            "--head",
            f"--node-ip-address={host}",
            f"--port={port}",
            f"--ray-client-server-port={free_port()}",
            "--include-dashboard=false",
            f"--temp-dir={self._folder}",
            cores=cores,
        )

    def add_node(self, cores: int) -> int:
        """One more node; gives the number by which it is killed."""
        self._start(f"--address={self.address}", "--node-ip-address=127.0.0.1", cores=cores)
        return len(self._nodes) - 1

    def kill(self, number: int) -> int:
        """End every process of a node at once, as a power cut would; gives how many there were."""
        family = self.processes(number)
        for pid in family:
            _kill(pid)
        self._nodes[number].wait()
        return len(family)

    def processes(self, number: int) -> list[int]:
        """All processes of a node."""
        started = self._nodes[number].pid
        return [started, *descendants(started)]

    def close(self) -> None:
        """Kill all nodes, the head last, and remove their folder."""
        for number in reversed(range(len(self._nodes))):
            self.kill(number)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> "RayCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, *flags: str, cores: int) -> None:
        log = self._folder / f"start-{len(self._nodes)}.log"
        command = [str(_RAY), "start", "--block", "--disable-usage-stats", f"--num-cpus={cores}"]
        command += [f"--object-store-memory={_OBJECT_STORE_BYTES}", *flags]
        with log.open("wb") as output:
            node = subprocess.Popen(
                command,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._nodes.append(node)
        deadline_s = time.monotonic() + _START_S
        while b"Ray runtime started" not in log.read_bytes():
            if node.poll() is not None or time.monotonic() > deadline_s:
                said = log.read_text()
                self.close()
                raise AssertionError(f"a Ray node did not start:\n{said}")
            time.sleep(0.1)


def descendants(pid: int) -> list[int]:
    """Children of a process, their children, and so on."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(text) for text in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
