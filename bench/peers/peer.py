"""What a peer is: a model server in its own environment that holds a bundle's cloud half."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc

from bench.peers.environment import Environment, PeerUnavailableError, last_lines
from cloud_server.open_inference import SERVICE
from shared.bundle import Bundle
from shared.rpc import open_inference_pb2 as oip

START_TIMEOUT_S = 180.0
_POLL_S = 0.2
_STOP_TIMEOUT_S = 20.0
_LOG = "log.txt"


@dataclass(frozen=True)
class Place:
    """Where one run of a peer works.

    Attributes:
        python: The environment's interpreter.
        folder: For its files; empty at first.
        port: For gRPC; the two after it are free as well.
    """

    python: Path
    folder: Path
    port: int


@dataclass(frozen=True)
class Peer:
    """A model server.

    Attributes:
        name: At the command line and in results.
        label: In tables, with what it really runs.
        environment: What it needs.
        command: Writes its files into the place and gives the command line that serves the bundle.
    """

    name: str
    label: str
    environment: Environment
    command: Callable[[Bundle, Place], list[str]]

    @contextlib.contextmanager
    def serving(
        self,
        bundle: Bundle,
        folder: Path,
        root: Path,
        show: Callable[[str], None],
    ) -> Iterator["RunningPeer"]:
        """Install, start, wait until the model is ready; stop it afterwards.

        Args:
            bundle: Whose cloud half is served, under the bundle's name.
            folder: For configuration and log.
            root: Where environments are kept.
            show: Takes a line of progress.

        Raises:
            PeerUnavailableError: it cannot be installed, or ends before it is ready.
        """
        python = self.environment.prepare(root, show)
        folder.mkdir(parents=True, exist_ok=True)
        place = Place(python, folder, three_free_ports())
        running = RunningPeer(self, place, self.command(bundle, place), bundle.name)
        try:
            running.start()
            yield running
        finally:
            running.stop()


class RunningPeer:
    """A peer's process; ``kill`` and ``start`` serve tests of faults."""

    def __init__(self, peer: Peer, place: Place, command: list[str], model: str) -> None:
        self._peer = peer
        self._place = place
        self._command = command
        self._model = model
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """HOST:PORT of its Open Inference Protocol over gRPC."""
        return f"127.0.0.1:{self._place.port}"

    def start(self) -> None:
        """Start it and wait until its model is ready.

        Raises:
            PeerUnavailableError: it ended, or was not ready in time.
        """
        log = self._place.folder / _LOG
        with log.open("ab") as output:
            # a session of its own, so that stopping it reaches the children it starts
            self._process = subprocess.Popen(
                self._command,
                cwd=self._place.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until_s = time.monotonic() + START_TIMEOUT_S
        with grpc.insecure_channel(self.address) as channel:
            ready = channel.unary_unary(
                f"/{SERVICE}/ModelReady",
                request_serializer=oip.ModelReadyRequest.SerializeToString,
                response_deserializer=oip.ModelReadyResponse.FromString,
            )
            while time.monotonic() < until_s:
                if self._process.poll() is not None:
                    break
                with contextlib.suppress(grpc.RpcError):
                    if ready(oip.ModelReadyRequest(name=self._model), timeout=1).ready:
                        return
                time.sleep(_POLL_S)
        self.stop()
        said = last_lines(log.read_text(errors="replace"))
        raise PeerUnavailableError(f"{self._peer.name} did not come up: {said} (all of it: {log})")

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
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_TIMEOUT_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def three_free_ports() -> int:
    """The first of three neighbouring ports that nobody listens on at this moment."""
    for _ in range(100):
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            try:
                for port in (first + 1, first + 2):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except (OSError, OverflowError):
                continue
            return int(first)
    raise PeerUnavailableError("no three neighbouring free ports on this machine")
