"""The terminal's view of a running demo: a live table where there is a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from siftfunnel.shared.showing import counted, figure

if TYPE_CHECKING:
    from rich.table import Table

_FIRST_OF_THE_ATTACKER = "pictures rebuilt"


@dataclass(frozen=True)
class Row:
    """One network through one codec in the view; None where there is no figure yet.

    Attributes:
        name: the bundle's.
        codec: the codec's.
        active: whether it is being played.
        frames: frames with an outcome.
        frames_wanted: how many this run plays; None: no end.
        rate_fps: outcomes per second, lately.
        accuracy: share of labelled answers that were right.
        edge_ms: median on the device.
        round_trip_ms: median from send to answer.
        payload_bytes: mean encoded feature.
        wire_bytes: mean TCP payload both ways.
        errors: frames with a typed error.
        rebuilt: pictures the attacker rebuilt.
        psnr_db: mean similarity of those to the model's input.
        ssim: mean similarity of those to the model's input.
    """

    name: str
    codec: str
    active: bool
    frames: int
    frames_wanted: int | None
    rate_fps: float
    accuracy: float | None
    edge_ms: float | None
    round_trip_ms: float | None
    payload_bytes: float | None
    wire_bytes: float | None
    errors: int
    rebuilt: int
    psnr_db: float | None
    ssim: float | None


@dataclass(frozen=True)
class Snapshot:
    """What the view shows at one moment."""

    page_url: str
    tls: bool
    headline: str
    rows: Sequence[Row]


def cells(row: Row) -> dict[str, str]:
    """A row's figures under the headings of the table."""
    wanted = f"/{row.frames_wanted}" if row.frames_wanted is not None else ""
    return {
        "frames": f"{row.frames}{wanted}" + (f" ({counted(row.errors, 'error')})" if row.errors else ""),
        "frames/s": figure(row.rate_fps) if row.active else "",
        "accuracy": figure(row.accuracy, ".1%"),
        "edge ms": figure(row.edge_ms, ".2f"),
        "round trip ms": figure(row.round_trip_ms, ".2f"),
        "payload B": figure(row.payload_bytes, ",.0f"),
        "wire B": figure(row.wire_bytes, ",.0f"),
        _FIRST_OF_THE_ATTACKER: str(row.rebuilt),
        "PSNR dB": figure(row.psnr_db),
        "SSIM": figure(row.ssim, ".3f"),
    }


def line(row: Row) -> str:
    """A row as one line of text."""
    cell = cells(row)
    return (
        f"{row.name} ({row.codec}): {cell['frames']} frames"
        f"{f', {row.rate_fps:.1f}/s' if row.active else ''}, accuracy {cell['accuracy']}, "
        f"edge {cell['edge ms']} ms, round trip {cell['round trip ms']} ms, "
        f"payload {cell['payload B']} B, wire {cell['wire B']} B; "
        f"attacker: {cell[_FIRST_OF_THE_ATTACKER]} rebuilt, PSNR {cell['PSNR dB']} dB, SSIM {cell['SSIM']}"
    )


class View:
    """One line about the active networks every few seconds; ``close`` gives the terminal back."""

    def __init__(self, output: TextIO, every_s: float = 2.0) -> None:
        self._output = output
        self._every_s = every_s
        self._last_s = -every_s
        self._last_text = ""

    def show(self, snapshot: Snapshot) -> None:
        """Print the active rows if the last ones are old enough."""
        if time.monotonic() - self._last_s < self._every_s:
            return
        text = "\n".join(line(row) for row in snapshot.rows if row.active)
        if text and text != self._last_text:
            self._last_s = time.monotonic()
            self._last_text = text
            self.say(text)

    def say(self, text: str) -> None:
        """Print one line that stays."""
        print(text, file=self._output, flush=True)

    def close(self) -> None:
        """Nothing to give back."""


class LiveView(View):
    """A table that is drawn again in place."""

    def __init__(self, output: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(output)
        self._live = Live(console=Console(), auto_refresh=False, transient=False)
        self._live.start()

    def show(self, snapshot: Snapshot) -> None:
        """Draw the table again."""
        self._live.update(table(snapshot), refresh=True)

    def say(self, text: str) -> None:
        """Print one line above the table."""
        self._live.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the last table standing."""
        self._live.stop()


def make_view(headless: bool, every_s: float = 2.0, output: TextIO | None = None) -> View:
    """A live table on a terminal that has rich, else plain lines."""
    stream = output or sys.stdout
    if headless or not stream.isatty():
        return View(stream, every_s)
    try:
        return LiveView(stream)
    except ImportError:
        return View(stream, every_s)


def table(snapshot: Snapshot) -> "Table":
    """The snapshot as a table of rich: one column per network and codec, the page's address below."""
    from rich import box
    from rich.table import Table

    secure = "TLS: the relay sees ciphertext" if snapshot.tls else "plaintext"
    drawn = Table(
        title=f"{snapshot.headline}\n{secure}",
        caption=f"What the attacker sees: {snapshot.page_url}\nCtrl-C ends the demo",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        min_width=64,
    )
    drawn.add_column("")
    for row in snapshot.rows:
        style = "bold" if row.active else "dim"
        drawn.add_column(
            f"{'▶ ' if row.active else ''}{row.name}\n{row.codec}",
            justify="right",
            style=style,
            header_style=style,
        )
    columns = [cells(row) for row in snapshot.rows]
    for heading in columns[0] if columns else ():
        if heading == _FIRST_OF_THE_ATTACKER:
            drawn.add_section()
            drawn.add_row("the attacker gets", style="bold red")
        drawn.add_row(heading, *(column[heading] for column in columns))
    return drawn
