"""Child processes that end with their parent and can say why they ended before it."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

TAIL_LINES = 12


class PartyError(RuntimeError):
    """A party of the demo could not be started, or ended by itself; the text holds its last log lines."""


class Party:
    """One ``siftfunnel`` command as a process of its own, its output in a log file.

    It runs in a session of its own, so that Ctrl-C in the terminal reaches the conductor alone, which then
    ends the parties in order.
    """

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        """Start ``siftfunnel ARGUMENTS``.

        Args:
            name: "cloud", "edge" or "attacker", for messages.
            arguments: what follows ``siftfunnel``.
            log: receives both output streams; appended to.

        Raises:
            PartyError: the process could not be started.
        """
        self.name = name
        self.log = log
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        environment.setdefault("OMP_NUM_THREADS", "1")
        try:
            with log.open("ab") as output:
                output.write(f"$ siftfunnel {' '.join(arguments)}\n".encode())
                output.flush()
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "siftfunnel", *arguments],
                    stdin=subprocess.DEVNULL,
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
        code = self.returncode
        how = (
            f"was killed by {signal.Signals(-code).name}"
            if code is not None and code < 0
            else f"ended with {code}"
        )
        return PartyError(f"{self.name} {how}; its last lines:\n{self.tail()}")

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
            self._kill_session()
            self._process.wait()

    def _kill_session(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
