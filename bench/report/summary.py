"""Cells as nested JSON: a figure's address is a path that prose can quote.

``<task>.<scenario>.<link>.<defence>.<mode>.<codec>``, with ``none`` for the empty codec of edge-only; where a
way was measured under several loads the load follows the codec: ``q4 load 150%``.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from statistics import median
from typing import Any

from siftfunnel.bench.cells.result import Cell
from siftfunnel.bench.report.drawings import stages_drawing
from siftfunnel.bench.report.leakage import LeakageBook
from siftfunnel.bench.report.naming import task_of, variant_words
from siftfunnel.bench.report.sources import Measured
from siftfunnel.bench.report.tables import pages
from siftfunnel.lab.reports.pages import page_files


def report_files(measured: Measured, leakage: LeakageBook) -> dict[str, str]:
    """Everything that a report writes, by file name: pages with drawings of stages, and the summary."""
    files: dict[str, str] = {}
    for page in pages(measured, leakage):
        cells = [cell for cell in measured.cells if task_of(cell.bundle) == page.table]
        scenarios = dict.fromkeys(cell.scenario for cell in cells)
        made = (stages_drawing(cells, page.table, scenario) for scenario in scenarios)
        drawings = tuple(drawing for drawing in made if drawing is not None)
        files |= page_files(replace(page, drawings=drawings), f"cells-{page.table}")
    files["cells.json"] = json.dumps(summary(measured, leakage), indent=1, allow_nan=False) + "\n"
    return files


def summary(measured: Measured, leakage: LeakageBook) -> dict[str, Any]:
    """Every cell under its path, with the leakage that belongs to it."""
    tasks: dict[str, Any] = {}
    for cell in measured.cells:
        place = tasks
        who = cell.bundle.partition("-")[2] or cell.bundle
        for step in (task_of(cell.bundle), cell.scenario, cell.link.name, who, cell.mode):
            place = place.setdefault(step, {})
        name = " ".join(filter(None, (cell.codec or "none", variant_words(cell).replace(".", "_"))))
        place[name] = cell_summary(cell, leakage)
    return {
        "schema": 1,
        "provenances": [dict(provenance) for provenance in measured.provenances],
        "totals": totals(measured.cells),
        "cells": tasks,
        "skipped": [asdict(each) for each in measured.skipped],
    }


def totals(cells: Sequence[Cell]) -> dict[str, Any]:
    """Figures of all cells together."""
    residuals = [cell.stage_residual for cell in cells] or [0.0]
    return {
        "cells": len(cells),
        "links": len({cell.link.name for cell in cells}),
        "frames": sum(cell.frames for cell in cells),
        "frames_lost": sum(sum(cell.errors.values()) for cell in cells),
        "frames_resent": sum(cell.frames_resent for cell in cells),
        "overloaded": sum(cell.overloaded for cell in cells),
        "stage_residual_median": median(residuals),
        "stage_residual_worst": max(residuals),
    }


def cell_summary(cell: Cell, leakage: LeakageBook) -> dict[str, Any]:
    """One cell without its repeats and settings."""
    full = cell.to_json()
    left_out = ("per_repeat", "settings", "link", "mode", "codec", "scenario")
    kept = {key: value for key, value in full.items() if key not in left_out}
    known = leakage.of(cell)
    return {
        **kept,
        "link": cell.link.name,
        "stages_total_ms": round(cell.stages_ms.total_ms(), 4),
        "leakage": None if known is None else asdict(known),
    }
