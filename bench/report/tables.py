"""Cells as tables: one document per task, latency with bytes, accuracy and leakage in the same row."""

import math
from collections.abc import Callable, Sequence
from statistics import median

from siftfunnel.bench.cells.result import LAYERS, STAGES, Cell, Skipped
from siftfunnel.bench.links.profiles import rate_words
from siftfunnel.bench.report.leakage import LeakageBook
from siftfunnel.bench.report.naming import cell_label, machine_line, task_of, way_label
from siftfunnel.bench.report.sources import Measured
from siftfunnel.bench.stored import as_json
from siftfunnel.lab.reports.table import NONE, Column, Page, Table, number
from siftfunnel.lab.reports.table import Cell as Entry

WAY: Column[Cell] = ("who runs what, codec", cell_label)


def pages(measured: Measured, leakage: LeakageBook) -> list[Page]:
    """One page per task, in the files' order.

    Args:
        measured: Cells and what was skipped.
        leakage: What eavesdroppers restore.
    """
    tasks = list(dict.fromkeys(task_of(cell.bundle) for cell in measured.cells))
    tasks += [task for task in map(_skipped_task, measured.skipped) if task not in tasks]
    return [_page(task, measured, leakage) for task in dict.fromkeys(tasks)]


def _page(task: str, measured: Measured, leakage: LeakageBook) -> Page:
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
    return Page("cells", task, f"Cells: {task}", preamble, tuple(sections))


