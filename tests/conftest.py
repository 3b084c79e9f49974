"""Options and fixtures that every room's tests share."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import settings

# pytest runs a process to a core: threads of one would only wait, at full speed, for those of another
os.environ.setdefault("OMP_NUM_THREADS", "1")

# how long an example takes says something about the machine only
settings.register_profile("short", deadline=None, print_blob=True, max_examples=40)
settings.register_profile("long", parent=settings.get_profile("short"), max_examples=100)
settings.load_profile("short")

ROOT = Path(__file__).resolve().parents[1]
_STOP_TIMEOUT_S = 15.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options that let long tests in."""
    parser.addoption("--run-slow", action="store_true", help="run the tests marked slow too")
    parser.addoption(
        "--run-docker", action="store_true", help="run the tests marked docker too (needs Docker)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Try more examples of each property where there is time."""
    if config.getoption("--run-slow"):
        settings.load_profile("long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what was not asked for, with the option that asks for it as the reason."""
    for marker in ("slow", "docker"):
        if config.getoption(f"--run-{marker}"):
            continue
        skip = pytest.mark.skip(reason=f"long: ask for it with --run-{marker}")
        for item in items:
            if marker in item.keywords:
                item.add_marker(skip)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that returns a TCP port nobody listens on at this moment."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    return find


class Processes:
    """Starts children of a test and ends all of them afterwards, whatever happened."""

    def __init__(self, log_directory: Path) -> None:
        self._log_directory = log_directory
        self._running: list[subprocess.Popen[bytes]] = []

    def siftfunnel(self, *arguments: str | Path, **environment: str) -> "Child":
        """Start ``siftfunnel ARGUMENTS``."""
        return self.python("-m", "siftfunnel", *arguments, **environment)

    def python(self, *arguments: str | Path, **environment: str) -> "Child":
        """Start this interpreter in the repository's root, in a session of its own."""
        log = self._log_directory / f"process-{len(self._running)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append(process)
        return Child(process, log)

    def stop(self) -> None:
        """Ask every child to end, then make it."""
        for process in reversed(self._running):
            if process.poll() is None:
                process.terminate()
        for process in self._running:
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Child:
    """One child process and what it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def output(self) -> str:
        """Everything printed so far, both streams."""
        return self._log.read_text(errors="replace")

    def wait(self, timeout_s: float = 60.0) -> int:
        """Wait for the end and return the exit code; a child that goes on fails the test with its output."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running after {timeout_s} s: {self.process.args}\n{self.output}")

    def wait_for(self, text: str, timeout_s: float = 30.0) -> str:
        """Wait until the child has printed ``text`` and return its output."""
        deadline = time.monotonic() + timeout_s
        while text not in (output := self.output):
            if self.process.poll() is not None:
                pytest.fail(f"ended with {self.process.returncode} before printing {text!r}\n{self.output}")
            if time.monotonic() > deadline:
                pytest.fail(f"{text!r} was not printed within {timeout_s} s\n{output}")
            time.sleep(0.05)
        return output


@pytest.fixture
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Starts ``siftfunnel`` children and always reaps them."""
    children = Processes(tmp_path_factory.mktemp("processes"))
    try:
        yield children
    finally:
        children.stop()


def run_siftfunnel(arguments: Sequence[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one ``siftfunnel`` command to its end and return what it printed."""
    return subprocess.run(
        [sys.executable, "-m", "siftfunnel", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
