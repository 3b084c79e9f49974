"""What a service manager is told: ready, still alive, stopping (the datagrams of systemd's sd_notify)."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping

SOCKET, WATCHDOG, OF_PROCESS = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
_BEATS_PER_WATCH = 3


class Supervisor:
    """Tells the manager that the environment names; where it names none, every call does nothing.

    Args:
        environment: of this process; `NOTIFY_SOCKET` is where to, a path or an abstract name behind "@".
        clock_s: seconds since any moment.
    """

    def __init__(self, environment: Mapping[str, str], clock_s: Callable[[], float] = time.monotonic) -> None:
        address = environment.get(SOCKET, "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._clock_s = clock_s
        self._next_s = -float("inf")
        watched = environment.get(OF_PROCESS, str(os.getpid())) == str(os.getpid())
        limit = environment.get(WATCHDOG, "")
        self._every_s = int(limit) / 1e6 / _BEATS_PER_WATCH if watched and limit.isdecimal() else None

    def ready(self, told: str) -> None:
        """The server takes frames; `told` is what a person reads in the manager's status."""
        self._tell("READY=1", f"STATUS={told}")

    def status(self, told: str) -> None:
        """Something else is to be read in the manager's status."""
        self._tell(f"STATUS={told}")

    def alive(self) -> None:
        """The server serves; a manager with a watchdog restarts one that it has not heard for too long."""
        if self._every_s is not None and self._clock_s() >= self._next_s:
            self._next_s = self._clock_s() + self._every_s
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The server drains."""
        self._tell("STOPPING=1", "STATUS=draining")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        # a manager that is gone is no reason to stop
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
            teller.connect(self._address)
            teller.send("\n".join(lines).encode())


UNSUPERVISED = Supervisor({})
"""Nobody asks."""
