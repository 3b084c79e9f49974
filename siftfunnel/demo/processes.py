"""Child processes that end with their parent, say why they ended before it, and are brought back."""

import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from siftfunnel.shared.children import module_path, python_module

TAIL_LINES = 12
_PIPE_BYTES = 4096
PAUSE_S = 3.0
MOST = 5
WITHIN_S = 120.0


class PartyError(RuntimeError):
    """A party of the demo could not be started, or ended by itself; the text holds its last log lines."""


class Party:
    """One ``siftfunnel`` command as a process of its own, its output in a log file.

    It runs in a session of its own, so that Ctrl-C in the terminal reaches the conductor alone, which then
    ends the parties in order.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        log: Path,
        takes_input: bool = False,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        """Start ``siftfunnel ARGUMENTS``.

        Args:
            name: "cloud", "edge" or "attacker", for messages.
            arguments: what follows ``siftfunnel``.
            log: receives both output streams; appended to.
            takes_input: whether `input` is a pipe to it.
            secrets: environment variables, for what must not stand on a command line.

        Raises:
            PartyError: the process could not be started.
        """
        self.name = name
        self.log = log
        environment = {**os.environ, **module_path(), "PYTHONUNBUFFERED": "1", **(secrets or {})}
        environment.setdefault("OMP_NUM_THREADS", "1")
        try:
            with log.open("ab") as output:
                output.write(os.fsencode(f"$ siftfunnel {' '.join(arguments)}\n"))
                output.flush()
                self._process = subprocess.Popen(
                    python_module("siftfunnel", *arguments),
                    stdin=subprocess.PIPE if takes_input else subprocess.DEVNULL,
                    # so that what it is given does not wait behind much that it was given before
                    pipesize=_PIPE_BYTES if takes_input else -1,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise PartyError(f"{name}: could not be started: {error}") from None

    @property
    def returncode(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    @property
    def input(self) -> IO[bytes]:
        """The pipe to its standard input."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def check(self) -> None:
        """Complain if it has ended.

        Raises:
            PartyError: it has; the text holds its last log lines.
        """
        if self.returncode is not None:
            raise self.ended()

    def ended(self) -> PartyError:
        """What to say about a party that ended when it should not have."""
        return PartyError(f"{self.how_it_ended()}; its last lines:\n{self.tail()}")

    def how_it_ended(self) -> str:
        """Its name and its exit code or signal."""
        code = self.returncode
        if code is not None and code < 0:
            return f"{self.name} was killed by {signal.Signals(-code).name}"
        return f"{self.name} ended with {code}"

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines it printed, indented."""
        try:
            text = self.log.read_text(errors="replace")
        except OSError:
            text = ""
        last = [line for line in text.splitlines() if line.strip()][-lines:]
        return "\n".join(f"  {line}" for line in last) or "  (nothing was printed)"

    def ask_to_end(self) -> None:
        """Send SIGTERM; a party that has ended is left alone."""
        if self.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    def end(self, grace_s: float = 10.0) -> None:
        """Ask it to end, wait, and kill it with its own children if it does not."""
        self.ask_to_end()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it and its own children without asking."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@dataclass
class Restarts:
    """When a party that is gone may come back; pure, callers pass the time in.

    Attributes:
        pause_s: how long it stays away, so that a person sees it.
        most: deaths by itself within `within_s` that are forgiven; one more is too many.
        within_s: seconds over which they count.
    """

    pause_s: float = PAUSE_S
    most: int = MOST
    within_s: float = WITHIN_S
    _deaths_s: deque[float] = field(default_factory=deque)
    _due_s: float | None = None
    _killed: bool = False

    def killed(self) -> None:
        """Somebody asked for the next death; it is not counted."""
        self._killed = True

    def died(self, now_s: float) -> bool:
        """Note a death; False where it was one too many.

        >>> restarts = Restarts(most=1)
        >>> restarts.died(0.0), restarts.died(1.0), restarts.died(500.0)
        (True, False, True)
        """
        self._due_s = now_s + self.pause_s
        if self._killed:
            self._killed = False
            return True
        while self._deaths_s and self._deaths_s[0] <= now_s - self.within_s:
            self._deaths_s.popleft()
        self._deaths_s.append(now_s)
        return len(self._deaths_s) <= self.most

    @property
    def away(self) -> bool:
        """Whether it died and has not come back."""
        return self._due_s is not None

    def due(self, now_s: float) -> bool:
        """Whether it is to come back now; True once per death."""
        if self._due_s is None or now_s < self._due_s:
            return False
        self._due_s = None
        return True


class Supervised:
    """A party that is brought back when it dies, a bounded number of times.

    Args:
        start: starts it.
        say: told of its deaths and returns.
    """

    def __init__(self, start: Callable[[], Party], say: Callable[[str], None]) -> None:
        self.restarts = Restarts()
        self._start = start
        self._say = say
        self.party = start()

    @property
    def up(self) -> bool:
        """Whether its process runs."""
        return self.party.returncode is None

    def kill(self) -> None:
        """End it without asking; it comes back."""
        self.restarts.killed()
        self.party.kill()

    def look(self) -> None:
        """Note a death, and bring it back when its time has come.

        Raises:
            PartyError: it died too often.
        """
        now_s = time.monotonic()
        if not self.up and not self.restarts.away:
            if not self.restarts.died(now_s):
                raise self.party.ended()
            self._say(f"{self.party.how_it_ended()}; it comes back in {self.restarts.pause_s:.0f} s")
        elif self.restarts.due(now_s):
            self.party = self._start()
            self._say(f"{self.party.name} is started again")
