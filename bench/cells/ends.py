"""The processes at the two ends of a link, kept for all of its cells."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from siftfunnel.bench.cells.load import Load
from siftfunnel.bench.cells.picture_codec import is_picture_codec
from siftfunnel.bench.cells.plan import PlannedCell
from siftfunnel.bench.cells.record import MEASURING, RunRecord, Task
from siftfunnel.bench.children import Child, announced, child, cloud_command
from siftfunnel.bench.links.link import Link
from siftfunnel.bench.stored import as_json, read

START_TIMEOUT_S = 120.0


class RunFailedError(RuntimeError):
    """A run gave no figures; says why."""


@dataclass
class Server:
    """A server's process at the cloud's end.

    Attributes:
        child: Running.
        address: HOST:PORT at which the device reaches it.
    """

    child: Child
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
    _device: Child | None = field(default=None, init=False)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, init=False)

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
        limit_s = 3 * max(load.at_most_s, load.seconds) + cell.drop_s + START_TIMEOUT_S
        watchdog = threading.Timer(limit_s, device.process.kill)
        watchdog.start()
        try:
            device.say(as_json(task))
            if (answer := device.hear()) == MEASURING:
                on_measuring()
                answer = device.hear()
        except OSError:
            answer = None
        finally:
            watchdog.cancel()
        if answer is None:
            self.close()
            raise RunFailedError("the device's process ended; it said why above, or was silent for too long")
        if "record" not in answer:
            raise RunFailedError(answer["failure"])
        return read(RunRecord, answer["record"], "the device's record")

    def _task(self, cell: PlannedCell, load: Load) -> Task:
        server = {"edge-only": None, "cloud-only": self.pictures}.get(cell.mode, self.features)
        return Task(
            bundle=str(cell.bundle.directory),
            pictures=cell.pictures.place,
            pictures_at_most=len(cell.pictures.files),
            mode=cell.mode,
            codec=cell.codec,
            codec_index=self.picture_codecs.index(cell.codec) if cell.mode == "cloud-only" else 0,
            server=None if server is None else server.address,
            load=load,
            emulation=self.link.emulation,
            cloud_process=None if server is None else server.child.process.pid,
        )

    def _start_device(self) -> Child:
        # the parent plans and tells; what computes is imported by the device's process alone
        from siftfunnel.bench.cells import device

        command = self.link.at_device(child(device.serve))
        return self._stack.enter_context(announced(command, takes_input=True))

    def close(self) -> None:
        """End the device's process."""
        self._device = None
        self._stack.close()


@contextlib.contextmanager
def open_ends(link: Link, cells: Sequence[PlannedCell]) -> Iterator[Ends]:
    """Start the servers that the cells need.

    Raises:
        NotStartedError: one does not start.
    """
    uploads = list(dict.fromkeys(cell.codec for cell in cells if is_picture_codec(cell.codec)))
    with contextlib.ExitStack() as stack:
        features = pictures = None
        if bundles := _bundles(cell for cell in cells if cell.mode in ("split", "raw-features")):
            features = stack.enter_context(_serving(link, cloud_command(bundles, link.host)))
        if bundles := _bundles(cell for cell in cells if cell.mode == "cloud-only"):
            from siftfunnel.bench.cells import picture_cloud

            places = [str(path) for path in bundles]
            command = child(picture_cloud.serve, host=link.host, bundles=places, codecs=uploads)
            pictures = stack.enter_context(_serving(link, command))
        ends = Ends(link, features, pictures, uploads)
        stack.callback(ends.close)
        yield ends


def _bundles(cells: Iterable[PlannedCell]) -> list[Path]:
    return list(dict.fromkeys(cell.bundle.directory for cell in cells))


@contextlib.contextmanager
def _serving(link: Link, command: list[str]) -> Iterator[Server]:
    with announced(link.at_cloud(command)) as running, link.towards(running.address) as address:
        yield Server(running, address)
