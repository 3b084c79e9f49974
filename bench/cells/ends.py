"""The processes at the two ends of a link, kept for all of its cells."""

import contextlib
import json
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from siftfunnel.bench.announced import ServerNotStartedError, announced
from siftfunnel.bench.cells.load import Load
from siftfunnel.bench.cells.picture_codec import is_picture_codec
from siftfunnel.bench.cells.plan import PlannedCell
from siftfunnel.bench.cells.record import RunRecord
from siftfunnel.bench.cells.task import MEASURING, Task
from siftfunnel.bench.links.link import Link
from siftfunnel.bench.links.tun import INTERFACE
from siftfunnel.shared.children import python_module

START_TIMEOUT_S = 120.0
_PACKETS = ("tun", "netem")


class RunFailedError(RuntimeError):
    """A run gave no figures; says why."""


@dataclass
class Server:
    """A server's process at the cloud's end.

    Attributes:
        process: Running.
        address: HOST:PORT at which the device reaches it.
    """

    process: "subprocess.Popen[str]"
    address: str


@dataclass
class Ends:
    """Device and cloud of a link.

    Args:
        link: In place.
        features: The server of split inference; None where no cell needs it.
        pictures: The server of cloud-only; likewise.
        picture_codecs: In that server's wire order.
    """

    link: Link
    features: Server | None
    pictures: Server | None
    picture_codecs: Sequence[str]
    _device: "subprocess.Popen[str] | None" = field(default=None, init=False)

    def run(
        self, cell: PlannedCell, load: Load, on_measuring: Callable[[], None] = lambda: None
    ) -> RunRecord:
        """One run of a cell.

        Args:
            cell: Planned on this link.
            load: The cell's, or the same with its arrivals decided.
            on_measuring: Called when the warm-up is over.

        Raises:
            RunFailedError: it gave no figures.
        """
        task = self._task(cell, load)
        device = self._device = self._device or self._start_device()
        assert device.stdin is not None
        assert device.stdout is not None
        limit_s = 3 * max(load.at_most_s, load.seconds) + cell.drop_s + START_TIMEOUT_S
        watchdog = threading.Timer(limit_s, device.kill)
        watchdog.start()
        try:
            device.stdin.write(json.dumps(task.to_json()) + "\n")
            device.stdin.flush()
            line = device.stdout.readline()
            if line.strip() == MEASURING:
                on_measuring()
                line = device.stdout.readline()
        except OSError:
            line = ""
        finally:
            watchdog.cancel()
        if not line:
            self.close()
            raise RunFailedError("the device's process ended; it said why above, or was silent for too long")
        answer = json.loads(line)
        if "record" not in answer:
            raise RunFailedError(answer["failure"])
        return RunRecord.from_json(answer["record"])

    def _task(self, cell: PlannedCell, load: Load) -> Task:
        server = {"edge-only": None, "cloud-only": self.pictures}.get(cell.mode, self.features)
        packets = self.link.emulation in _PACKETS
        return Task(
            bundle=str(cell.bundle.directory),
            pictures=cell.pictures.place,
            pictures_at_most=len(cell.pictures.files),
            mode=cell.mode,
            codec=cell.codec,
            codec_index=self.picture_codecs.index(cell.codec) if cell.mode == "cloud-only" else 0,
            server=None if server is None else server.address,
            load=load,
            interface=INTERFACE if packets else None,
            cloud_process=None if server is None else server.process.pid,
            # a relay ends the connection: the segments on this side are not those of the link
            counts_segments=self.link.emulation != "relay",
        )

    def _start_device(self) -> "subprocess.Popen[str]":
        command = self.link.at_device(python_module("siftfunnel.bench.cells.device"))
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self) -> None:
        """End the device's process."""
        device, self._device = self._device, None
        if device is None:
            return
        device.kill()
        device.wait()
        for end in (device.stdin, device.stdout):
            if end is not None:
                with contextlib.suppress(OSError):
                    end.close()


@contextlib.contextmanager
def open_ends(link: Link, cells: Sequence[PlannedCell]) -> Iterator[Ends]:
    """Start the servers that the cells need.

    Raises:
        RunFailedError: one does not start.
    """
    uploads = list(dict.fromkeys(cell.codec for cell in cells if is_picture_codec(cell.codec)))
    with contextlib.ExitStack() as stack:
        features = pictures = None
        if bundles := _bundles(cell for cell in cells if cell.mode in ("split", "raw-features")):
            command = python_module("siftfunnel", "cloud", "--listen", f"{link.host}:0")
            command += ["--log-level", "warning"] + [
                each for path in bundles for each in ("--bundle", str(path))
            ]
            features = stack.enter_context(_serving(link, command))
        if bundles := _bundles(cell for cell in cells if cell.mode == "cloud-only"):
            command = python_module("siftfunnel.bench.cells.picture_cloud", "--host", link.host)
            command += [each for path in bundles for each in ("--bundle", str(path))]
            command += [each for name in uploads for each in ("--codec", name)]
            pictures = stack.enter_context(_serving(link, command))
        ends = Ends(link, features, pictures, uploads)
        stack.callback(ends.close)
        yield ends


def _bundles(cells: Iterable[PlannedCell]) -> list[Path]:
    return list(dict.fromkeys(cell.bundle.directory for cell in cells))


@contextlib.contextmanager
def _serving(link: Link, command: list[str]) -> Iterator[Server]:
    try:
        with (
            announced(link.at_cloud(command)) as (process, told),
            link.towards(told["grpc"]) as address,
        ):
            yield Server(process, address)
    except ServerNotStartedError as error:
        raise RunFailedError(str(error)) from error
