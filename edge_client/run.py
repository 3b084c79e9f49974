"""One run of the device: a source through a client into outputs, and what it came to."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from edge_client.client import SplitClient
from edge_client.encoder import Encoded
from edge_client.errors import EdgeError, SourceError
from edge_client.outcome import FrameFailure, Outcome
from edge_client.outputs import Output
from edge_client.producer import OnHandedIn
from edge_client.sources.source import Source
from edge_client.streaming import OutcomeStream
from edge_client.summary import Summary, write_summary
from shared.showing import printable

if TYPE_CHECKING:
    from edge_client.preview import PreviewServer


@dataclass(frozen=True)
class RunConfig:
    """What happens around the stream.

    Attributes:
        summary: file for the figures, or None.
        grace_s: how long a stop waits for answers that are under way, seconds.
        ready_line: print one line of JSON when the device is ready.
        quiet: no line of figures at the end.
    """

    summary: Path | None = None
    grace_s: float = 5.0
    ready_line: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.grace_s < 0:
            raise ValueError(f"--grace must not be negative, not {self.grace_s}")
        if self.summary is not None and not self.summary.parent.is_dir():
            raise ValueError(f"--summary {self.summary}: no such folder; make it first")


def play(
    client: SplitClient,
    source: Source,
    outputs: Sequence[Output],
    preview: "PreviewServer | None",
    config: RunConfig,
) -> Summary:
    """Send a source's pictures, write every outcome, and keep the figures.

    SIGTERM and Ctrl-C stop reading, wait for what is under way, and end the run in order; a second one
    waits no longer.

    Raises:
        EdgeError: as `SplitClient.stream`, or no frame was answered; outcomes and figures are written before.
        SourceError: nothing was sent, though nobody stopped it.
    """
    summary = Summary(client.bundle.name, client.codec, client.bundle.manifest.classes)
    with ExitStack() as cleanup:
        stream = cleanup.enter_context(client.open_stream(source, on_handed_in=_publisher(client, preview)))
        cleanup.callback(_conclude, summary, stream, config)
        stopped = cleanup.enter_context(_stopping(stream, config.grace_s))
        if config.ready_line:
            announce(client, preview)
        for outcome in stream:
            summary.add(outcome)
            _write(outcome, outputs)
    if not stopped():
        _require_answers(summary, stream.handed_in)
    return summary


def _require_answers(summary: Summary, handed_in: int) -> None:
    """An end in which nothing was answered is no success, whatever the reason."""
    if summary.skipped and not handed_in:
        raise SourceError(
            f"nothing was sent: {summary.skipped} pictures skipped, "
            f"the first because of {summary.first_skipped}"
        )
    if not handed_in:
        raise SourceError("nothing was sent: the source gave no picture")
    if summary.errors and not summary.answered:
        raise EdgeError(f"no frame was answered: {summary.as_text(handed_in)}")


def _write(outcome: Outcome, outputs: Sequence[Output]) -> None:
    if isinstance(outcome, FrameFailure) and outcome.sequence is None:
        # where answers are read on the terminal, their lines have it already
        if not any(output.for_people for output in outputs):
            print(f"skipped {printable(outcome.message)}", file=sys.stderr, flush=True)
    for output in outputs:
        output.write(outcome)


def _publisher(client: SplitClient, preview: "PreviewServer | None") -> OnHandedIn | None:
    if preview is None:
        return None
    ring, digest = preview.ring, client.bundle.digest

    def publish(sequence: int, encoded: Encoded) -> None:
        ring.publish(digest, sequence, encoded.picture.label, encoded.pixels_HWC)

    return publish


def _conclude(summary: Summary, stream: OutcomeStream, config: RunConfig) -> None:
    if config.summary is not None:
        write_summary(config.summary, summary.as_json(stream.handed_in))
    if summary.foreign_labels:
        print(
            f"{summary.foreign_labels} labels, for example {summary.foreign_label!r}, are no classes of the "
            "bundle; they do not count for the accuracy",
            file=sys.stderr,
        )
    if not config.quiet:
        print(summary.as_text(stream.handed_in), file=sys.stderr, flush=True)


def announce(client: SplitClient, preview: "PreviewServer | None") -> None:
    """Print the one line that a conductor waits for, on standard error: standard output holds answers."""
    line = {
        "ready": True,
        "edge": client.server,
        "bundle": client.bundle.name,
        "digest": client.bundle.digest,
        "codec": client.codec,
        "first_sequence": client.settings.first_sequence,
        "preview": preview.address if preview else None,
        "pid": os.getpid(),
    }
    print(json.dumps(line), file=sys.stderr, flush=True)


@contextmanager
def _stopping(stream: OutcomeStream, grace_s: float) -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and SIGINT into an orderly end of the stream while inside; gives whether one came."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    timers: list[threading.Timer] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        # on a thread of its own: the main thread may hold the very lock that a stop needs
        first = not timers
        timers.append(_after(0.0, stream.stop if first else stream.abandon))
        if first:
            timers.append(_after(grace_s, stream.abandon))

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(timers)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for timer in timers:
            timer.cancel()


def _after(delay_s: float, do: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(delay_s, do)
    timer.daemon = True
    timer.start()
    return timer
