"""Drives the compose file of this repository with whichever Compose is installed."""

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]
COMMAND_TIMEOUT_S = 900
COMMANDS: tuple[tuple[str, ...], ...] = (("docker", "compose"), ("docker-compose",))

Result = TypeVar("Result")


class StackError(AssertionError):
    """A command failed, or what was waited for did not come; the text holds the containers' logs."""


def find_compose() -> tuple[str, ...]:
    """The command of SIFTFUNNEL_COMPOSE, else the first of `COMMANDS` that answers."""
    if named := os.environ.get("SIFTFUNNEL_COMPOSE"):
        return tuple(named.split())
    for command in COMMANDS:
        try:
            if subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0:
                return command
        except FileNotFoundError:
            continue
    raise StackError("neither `docker compose` nor `docker-compose` answers here: install Docker")


@dataclass
class Stack:
    """One project of the compose file, under a name that nothing else uses.

    Attributes:
        settings: environment variables that the compose file reads.
        command: how Compose is called.
        project: name of the project.
        timings_s: how long each step took.
    """

    settings: Mapping[str, str]
    command: tuple[str, ...] = field(default_factory=find_compose)
    project: str = field(default_factory=lambda: f"siftfunnel-test-{uuid.uuid4().hex[:8]}")
    timings_s: dict[str, float] = field(default_factory=dict)

    def compose(self, *arguments: str) -> str:
        """Run Compose on this project and return what it printed on standard output."""
        return self.run(*self.command, "--project-name", self.project, *arguments)

    def run(self, *command: str) -> str:
        """Run a command in the repository's root.

        Raises:
            StackError: it failed.
        """
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **self.settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            printed = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            raise StackError(f"{' '.join(command)}: exit code {done.returncode}\n{printed}")
        return done.stdout

    def timed(self, step: str, do: Callable[[], Result]) -> Result:
        """Do something and note how long it took."""
        started_s = time.monotonic()
        try:
            return do()
        finally:
            self.timings_s[step] = time.monotonic() - started_s

    def down(self) -> None:
        """Remove everything that belongs to the project."""
        self.compose("down", "--volumes", "--remove-orphans")

    def container(self, service: str) -> str:
        """Id of a service's container; empty where there is none."""
        return self.compose("ps", "--quiet", service).strip()

    def inspect(self, service: str, form: str) -> str:
        """`docker inspect` of a service's container with a Go template."""
        return self.run("docker", "inspect", "--format", form, self.container(service)).strip()

    def execute(self, service: str, *command: str) -> str:
        """Run a command inside a running service."""
        return self.compose("exec", "-T", service, *command)

    def status(self, service: str) -> dict[str, str]:
        """/proc/1/status of a service's first process."""
        lines = self.execute(service, "cat", "/proc/1/status").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def python(self, image: str, program: str) -> str:
        """Run a Python program in a fresh container of an image, cut off from any network."""
        command = (
            "docker",
            "run",
            "--rm",
            "--network",
            "none",
            "--entrypoint",
            "python",
            image,
            "-c",
            program,
        )
        return self.run(*command).strip()

    def wait_until(self, what: str, look: Callable[[], Result | None], timeout_s: float = 240.0) -> Result:
        """Look until something other than None comes back, and return it.

        Raises:
            StackError: it did not in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while (found := look()) is None:
            if time.monotonic() > deadline_s:
                raise StackError(
                    f"not within {timeout_s:.0f} s: {what}\n{self.compose('logs', '--tail', '30')}"
                )
            time.sleep(0.5)
        return found

    def wait_healthy(self, *services: str) -> None:
        """Wait until the health checks of these services pass."""

        def healthy() -> bool | None:
            states = [self.inspect(service, "{{.State.Health.Status}}") for service in services]
            return True if set(states) == {"healthy"} else None

        self.wait_until(f"{', '.join(services)} healthy", healthy)


def fetch(url: str) -> str | None:
    """What an address answers, or None where nothing answers yet."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return None


def fetch_json(url: str) -> dict[str, object] | None:
    """A JSON object from an address, or None where nothing answers yet."""
    text = fetch(url)
    return None if text is None else dict(json.loads(text))


def answered_frames(metrics: str) -> float:
    """Frames that a service has answered, from its /metrics.

    >>> answered_frames('siftfunnel_frames_total{bundle="a",codec="q6",outcome="answered"} 3.0')
    3.0
    """
    pattern = r'^siftfunnel_frames_total\{[^}]*outcome="answered"[^}]*\} (\S+)$'
    return sum(float(value) for value in re.findall(pattern, metrics, re.MULTILINE))
