"""What a peer is: a server, mostly in an environment of its own, that holds a bundle's cloud half."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from siftfunnel.bench.cores import on_core
from siftfunnel.bench.peers.environment import Environment, PeerUnavailableError, last_lines
from siftfunnel.bench.peers.family import Family
from siftfunnel.bench.peers.wires import Wire
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.ports import LOOPBACK, free_ports

START_TIMEOUT_S = 180.0
PORTS = 3
_POLL_S = 0.2
_STOP_TIMEOUT_S = 20.0
_LOG = "log.txt"


@dataclass(frozen=True)
class Place:
    """Where one run of a peer works.

    Attributes:
        python: The environment's interpreter.
        folder: For its files; empty at first.
        scratch: Its directory for temporary files, short enough for sockets in it; removed afterwards.
        ports: Free ones; clients come to the first.
    """

    python: Path
    folder: Path
    scratch: Path
    ports: tuple[int, ...]


@dataclass(frozen=True)
class Peer:
    """A model server.

    Attributes:
        name: At the command line and in results.
        label: In tables, with what it really runs.
        settings: How it is configured, in words.
        wire: How clients speak to it.
        environment: What it needs; None for what runs in ours.
        command: Writes its files into the place and gives the command line that serves the bundle.
        variables: Further environment variables.
    """

    name: str
    label: str
    settings: str
    wire: Wire
    environment: Environment | None
    command: Callable[[Bundle, Place], list[str]]
    variables: Mapping[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def serving(
        self,
        bundle: Bundle,
        folder: Path,
        root: Path,
        show: Callable[[str], None],
        core: int | None = None,
    ) -> Iterator["RunningPeer"]:
        """Install, start, wait until the model is ready; stop it afterwards.

        Args:
            bundle: Whose cloud half is served, under the bundle's name.
            folder: For configuration and log.
            root: Where environments are kept.
            show: Takes a line of progress.
            core: The one that all its processes run on; None leaves them free.

        Raises:
            PeerUnavailableError: it cannot be installed, or ends before it is ready.
        """
        python = self.environment.prepare(root, show) if self.environment else Path(sys.executable)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True) as scratch:
            place = Place(python, folder, Path(scratch), tuple(free_ports(PORTS)))
            running = RunningPeer(self, place, self.command(bundle, place), bundle, core)
            try:
                running.start()
                yield running
            finally:
                running.stop()


class RunningPeer:
    """A peer's processes; ``kill`` and ``start`` are for faults.

    Attributes:
        family: All of them, to be paused between turns and watched.
    """

    def __init__(
        self, peer: Peer, place: Place, command: list[str], bundle: Bundle, core: int | None = None
    ) -> None:
        self._peer = peer
        self._place = place
        self._command = command
        self._bundle = bundle
        self._core = core
        self.family = Family()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """HOST:PORT for clients."""
        return f"{LOOPBACK}:{self._place.ports[0]}"

    def start(self) -> None:
        """Start it and wait until its model is ready.

        Raises:
            PeerUnavailableError: it ended, or was not ready in time.
        """
        own = {"OMP_NUM_THREADS": "1", "TMPDIR": str(self._place.scratch), **self.family.variables}
        with (self._place.folder / _LOG).open("ab") as output, on_core(self._core):
            self._process = subprocess.Popen(
                self._command,
                cwd=self._place.folder,
                env=os.environ | self._peer.variables | own,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for us; we stop them
                start_new_session=True,
            )
        until_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until_s and self.alive:
            if self._ready():
                return
            time.sleep(_POLL_S)
        self.stop()
        raise PeerUnavailableError(f"{self._peer.name} did not come up: {self.last_words()}")

    def _ready(self) -> bool:
        # refused, reset, not found, unavailable: each wire has its own words for "not yet"
        with contextlib.suppress(Exception):
            return self._peer.wire.ready(self.address, self._bundle)
        return False

    @property
    def alive(self) -> bool:
        """Whether its first process runs."""
        return self._process is not None and self._process.poll() is None

    def last_words(self) -> str:
        """The end of its log, and where the rest is."""
        log = self._place.folder / _LOG
        return f"{last_lines(log.read_text(errors='replace'))} (all of it: {log})"

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and end it if it does not."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        self.family.resume()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_TIMEOUT_S)
        self.family.end(_STOP_TIMEOUT_S)
        process.wait()
