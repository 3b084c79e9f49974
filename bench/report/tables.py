"""Cells as tables: one document per task, latency with bytes, accuracy and leakage in the same row."""

import math
from collections.abc import Callable, Sequence
from statistics import median

from siftfunnel.bench.cells.result import LAYERS, STAGES, Cell, LayerBytes, Skipped
from siftfunnel.bench.report.leakage import LeakageBook
from siftfunnel.bench.report.naming import cell_label, link_name, machine_line, task_of, way_label
from siftfunnel.bench.report.sources import Measured
from siftfunnel.lab.tables.cells import NONE, Document, Section, words
from siftfunnel.lab.tables.cells import Cell as Entry

PROFILE = "cells"
LATENCY_COLUMNS = (
    "who runs what, codec",
    "p50, ms",
    "p90, ms",
    "p99, ms",
    "frames/s",
    "payload up, bytes",
    "link up, bytes",
    "accuracy",
    "leakage: PSNR of the strongest attack measured",
)


def documents(measured: Measured, leakage: LeakageBook) -> list[Document]:
    """One document per task, in the files' order.

    Args:
        measured: Cells and what was skipped.
        leakage: What eavesdroppers restore.
    """
    tasks = list(dict.fromkeys(task_of(cell.bundle) for cell in measured.cells))
    tasks += [task for task in map(_skipped_task, measured.skipped) if task not in tasks]
    return [_document(task, measured, leakage) for task in dict.fromkeys(tasks)]


def _document(task: str, measured: Measured, leakage: LeakageBook) -> Document:
    cells = [cell for cell in measured.cells if task_of(cell.bundle) == task]
    groups = grouped(cells)
    sections = [links_section(cells)] if cells else []
    for scenario in dict.fromkeys(cell.scenario for cell in cells):
        sections.append(matrix_section([cell for cell in cells if cell.scenario == scenario], scenario))
    sections += [latency_section(group, leakage) for group in groups]
    sections += [stages_section(group) for group in groups]
    sections += [bytes_section(group) for group in groups]
    skipped = [each for each in measured.skipped if _skipped_task(each) == task]
    if skipped:
        sections.append(skipped_section(skipped))
    machines = dict.fromkeys(machine_line(provenance) for provenance in measured.provenances)
    preamble = (
        "Measured on " + "; ".join(machines) + ".",
        "Links are named as configured and told as measured. Latency is of whole queries; a percentile in "
        "brackets is the one that LoadGen's early-stopping rule lets one claim with 99 % confidence.",
    )
    return Document(PROFILE, task, f"Cells: {task}", preamble, tuple(sections))


