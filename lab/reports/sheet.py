"""A sheet of axes, drawn by matplotlib and stored as SVG that is the same for the same figures.

Texts stay texts, and what a point stands for is told to the mouse. Series have the colours of Okabe and Ito
(2008), which remain apart for colour-blind readers. A drawing in a file stands on white, legible on dark
pages too; one inside a page takes the page's colours and has no ground.
"""

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from scipy.optimize import isotonic_regression

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
INK, SOFT, FAINT, RULE, PAPER = "#222222", "#444444", "#888888", "#e5e5e5", "#fffffe"
LETTER, LINE = 10.5, 14.0
"""Height of letters, and from line to line, in pixels."""
_STORED: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "siftfunnel",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial"],
}
_NUMBERS = re.compile(r' (?:d|x|y|transform|width|height|viewBox)="[^"]*"')
_SHAPE = re.compile(r'viewBox="[^"]*"')
_DPI = 72.0
"""An SVG's pixels are points: sizes in pixels, places in points and display units are the same."""


def spread(wanted_N: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places nearest to the wanted ones that are a gap apart; within bounds where so many fit.

    Example:
        >>> spread([10.0, 12.0, 50.0], 10.0, 0.0, 100.0)
        [6.0, 16.0, 50.0]
    """
    order = np.argsort(wanted_N, kind="stable")
    steps_N = gap * np.arange(len(order))
    nearest_N = isotonic_regression(np.asarray(wanted_N, dtype=float)[order] - steps_N).x
    places = np.empty(len(order))
    places[order] = np.clip(nearest_N, low, max(low, high - steps_N[-1])) + steps_N
    return [float(place) for place in places]


class Sheet:
    """One or more pairs of axes, one below the other.

    Args:
        title: Above the first; also what the drawing is called where it is not seen.
        heights: Of the axes, in pixels.
        width: Of all of them; what stands beside them makes the sheet larger.
        gap: Between two, for their numbers and names.
        theme: Inside a page, what each colour is called there; None of a drawing in a file.
    """

    def __init__(
        self,
        title: str,
        heights: Sequence[float],
        width: float,
        *,
        gap: float = 62.0,
        theme: Mapping[str, str] | None = None,
    ) -> None:
        self.title, self.width, self._theme = title, width, theme
        self._tips: list[str] = []
        total = sum(heights) + gap * (len(heights) - 1)
        self.figure = Figure(figsize=(width / _DPI, total / _DPI), dpi=_DPI, facecolor=PAPER)
        tops = [total - sum(heights[:place]) - gap * place for place in range(len(heights))]
        self.axes = [
            self._plain_axes((top - height) / total, height / total)
            for top, height in zip(tops, heights, strict=True)
        ]

    def _plain_axes(self, bottom: float, height: float) -> Axes:
        axes = self.figure.add_axes((0.0, bottom, 1.0, height), facecolor="none")
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[:].set_color(SOFT)
        axes.tick_params(length=0, pad=6, labelsize=LETTER, labelcolor=INK)
        axes.set_axisbelow(True)
        return axes

    def head(self, above: float = 14.0) -> None:
        """Write the title so many pixels above the first axes."""
        self.text(self.axes[0], (0, 1), self.title, (0, above), at="axes fraction", size=LETTER + 1.5)

    def text(
        self,
        axes: Axes,
        place: tuple[float, float],
        text: str,
        offset: tuple[float, float] = (0.0, 0.0),
        *,
        at: str | tuple[str, str] = "data",
        colour: str = INK,
        align: str = "left",
        size: float = LETTER,
    ) -> None:
        """Text at a place and so many pixels from it: above it, else in the middle of its height."""
        axes.annotate(
            text,
            place,
            xytext=offset,
            xycoords=at,
            textcoords="offset pixels",
            color=colour,
            ha=align,
            va="bottom" if offset[1] > 0 else "center",
            size=size,
            annotation_clip=False,
            parse_math=False,
        )

    def tip(self, artist: Artist, text: str) -> None:
        """What the mouse is told over something drawn."""
        artist.set_gid(f"tip-{len(self._tips)}")
        self._tips.append(text)

    def svg(self) -> str:
        """The drawing as it stands in a file or a page."""
        stored = io.StringIO()
        with rc_context(_STORED):
            self.figure.savefig(
                stored,
                format="svg",
                bbox_inches="tight",
                pad_inches=0.12,
                metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
                facecolor=PAPER if self._theme is None else "none",
            )
        text = stored.getvalue()
        # groups are numbered as they come, which two drawings inside one page would both do
        text = re.sub(r'<g id="([^"]*)"(/?)>', self._told, text[text.index("<svg") :])
        head, _, body = _NUMBERS.sub(_in_hundredths, text).partition(">")
        if self._theme is not None:
            head = f'<svg role="img" aria-label="{escape(self.title, quote=True)}" {_SHAPE.findall(head)[0]}'
            body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
        for colour, name in (self._theme or {}).items():
            body = re.sub(rf"(: ){colour}\b", rf"\1{name}", body)
        text = f"{head}>\n<title>{escape(self.title)}</title>{body}"
        return "".join(line.strip() + "\n" for line in text.splitlines())

    def _told(self, found: re.Match[str]) -> str:
        kind, _, number = found[1].partition("-")
        return f"<g><title>{escape(self._tips[int(number)])}</title>" if kind == "tip" else f"<g{found[2]}>"


def _in_hundredths(found: re.Match[str]) -> str:
    """An attribute's numbers in hundredths of a pixel, all on one line."""
    return re.sub(r"(\.\d\d)\d+", r"\1", found[0].replace("\n", " "))


def plain_number(value: float) -> str:
    """A tick's label.

    Example:
        >>> plain_number(20.0), plain_number(12_500), plain_number(0.25)
        ('20', '12,500', '0.25')
    """
    return f"{value:,.10g}"


def number_axis(axes: Axes, which: str, values: Sequence[float], label: str, *, log: bool = False) -> None:
    """Round numbers with grid lines around some values.

    Args:
        axes: The pair.
        which: ``x`` or ``y``.
        values: What is drawn; the axis reaches to the next round number, or on a logarithmic one a little
            beyond.
        label: Its name.
        log: Whether it is logarithmic.
    """
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = min(values), max(values)
    if log:
        decades = np.log10(high / low)
        axes.set(**{f"{which}scale": "log"})
        powers = LogLocator(subs=(1.0, 2.0, 5.0) if decades < 3 else (1.0,), numticks=20)
        axis.set_major_locator(powers if decades > 0.7 else MaxNLocator(5))
        axis.set_minor_locator(NullLocator())
        ends = (low / 10 ** (0.04 * decades + 0.02), high * 10 ** (0.04 * decades + 0.02))
    else:
        span = high - low if high - low > 1e-9 * max(1.0, abs(low)) else 1.0
        ticks = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, low + span)
        ends = (float(ticks[0]), float(ticks[-1]))
        axis.set_ticks(ticks)
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))
    axes.set(**{f"{which}lim": ends})
    axis.grid(True, color=RULE, linewidth=0.8)
    axis.set_label_text(label, color=INK, size=LETTER, parse_math=False)
    axis.labelpad = 8