def grouped(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells of the same link and scenario together, links from slow to fast."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.scenario, cell.link.name), []).append(cell)
    scenarios: list[str] = list(dict.fromkeys(cell.scenario for cell in cells))

    def place(key: tuple[str, str]) -> tuple[int, float, float]:
        link = groups[key][0].link
        return scenarios.index(key[0]), -link.round_trip_ms, link.up.rate_kbit_s or math.inf

    return [groups[key] for key in sorted(groups, key=place)]


def measured_link(cells: Sequence[Cell]) -> str:
    """What a link did, in words: medians over the cells that calibrated it.

    A link that no cell calibrated is told as configured, and the words say so.
    """
    made = [cell.calibration for cell in cells if cell.calibration is not None]
    if not made:
        return "not calibrated"
    parts = [f"{median(each.round_trip_ms_p50 for each in made):,.3g} ms round trip"]
    for name in ("up", "down"):
        ways = [getattr(each, name) for each in made]
        loss = median([way.loss for way in ways if way.loss is not None] or [0])
        rate = rate_words(median(way.rate_kbit_s for way in ways))
        parts.append(f"{rate} {name}" + (f" ({loss:.2%} lost)" if loss else ""))
    return ", ".join(parts)


def links_section(cells: Sequence[Cell]) -> Table:
    """Each link: asked for, measured, by whom emulated."""
    by_link: dict[str, list[Cell]] = {}
    for group in grouped(cells):
        by_link.setdefault(group[0].link.name, []).extend(group)
    columns: tuple[Column[list[Cell]], ...] = (
        ("link", lambda group: group[0].link.name),
        ("asked for", lambda group: str(group[0].link)),
        ("measured (median over its cells)", measured_link),
        ("kept by", lambda group: ", ".join(dict.fromkeys(cell.emulation for cell in group))),
        ("cells", lambda group: str(len(group))),
    )
    return Table.of("links", "Links", by_link.values(), columns)


def matrix_section(cells: Sequence[Cell], scenario: str) -> Table:
    """The 90th percentile of every way over every link."""
    names = [group[0].link.name for group in grouped(cells)]
    at = {(cell_label(cell), cell.link.name): cell for cell in cells}

    def over(link: str) -> Callable[[str], Entry | str]:
        return lambda label: _latency(at.get((label, link)), "p90", claims=False)

    labels = dict.fromkeys(cell_label(cell) for cell in cells)
    columns: list[Column[str]] = [(WAY[0], str)]
    columns += [(name, over(name)) for name in names]
    title = f"{scenario}: 90th percentile of latency over the links, ms"
    return Table.of(f"p90-{scenario}", title, labels, columns, notes=_overload_note(cells))


def latency_section(cells: Sequence[Cell], leakage: LeakageBook) -> Table:
    """Latency, bytes, accuracy and leakage of the ways over one link."""

    def leak(cell: Cell) -> Entry:
        known = leakage.of(cell)
        return NONE if known is None else Entry(str(known), known.psnr_db)

    columns: tuple[Column[Cell], ...] = (
        (WAY[0], lambda cell: cell_label(cell) + (" ‡" if cell.overloaded else "")),
        ("p50, ms", lambda cell: _latency(cell, "p50")),
        ("p90, ms", lambda cell: _latency(cell, "p90")),
        ("p99, ms", lambda cell: _latency(cell, "p99")),
        ("frames/s", _speed),
        ("payload up, bytes", lambda cell: number(cell.bytes.up.payload)),
        ("link up, bytes", lambda cell: number(cell.bytes.up.link)),
        ("accuracy", _accuracy),
        ("leakage: PSNR of the strongest attack measured", leak),
    )
    notes = [*_overload_note(cells), *(note for cell in cells for note in _faults(cell))]
    intro = f"Link {cells[0].link.name} as measured: {measured_link(cells)}; kept by {cells[0].emulation}."
    return Table.of(*_named("latency", "", cells), cells, columns, intro=intro, notes=notes)


def _named(kind: str, title: str, cells: Sequence[Cell]) -> tuple[str, str]:
    """Name and title of a table of one scenario over one link."""
    scenario, link = cells[0].scenario, cells[0].link.name
    return f"{kind}-{scenario}-{link}", f"{title}{scenario}, {link}"


def _speed(cell: Cell) -> Entry:
    if cell.target_frames_per_s is None:
        return number(cell.frames_per_s, 1)
    return Entry(f"{cell.frames_per_s:,.1f} of {cell.target_frames_per_s:,.1f}", cell.frames_per_s)


def _accuracy(cell: Cell) -> Entry:
    return NONE if cell.accuracy is None else Entry(f"{cell.accuracy:.1%} of {cell.judged:,}", cell.accuracy)


def _latency(cell: Cell | None, percentile: str, *, claims: bool = True) -> Entry | str:
    if cell is None:
        return "not measured"
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


def stages_section(cells: Sequence[Cell]) -> Table:
    """Where a frame's time went."""

    def took(stage: str) -> Callable[[Cell], Entry]:
        return lambda cell: number(as_json(cell.stages_ms)[stage], 2)

    columns: tuple[Column[Cell], ...] = (
        WAY,
        *((stage, took(stage)) for stage in STAGES),
        ("sum", lambda cell: number(cell.stages_ms.total_ms(), 2)),
        ("residual", lambda cell: Entry(f"{cell.stage_residual:.1%}", cell.stage_residual)),
    )
    intro = (
        "Means in ms. The residual is how far a frame's sum lies from its end-to-end time, as a mean share."
    )
    return Table.of(*_named("stages", "Stages: ", cells), cells, columns, intro=intro)


def bytes_section(cells: Sequence[Cell]) -> Table:
    """Bytes per frame at the four layers, up and down."""

    def sent(way: str, layer: str) -> Callable[[Cell], Entry]:
        return lambda cell: number(getattr(getattr(cell.bytes, way), layer))

    layers = ((f"{layer} {way}", sent(way, layer)) for way in ("up", "down") for layer in LAYERS)
    return Table.of(*_named("bytes", "Bytes per frame: ", cells), cells, (WAY, *layers))


def _skipped_task(skipped: Skipped) -> str:
    return task_of(str(skipped.cell.get("bundle", "unknown")))


def skipped_section(skipped: Sequence[Skipped]) -> Table:
    """What was not measured, and why."""

    def said(each: Skipped, key: str) -> str:
        return str(each.cell.get(key, ""))

    columns: tuple[Column[Skipped], ...] = (
        ("cell", lambda each: way_label(said(each, "bundle"), said(each, "mode"), said(each, "codec"))),
        ("link", lambda each: said(each, "link")),
        ("scenario", lambda each: said(each, "scenario")),
        ("why", lambda each: each.why),
    )
    return Table.of("skipped", "Not measured", skipped, columns)