def grouped(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells of the same link and scenario together, links from slow to fast."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.scenario, link_name(cell)), []).append(cell)
    scenarios: list[str] = list(dict.fromkeys(cell.scenario for cell in cells))

    def place(key: tuple[str, str]) -> tuple[int, float, float]:
        link = groups[key][0].link
        return (
            scenarios.index(key[0]),
            -(link["up"]["delay_ms"] + link["down"]["delay_ms"]),
            link["up"]["rate_kbit_s"] or math.inf,
        )

    return [groups[key] for key in sorted(groups, key=place)]


def measured_link(cells: Sequence[Cell]) -> str:
    """What a link did, in words: medians over the cells that calibrated it.

    A link that no cell calibrated is told as configured, and the words say so.
    """
    made = [cell.calibration for cell in cells if cell.calibration is not None]
    if not made:
        return "not calibrated"

    def middle(read: Callable[[dict[str, float]], object], way: str) -> float | None:
        values = [value for each in made if isinstance(value := read(each[way]), (int, float))]
        return median(values) if values else None

    parts = [f"{median(float(each['round_trip_ms_p50']) for each in made):,.3g} ms round trip"]
    for way in ("up", "down"):
        rate = middle(lambda values: values.get("rate_kbit_s"), way)
        loss = middle(lambda values: values.get("loss"), way)
        parts.append(f"{_rate(rate)} {way}" + (f" ({loss:.2%} lost)" if loss else ""))
    return ", ".join(parts)


def _rate(kbit_s: float | None) -> str:
    if kbit_s is None:
        return "unmeasured rate"
    return f"{kbit_s / 1000:,.3g} Mbit/s" if kbit_s >= 10_000 else f"{kbit_s:,.0f} kbit/s"


def configured_link(link: dict[str, object]) -> str:
    """What a link was asked to be."""
    up, down = link.get("up"), link.get("down")
    assert isinstance(up, dict)
    assert isinstance(down, dict)
    if all(way.get("rate_kbit_s") is None and not way.get("delay_ms") for way in (up, down)):
        return "nothing emulated"
    parts = [f"{up['delay_ms'] + down['delay_ms']:g} ms round trip"]
    parts += [f"{_rate(way['rate_kbit_s'])} {name}" for name, way in (("up", up), ("down", down))]
    if up["jitter_ms"] or down["jitter_ms"]:
        parts.append(f"jitter {up['jitter_ms']:g} ms")
    if up["loss"] or down["loss"]:
        parts.append(f"loss {up['loss']:.2%}")
    return ", ".join(parts)


def links_section(cells: Sequence[Cell]) -> Section:
    """Each link: asked for, measured, by whom emulated."""
    rows = []
    by_link: dict[str, list[Cell]] = {}
    for group in grouped(cells):
        by_link.setdefault(link_name(group[0]), []).extend(group)
    for name, group in by_link.items():
        kept = ", ".join(dict.fromkeys(cell.emulation for cell in group))
        told = (name, configured_link(group[0].link), measured_link(group), kept, str(len(group)))
        rows.append(tuple(map(words, told)))
    columns = ("link", "asked for", "measured (median over its cells)", "kept by", "cells")
    return Section("links", "Links", columns, tuple(rows))


def matrix_section(cells: Sequence[Cell], scenario: str) -> Section:
    """The 90th percentile of every way over every link."""
    groups = grouped(cells)
    names = [link_name(group[0]) for group in groups]
    at = {(cell_label(cell), link_name(cell)): cell for cell in cells}
    rows = [
        (words(label), *(_latency(at.get((label, name)), "p90", claims=False) for name in names))
        for label in dict.fromkeys(cell_label(cell) for cell in cells)
    ]
    title = f"{scenario}: 90th percentile of latency over the links, ms"
    columns = ("who runs what, codec", *names)
    return Section(f"p90-{scenario}", title, columns, tuple(rows), notes=_overload_note(cells))


def latency_section(cells: Sequence[Cell], leakage: LeakageBook) -> Section:
    """Latency, bytes, accuracy and leakage of the ways over one link."""
    scenario, link = cells[0].scenario, link_name(cells[0])
    rows = tuple(_latency_row(cell, leakage) for cell in cells)
    notes = [*_overload_note(cells), *(note for cell in cells for note in _faults(cell))]
    intro = f"Link {link} as measured: {measured_link(cells)}; kept by {cells[0].emulation}."
    name = f"latency-{scenario}-{link}"
    return Section(name, f"{scenario}, {link}", LATENCY_COLUMNS, rows, intro, tuple(notes))


def _latency_row(cell: Cell, leakage: LeakageBook) -> tuple[Entry, ...]:
    known = leakage.of(cell)
    speed = number(cell.frames_per_s, 1)
    if cell.target_frames_per_s is not None:
        speed = Entry(f"{cell.frames_per_s:,.1f} of {cell.target_frames_per_s:,.1f}", cell.frames_per_s)
    return (
        words(cell_label(cell) + (" ‡" if cell.overloaded else "")),
        _latency(cell, "p50"),
        _latency(cell, "p90"),
        _latency(cell, "p99"),
        speed,
        number(cell.bytes_up.payload, 0),
        number(cell.bytes_up.link, 0),
        NONE if cell.accuracy is None else Entry(f"{cell.accuracy:.1%} of {cell.judged:,}", cell.accuracy),
        NONE if known is None else Entry(str(known), known.psnr_db),
    )


def _latency(cell: Cell | None, percentile: str, *, claims: bool = True) -> Entry:
    if cell is None:
        return words("not measured")
    value = float(getattr(cell.latency_ms, percentile))
    stopping = cell.latency_ms.early_stopping if claims else None
    claim = getattr(stopping, f"{percentile}_ms", None) if stopping is not None else None
    text = f"{value:,.1f}" + (f" (≤ {claim:,.1f})" if claim is not None else "")
    return Entry(text + (" ‡" if cell.overloaded else ""), value)


def _overload_note(cells: Sequence[Cell]) -> tuple[str, ...]:
    if not any(cell.overloaded for cell in cells):
        return ()
    return (
        "‡ Overloaded: frames arrived faster than they were answered, so these are an overload's figures.",
    )


def _faults(cell: Cell) -> list[str]:
    notes = []
    if cell.errors:
        told = ", ".join(f"{code} {count:,}" for code, count in sorted(cell.errors.items()))
        notes.append(f"{cell_label(cell)}: frames without an answer: {told}.")
    if cell.frames_resent:
        notes.append(f"{cell_label(cell)}: {cell.frames_resent:,} frames were sent again.")
    if cell.late:
        notes.append(f"{cell_label(cell)}: {cell.late:,} queries above the scenario's latency limit.")
    return notes


def number(value: float | None, digits: int) -> Entry:
    """A number or a dash.

    Example:
        >>> number(1234.5, 1).text, number(None, 1).text
        ('1,234.5', '-')
    """
    return NONE if value is None else Entry(f"{value:,.{digits}f}", float(value))


def stages_section(cells: Sequence[Cell]) -> Section:
    """Where a frame's time went."""
    rows = []
    for cell in cells:
        times = cell.stages_ms.to_json()
        total = number(cell.stages_ms.total_ms(), 2)
        residual = Entry(f"{cell.stage_residual:.1%}", cell.stage_residual)
        rows.append(
            (words(cell_label(cell)), *(number(times[stage], 2) for stage in STAGES), total, residual)
        )
    columns = ("who runs what, codec", *STAGES, "sum", "residual")
    scenario, link = cells[0].scenario, link_name(cells[0])
    intro = (
        "Means in ms. The residual is how far a frame's sum lies from its end-to-end time, as a mean share."
    )
    return Section(f"stages-{scenario}-{link}", f"Stages: {scenario}, {link}", columns, tuple(rows), intro)


def bytes_section(cells: Sequence[Cell]) -> Section:
    """Bytes per frame at the four layers, up and down."""

    def layers(side: LayerBytes) -> list[Entry]:
        return [number(getattr(side, layer), 0) for layer in LAYERS]

    rows = [(words(cell_label(cell)), *layers(cell.bytes_up), *layers(cell.bytes_down)) for cell in cells]
    columns = ("who runs what, codec", *(f"{layer} {way}" for way in ("up", "down") for layer in LAYERS))
    scenario, link = cells[0].scenario, link_name(cells[0])
    title = f"Bytes per frame: {scenario}, {link}"
    return Section(f"bytes-{scenario}-{link}", title, columns, tuple(rows))


def _skipped_task(skipped: Skipped) -> str:
    return task_of(str(skipped.cell.get("bundle", "unknown")))


def skipped_section(skipped: Sequence[Skipped]) -> Section:
    """What was not measured, and why."""
    rows = []
    for each in skipped:
        cell = each.cell
        label = way_label(*(str(cell.get(key, "")) for key in ("bundle", "mode", "codec")))
        told = (label, str(cell.get("link", "")), str(cell.get("scenario", "")), each.why)
        rows.append(tuple(map(words, told)))
    return Section("skipped", "Not measured", ("cell", "link", "scenario", "why"), tuple(rows))
