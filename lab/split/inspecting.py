"""What ``siftfunnel split inspect`` tells: input, outputs, every cut with its cost, bytes along the depth."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from siftfunnel.lab.reports.pages import table_text
from siftfunnel.lab.reports.table import Cell, Column, Table, number
from siftfunnel.lab.split.cuts import Cut, Flow
from siftfunnel.lab.split.halves import device_milliseconds
from siftfunnel.lab.split.network import Network
from siftfunnel.shared.manifest_fields import as_json as told

BLOCKS = " ▏▎▍▌▋▊▉█"
BAR = 32
_CUT_WORDS = ("elements", "bytes_fp32", "parameters", "macs", "mac_share", "milliseconds", "is_sensible")
_COLUMNS: tuple[Column[Cut], ...] = (
    ("", lambda cut: "*" if cut.is_sensible else ""),
    ("MACs", lambda cut: Cell(f"{cut.macs / 1e6:,.1f}M", cut.macs)),
    ("share", lambda cut: Cell(f"{cut.mac_share:.1%}", cut.mac_share)),
    ("params", lambda cut: number(cut.parameters)),
    ("ms", lambda cut: number(cut.milliseconds, 2)),
    ("values", lambda cut: number(cut.elements)),
    ("fp32", lambda cut: Cell(size_text(cut.bytes_fp32), cut.bytes_fp32)),
    ("cut", lambda cut: ", ".join(f"{t.name} {'x'.join(map(str, t.shape))}" for t in cut.tensors)),
)


def measured(network: Network, cuts: Sequence[Cut]) -> tuple[Cut, ...]:
    """The cuts with the milliseconds that the device's half of each takes on one thread of this machine.

    Raises:
        NetworkError: the halves of a cut do not compute what the network computes.
    """
    return tuple(replace(cut, milliseconds=device_milliseconds(network, cut)) for cut in cuts)


def table(cuts: Sequence[Cut]) -> str:
    """A line per cut: work and parameters on the device, what crosses, where; `*` marks the sensible ones."""
    return table_text(Table.of("cuts", "", cuts, _COLUMNS))


def heading(network: Network) -> list[str]:
    """What the network is, before its cuts."""
    facts = network.input
    parameters, macs = Flow(network).whole
    lines = [
        f"{network.name}: {macs / 1e6:,.1f} million multiply-adds, {parameters:,} parameters, "
        f"SHA-256 {network.original_sha256[:16]}",
        f"input {facts.name}: {facts.layout} {'x'.join(map(str, facts.shape))} {facts.dtype}"
        + (f", begins with {', '.join(facts.first_steps)}" if facts.first_steps else ""),
    ]
    for output in network.outputs:
        shape = "x".join("?" if axis is None else str(axis) for axis in output.shape)
        lines.append(f"output {output.name}: {output.kind} {shape} {output.dtype}")
    return lines + [f"note: {note}" for note in network.notes]


def as_json(network: Network, cuts: Sequence[Cut], references: Mapping[str, float]) -> dict[str, Any]:
    """The same for programs."""
    facts = network.input
    parameters, macs = Flow(network).whole
    return {
        "name": network.name,
        "original_sha256": network.original_sha256,
        "macs": macs,
        "parameters": parameters,
        "frames_per_run": network.frames_per_run,
        "stochastic": network.stochastic,
        "input": {
            "name": facts.name,
            "layout": facts.layout,
            "shape": list(facts.shape),
            "dtype": facts.dtype,
            "first_steps": list(facts.first_steps),
        },
        "outputs": [told(output) for output in network.outputs],
        "notes": list(network.notes),
        "picture_bytes": dict(references),
        "cuts": [
            {
                "name": cut.name,
                "tensors": [told(tensor) for tensor in cut.tensors],
                **{word: getattr(cut, word) for word in _CUT_WORDS},
            }
            for cut in cuts
        ],
    }


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
