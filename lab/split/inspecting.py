"""What ``siftfunnel split inspect`` tells: input, outputs, and every cut with its cost."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from siftfunnel.lab.reports.cuts import size_text
from siftfunnel.lab.split.cuts import Cut, Flow
from siftfunnel.lab.split.halves import device_milliseconds
from siftfunnel.lab.split.network import Network

_CUT_WORDS = ("elements", "bytes_fp32", "parameters", "macs", "mac_share", "milliseconds", "is_sensible")


def measured(network: Network, cuts: Sequence[Cut]) -> tuple[Cut, ...]:
    """The cuts with the milliseconds that the device's half of each takes on one thread of this machine.

    Raises:
        NetworkError: the halves of a cut do not compute what the network computes.
    """
    return tuple(replace(cut, milliseconds=device_milliseconds(network, cut)) for cut in cuts)


def table(cuts: Sequence[Cut]) -> list[str]:
    """A line per cut: work and parameters on the device, what crosses, where; `*` marks the sensible ones."""
    rows = [("", "MACs", "share", "params", "ms", "values", "fp32", "cut")] + [
        (
            "*" if cut.is_sensible else "",
            f"{cut.macs / 1e6:,.1f}M",
            f"{cut.mac_share:.1%}",
            f"{cut.parameters:,}",
            "-" if cut.milliseconds is None else f"{cut.milliseconds:.2f}",
            f"{cut.elements:,}",
            size_text(cut.bytes_fp32),
            ", ".join(f"{t.name} {'x'.join(map(str, t.shape))}" for t in cut.tensors),
        )
        for cut in cuts
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    ]


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
        "outputs": [
            {"name": output.name, "kind": output.kind, "shape": list(output.shape), "dtype": output.dtype}
            for output in network.outputs
        ],
        "notes": list(network.notes),
        "picture_bytes": dict(references),
        "cuts": [_cut_as_json(cut) for cut in cuts],
    }


def _cut_as_json(cut: Cut) -> dict[str, Any]:
    return {
        "name": cut.name,
        "tensors": [{"name": tensor.name, "shape": list(tensor.shape)} for tensor in cut.tensors],
        **{word: getattr(cut, word) for word in _CUT_WORDS},
    }
