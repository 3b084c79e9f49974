"""A network along its depth: bytes that cross at each cut, and the share of the work that is then done."""

import math
from collections.abc import Mapping, Sequence

from siftfunnel.lab.split.cuts import Cut
from siftfunnel.lab.tables.svg import COLOURS, Plot

BLOCKS = " ▏▎▍▌▋▊▉█"
BAR = 32
_SIZE, _MARGINS = (760, 420), (110, 30, 30, 60)


def terminal(cuts: Sequence[Cut], references: Mapping[str, float]) -> list[str]:
    """One line per cut: a bar whose length is the logarithm of the bytes, and the share of the work.

    Args:
        cuts: In order.
        references: Bytes of a picture in some coding by its name; each gets a bar of its own.
    """
    values = [float(cut.bytes_fp32) for cut in cuts] + list(references.values())
    low, high = math.log2(min(values)) - 1, math.log2(max(values))
    label = max([len(name) for name in references] + [len("100.0%")])

    def line(name: str, value: float, told: str) -> str:
        return f"{name:>{label}} {_bar((math.log2(value) - low) / (high - low))} {size_text(value):>9} {told}"

    drawn = [
        line(f"{cut.mac_share:.1%}", cut.bytes_fp32, f"{'*' if cut.is_sensible else ' '} {cut.name}")
        for cut in cuts
    ]
    return [*drawn, *(line(name, value, "") for name, value in references.items())]


def _bar(share: float) -> str:
    eighths = max(1, round(share * BAR * 8))
    full, rest = divmod(eighths, 8)
    return (BLOCKS[8] * full + (BLOCKS[rest] if rest else "")).ljust(BAR)


def size_text(size: float) -> str:
    """Bytes for people.

    >>> size_text(125440)
    '125.4 kB'
    """
    return f"{size / 1000:,.1f} kB" if size >= 1000 else f"{size:,.0f} B"


def svg(title: str, cuts: Sequence[Cut], references: Mapping[str, float]) -> str:
    """The same as a drawing: work before the cut across, bytes upwards by their logarithm.

    Args:
        title: Of the drawing.
        cuts: In order.
        references: Bytes of a picture in some coding by its name, as level lines.
    """
    sizes = [float(cut.bytes_fp32) for cut in cuts] + list(references.values())
    low = math.floor(math.log10(min(sizes)))
    high = max(math.ceil(math.log10(max(sizes))), low + 1)
    plot = Plot(_SIZE, _MARGINS, (0, 100), (low, high), title)
    plot.x_axis("multiply-adds on the device, %", [0, 20, 40, 60, 80, 100])
    _byte_axis(plot, low, high)
    singles = [cut for cut in cuts if len(cut.tensors) == 1]
    plot.polyline([_place(cut) for cut in singles], COLOURS[6])
    for cut in sorted(cuts, key=lambda cut: cut.is_sensible):
        colour = COLOURS[1] if len(cut.tensors) > 1 else COLOURS[0] if cut.is_sensible else COLOURS[5]
        tip = f"{cut.name}: {size_text(cut.bytes_fp32)}, {cut.mac_share:.1%} of the work"
        plot.point(*_place(cut), colour, tip, radius=5 if cut.is_sensible else 3)
    for name, size in references.items():
        height = plot.y(math.log10(size))
        plot.line(plot.left, height, plot.right, height, COLOURS[2], dashed=True)
        plot.text(plot.right, height - 5, f"{name}: {size_text(size)}", anchor="end", colour=COLOURS[2])
    return plot.svg()


def _place(cut: Cut) -> tuple[float, float]:
    return 100 * cut.mac_share, math.log10(cut.bytes_fp32)


def _byte_axis(plot: Plot, low: int, high: int) -> None:
    plot.y_axis("bytes of a frame, float32", [])
    for power in range(low, high + 1):
        plot.line(plot.left, plot.y(power), plot.right, plot.y(power), "#e5e5e5")
        plot.text(plot.left - 8, plot.y(power) + 4, size_text(10**power), anchor="end")
