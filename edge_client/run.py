"""One run of the device: a source through one client or several into outputs, and what it came to."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from siftfunnel.edge_client.client import SplitClient
from siftfunnel.edge_client.encoder import Encoded
from siftfunnel.edge_client.errors import EdgeError, SourceError
from siftfunnel.edge_client.outcome import FrameFailure, Outcome
from siftfunnel.edge_client.outputs import Output
from siftfunnel.edge_client.producer import OnHandedIn
from siftfunnel.edge_client.settings import RunConfig
from siftfunnel.edge_client.sources.source import Source
from siftfunnel.edge_client.summary import Summary, write_summary
from siftfunnel.edge_client.together import Part, Together
from siftfunnel.shared.showing import counted, printable

if TYPE_CHECKING:
    from siftfunnel.edge_client.preview import PreviewServer


def play(
    clients: Sequence[SplitClient],
    source: Source,
    outputs: Sequence[Output],
    preview: "PreviewServer | None",
    config: RunConfig,
) -> list[Summary]:
    """Send a source's pictures through every client's bundle, write every outcome, and keep the figures.

    SIGTERM and Ctrl-C stop reading, wait for what is under way, and end the run in order; a second one
    waits no longer. A stream that fails leaves the others going.

    Returns:
        The figures of each client.

    Raises:
        EdgeError: as `SplitClient.stream`, the first one, or no frame was answered; outcomes and figures are
            written before.
        SourceError: nothing was sent, though nobody stopped it.
    """
    with ExitStack() as cleanup:
        together = cleanup.enter_context(
            Together(clients, source, lambda client: _publisher(client, preview))
        )
        cleanup.callback(_conclude, together, config)
        stopped = cleanup.enter_context(_stopping(together, config.grace_s))
        if config.ready_line:
            announce(clients, preview)
        for part, outcome in together:
            part.summary.add(outcome)
            _write(outcome, outputs, loud=part is together.parts[0])
    if not stopped():
        for part in together.parts:
            _require_answers(part)
    return [part.summary for part in together.parts]


def _require_answers(part: Part) -> None:
    """An end in which nothing was answered is no success, whatever the reason."""
    summary, handed_in = part.summary, part.handed_in
    if summary.skipped and not handed_in:
        raise SourceError(
            f"nothing was sent: {counted(summary.skipped, 'picture')} skipped ({summary.skipped_why}); "
            f"the first: {summary.first_skipped}"
        )
    if not handed_in:
        raise SourceError("nothing was sent: the source gave no picture")
    if summary.errors and not summary.answered:
        raise EdgeError(f"no frame was answered: {summary.as_text(handed_in)}")


def _write(outcome: Outcome, outputs: Sequence[Output], loud: bool) -> None:
    # where answers are read on the terminal, their lines have it already
    loud = loud and not any(output.for_people for output in outputs)
    if loud and isinstance(outcome, FrameFailure) and outcome.sequence is None:
        print(f"skipped {printable(outcome.message)}", file=sys.stderr, flush=True)
    for output in outputs:
        output.write(outcome)


def _publisher(client: SplitClient, preview: "PreviewServer | None") -> OnHandedIn | None:
    if preview is None:
        return None
    ring, digest = preview.ring, client.bundle.digest

    def publish(sequence: int, encoded: Encoded) -> None:
        ring.publish(digest, sequence, encoded.picture.label, encoded.pixels_HWC, encoded.payload)

    return publish


def _conclude(together: Together, config: RunConfig) -> None:
    figures = [part.summary.as_json(part.handed_in) for part in together.parts]
    if config.summary is not None:
        write_summary(config.summary, figures[0] if len(figures) == 1 else {"bundles": figures})
    for part in together.parts:
        _say_figures(part, config, name=len(figures) > 1)


def _say_figures(part: Part, config: RunConfig, name: bool) -> None:
    prefix, summary = f"{part.client.bundle.name}: " if name else "", part.summary
    if summary.foreign_labels:
        print(
            f"{prefix}{counted(summary.foreign_labels, 'label')}, for example {summary.foreign_label!r}, not "
            "among the bundle's classes; not counted for the accuracy",
            file=sys.stderr,
        )
    if not config.quiet:
        print(prefix + summary.as_text(part.handed_in), file=sys.stderr, flush=True)


def announce(clients: Sequence[SplitClient], preview: "PreviewServer | None") -> None:
    """Print the one line that a conductor waits for, on standard error: standard output holds answers."""
    first = clients[0]
    about = [
        {"bundle": each.bundle.name, "digest": each.bundle.digest, "codec": each.codec} for each in clients
    ]
    line = {
        "ready": True,
        "edge": first.server,
        **(about[0] if len(about) == 1 else {"bundles": about}),
        "first_sequence": first.settings.first_sequence,
        "preview": preview.address if preview else None,
        "pid": os.getpid(),
    }
    print(json.dumps(line), file=sys.stderr, flush=True)


@contextmanager
def _stopping(stream: Together, grace_s: float) -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and SIGINT into an orderly end of the streams while inside; gives whether one came."""
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
