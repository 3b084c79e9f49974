"""A comparison of peers as Markdown."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from siftfunnel.bench.peers.ours import OURS
from siftfunnel.bench.peers.summary import (
    Row,
    Spread,
    bare_frames_per_s,
    spread,
    tail_ratio,
    throughput_ratio,
)

_MODELS = {
    "real": "The cloud half of {bundle}: the model is the bottleneck",
    "null": "A null model with the same input: what the serving itself costs",
}
_BARE_BATCHES = (1, 16)


def render_peers(document: Mapping[str, Any]) -> str:
    """Tables of throughput, latency and ratios per model, then how each peer ran.

    Args:
        document: What `siftfunnel bench peers` wrote.
    """
    parts = [_heading(document)]
    for measured in document["models"]:
        title = _MODELS[measured["model"]].format(bundle=document["bundle"])
        parts += [f"## {title}", _bare(measured), _figures(document, measured)]
        if _ours(measured) is not None:
            parts += [_ratios(document, measured)]
        parts += _stopped(document, measured)
    parts += ["## How each ran", _settings(document)]
    return "\n\n".join(parts) + "\n"


def _heading(document: Mapping[str, Any]) -> str:
    made = document["provenance"]
    machine = made["machine"]
    shape = "x".join(map(str, document["feature_shape"]))
    rounds, seconds = document["rounds"], document["seconds"]
    lines = [
        "# Model servers side by side",
        "",
        f"One request is one frame: a float32 feature of {shape}. Each client sends its next when the answer "
        f"to the last has come. All servers run on core {document['server_core']} alone, all clients in one "
        f"process on core {document['client_core']}. {rounds} rounds of {seconds:g} s for each load, "
        "interleaved; whoever's turn it is not is stopped. Figures are medians over rounds with the least "
        "and the greatest in brackets; p99 is each round's. CPU ms a frame: processor time of all of a "
        "server's processes. Client CPU near 100% would mean that the clients are what limits.",
        "",
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; Python "
        f"{made['versions']['python']}, ONNX Runtime {made['versions']['onnxruntime']} everywhere; "
        f"commit {(made['commit'] or 'unknown')[:10]}.",
    ]
    if not document["complete"]:
        lines += ["", "**The run was interrupted: these are the rounds that it finished.**"]
    return "\n".join(lines)


def _bare(measured: Mapping[str, Any]) -> str:
    told = [
        f"{_number(found, 0)} frames/s at batch {batch}"
        for batch in _BARE_BATCHES
        if (found := bare_frames_per_s(measured, batch))
    ]
    return f"ONNX Runtime bare in a loop on the servers' core: {', '.join(told) or 'not measured'}."


def _figures(document: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    heads = [
        "server",
        "clients",
        "frames/s",
        "p50 ms",
        "p99 ms",
        "CPU ms a frame",
        "server CPU",
        "client CPU",
    ]

    def cells(row: Row, clients: int) -> list[str]:
        return [
            _number(spread(row, clients, "frames_per_s"), 0),
            _number(spread(row, clients, "p50_ms"), 2),
            _number(spread(row, clients, "p99_ms"), 2),
            _number(spread(row, clients, "server_cpu_ms_per_frame"), 2),
            _percent(spread(row, clients, "server_cpu")),
            _percent(spread(row, clients, "client_cpu")),
        ]

    return _table(heads, _by_load(document, measured["rows"], cells))


def _ratios(document: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    ours = _ours(measured)
    assert ours is not None
    others = [row for row in measured["rows"] if row is not ours]
    heads = ["ours over", "clients", "throughput", "p99"]

    def cells(row: Row, clients: int) -> list[str]:
        ratios = (throughput_ratio(ours, row, clients), tail_ratio(ours, row, clients))
        return [_number(ratio, 2) for ratio in ratios]

    told = (
        f"Ours ({ours['wire']}) against each, round by round: our throughput over its, its p99 over ours; "
        "above 1 is ours ahead."
    )
    return f"{told}\n\n{_table(heads, _by_load(document, others, cells))}"


def _by_load(
    document: Mapping[str, Any], rows: Sequence[Row], cells: Callable[[Row, int], list[str]]
) -> list[list[str]]:
    return [
        [f"{_label(document, row['peer'])}; {row['wire']}", str(clients), *cells(row, clients)]
        for clients in document["clients"]
        for row in rows
    ]


def _stopped(document: Mapping[str, Any], measured: Mapping[str, Any]) -> list[str]:
    return [
        f"{_label(document, row['peer'])} fell out in {_plain(row['stopped'])}"
        for row in measured["rows"]
        if row["stopped"]
    ]


def _settings(document: Mapping[str, Any]) -> str:
    heads = ["server", "settings", "installed"]
    rows = [
        [
            each["label"],
            f"not measured: {_plain(each['unavailable'])}" if each["unavailable"] else each["settings"],
            ", ".join(each["requirements"]) or "our own environment",
        ]
        for each in document["peers"]
    ]
    return _table(heads, rows)


def _ours(measured: Mapping[str, Any]) -> Row | None:
    return next((row for row in measured["rows"] if row["peer"] == OURS.name), None)


def _label(document: Mapping[str, Any], name: str) -> str:
    return next(str(each["label"]) for each in document["peers"] if each["peer"] == name)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(found: Spread | None, digits: int) -> str:
    if found is None:
        return "-"
    low, high = f"{found.low:,.{digits}f}", f"{found.high:,.{digits}f}"
    return f"{found.middle:,.{digits}f}" + ("" if low == high else f" [{low}, {high}]")


def _percent(found: Spread | None) -> str:
    return "-" if found is None else f"{found.middle:.0%}"


def _plain(text: str) -> str:
    """On one line, with nothing that would end a cell."""
    return " ".join(text.split()).replace("|", "\\|")
