"""A network along its depth: bytes that cross at each cut, and the share of the work that is then done."""

import math
from collections.abc import Mapping, Sequence

from siftfunnel.lab.split.cuts import Cut

BLOCKS = " ▏▎▍▌▋▊▉█"
BAR = 32


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
    # a terminal does without matplotlib
    from siftfunnel.lab.reports.charts import Panel, Point, Series, lines
    from siftfunnel.lab.reports.sheet import COLOURS

    def point(cut: Cut, size: float) -> Point:
        tip = f"{cut.name}: {size_text(cut.bytes_fp32)}, {cut.mac_share:.1%} of the work"
        return Point(100 * cut.mac_share, cut.bytes_fp32, tip, size=size)

    def dots(colour: str, size: float, shown: Sequence[Cut]) -> Series:
        return Series("", colour, tuple(point(cut, size) for cut in shown), is_joined=False)

    singles = [cut for cut in cuts if len(cut.tensors) == 1]
    panel = Panel(
        "multiply-adds on the device, %",
        "bytes of a frame, float32",
        [
            Series("", COLOURS[6], tuple(point(cut, 0) for cut in singles)),
            dots(COLOURS[5], 5, [cut for cut in singles if not cut.is_sensible]),
            dots(COLOURS[0], 9, [cut for cut in singles if cut.is_sensible]),
            dots(COLOURS[1], 7, [cut for cut in cuts if len(cut.tensors) > 1]),
        ],
        log_y=True,
        levels={f"{name}: {size_text(size)}": size for name, size in references.items()},
        x_reaches=(0, 100),
    )
    return lines(title, [panel], (620, 330))
