"""One run as the device's process is told it, and the counters that are read around it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from siftfunnel.bench.cells.counters import TcpCount, count_connection, interface_sent_bytes
from siftfunnel.bench.cells.frames import Frame
from siftfunnel.bench.cells.load import Load
from siftfunnel.bench.cells.paths import EdgeOnly, Upload
from siftfunnel.bench.cells.result import Mode

MEASURING = "measuring"
"""The line that the device's process prints when a run's warm-up is over."""


@dataclass(frozen=True)
class Task:
    """One run.

    Attributes:
        bundle: Directory.
        pictures: Where they come from; see `read_pictures`.
        pictures_at_most: How many are used.
        mode, codec: Of the cell.
        codec_index: Position of a picture codec on the wire; unused elsewhere.
        server: HOST:PORT as the device reaches it; None in edge-only.
        load: What LoadGen does.
        interface: The link's, at both ends; None where the link is none of packets.
        cloud_process: Lives at the cloud's end; its namespace's counters are read.
        counts_segments: Whether the connection's segments are those of the link.
    """

    bundle: str
    pictures: str
    pictures_at_most: int
    mode: Mode
    codec: str
    codec_index: int
    server: str | None
    load: Load
    interface: str | None
    cloud_process: int | None
    counts_segments: bool

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Task":
        """What `to_json` gave."""
        return cls(**(value | {"load": Load.from_json(value["load"])}))


@dataclass(frozen=True)
class Counts:
    """The kernel's and the client's counters at one moment."""

    tcp: TcpCount | None
    link_up: int | None
    link_down: int | None
    replies: int

    @classmethod
    def now(cls, task: Task, way: EdgeOnly | Upload) -> "Counts":
        """Read them."""
        link_up = link_down = None
        if task.interface is not None and task.cloud_process is not None:
            link_up = interface_sent_bytes(task.interface)
            link_down = interface_sent_bytes(task.interface, task.cloud_process)
        tcp = None if task.server is None else count_connection(task.server)
        return cls(tcp, link_up, link_down, way.reply_bytes if isinstance(way, Upload) else 0)


Totals = dict[str, float | None]


def totals_between(
    before: Counts, after: Counts, frames: Sequence[Frame], task: Task
) -> tuple[Totals, Totals]:
    """Bytes up and down by layer; None for a layer that was not measured."""
    if task.server is None:
        nothing: Totals = dict.fromkeys(("payload", "message", "tcp", "link"), 0.0)
        return nothing, dict(nothing)
    up: Totals = {"payload": float(sum(frame.payload_bytes for frame in frames))}
    down: Totals = {"payload": float(after.replies - before.replies)}
    up |= {"message": None, "tcp": None}
    down |= {"message": None, "tcp": None}
    old, new = before.tcp, after.tcp
    if old is not None and new is not None and old.inode == new.inode:
        sent, received = new.bytes_sent - old.bytes_sent, new.bytes_received - old.bytes_received
        up["message"], down["message"] = float(sent), float(received)
        if task.counts_segments:
            out, into = new.segments_sent - old.segments_sent, new.segments_received - old.segments_received
            up["tcp"] = float(sent + out * new.header_bytes)
            down["tcp"] = float(received + into * new.header_bytes)
    up["link"] = _difference(before.link_up, after.link_up)
    down["link"] = _difference(before.link_down, after.link_down)
    return up, down


def _difference(before: int | None, after: int | None) -> float | None:
    return None if before is None or after is None else float(after - before)
