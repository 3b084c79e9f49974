"""Turns results into pages: file names and their texts."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from siftfunnel.bench.cells.result import Cell
from siftfunnel.bench.links.probe import Calibration
from siftfunnel.bench.links.profiles import LinkProfile
from siftfunnel.bench.recommend.answers import (
    measured_links,
    overview_section,
    recommend,
    recommendation_json,
    tasks_of,
)
from siftfunnel.bench.recommend.cli import SCENARIO
from siftfunnel.bench.recommend.prediction import Percentile, Trial, leave_one_link_out, prediction_error
from siftfunnel.bench.recommend.verdicts import Limits
from siftfunnel.bench.report.cli import document_files, report_files
from siftfunnel.bench.report.curves import throughput_drawing
from siftfunnel.bench.report.fronts import front_document
from siftfunnel.bench.report.leakage import LeakageBook
from siftfunnel.bench.report.naming import machine_line, task_of
from siftfunnel.bench.report.peers import peers_drawings
from siftfunnel.bench.report.sources import read_cells, read_fronts, read_inverters, read_json
from siftfunnel.bench.report.tables import configured_link
from siftfunnel.bench.stored import read
from siftfunnel.lab.tables.cells import Document, Drawing, Section, words

Pages = dict[str, str]
Drawer = Callable[[Mapping[str, Any]], Sequence[Drawing]]

PERCENTILE: Percentile = "p90"
MOST_PSNR_DB = 25.0
WISHES: Mapping[str, tuple[str, Limits]] = {
    "fastest": ("The fastest way over each link", Limits()),
    "cloud": (
        "The fastest way if the device is not to hold the whole network",
        Limits(without=("edge-only",)),
    ),
    "private": (
        f"The same, if the attacks measured are to restore at most {MOST_PSNR_DB:.0f} dB",
        Limits(most_psnr_db=MOST_PSNR_DB, without=("edge-only",)),
    ),
}
"""What the docs recommend for: name, heading, limits."""


class RendererMissingError(Exception):
    """The package that renders a result is not part of this checkout."""


def leakage_book(root: Path) -> LeakageBook:
    """The lab's fronts and the shipped inverters of a checkout.

    No picture is read on the spot: what pages say must not depend on a library's version.
    """
    fronts = read_fronts([root / "lab" / "results" / "rates"])
    return LeakageBook(fronts, read_inverters([root / "siftfunnel" / "assets" / "inverters"]))


def cells_pages(file: Path, root: Path) -> Pages:
    """Tables, drawings and summary of the measured cells."""
    return report_files(read_cells([file]), leakage_book(root))


def recommend_pages(file: Path, root: Path) -> Pages:
    """The best way over each measured link for every wish, per task, and all verdicts as JSON."""
    cells = [cell for cell in read_cells([file]).cells if cell.scenario == SCENARIO]
    book = leakage_book(root)
    pages: Pages = {}
    values: dict[str, Any] = {}
    for task in tasks_of(cells):
        group = [cell for cell in cells if task_of(cell.bundle) == task]
        sections = []
        for name, (title, limits) in WISHES.items():
            made = recommend(group, measured_links(group), book, PERCENTILE, limits)
            sections.append(overview_section(made, title))
            values.setdefault(task, {})[name] = recommendation_json(made)
        document = Document("recommend", task, f"What to run: {task}", (), tuple(sections))
        pages |= document_files(document, "recommend")
    trials = [trial for task in tasks_of(cells) for trial in _trials(cells, task)]
    error = prediction_error(trials)
    everything = {"schema": 1, "prediction_error": error and asdict(error), "tasks": values}
    pages["recommend.json"] = json.dumps(everything, indent=1, allow_nan=False) + "\n"
    return pages


def _trials(cells: Sequence[Cell], task: str) -> list[Trial]:
    return leave_one_link_out([cell for cell in cells if task_of(cell.bundle) == task], PERCENTILE)


def fronts_pages(folder: Path, root: Path) -> Pages:
    """One page with a drawing per front."""
    pages: Pages = {}
    for front in read_fronts([folder]):
        pages |= document_files(front_document(front), "front")
    return pages


def links_pages(file: Path, root: Path) -> Pages:
    """Links as asked for and as measured, from `siftfunnel bench links NAME... --out`."""
    values = read_json(file)
    rows = []
    for each in values["links"]:
        profile = read(LinkProfile, each["link"], str(file))
        measured = read(Calibration, each["measured"], str(file))
        told = (profile.name, configured_link(each["link"]), str(measured), each["emulation"])
        rows.append(tuple(map(words, (*told, profile.source))))
    columns = ("link", "asked for", "measured", "kept by", "source")
    section = Section("links", "Asked for and measured", columns, tuple(rows))
    preamble = (f"Measured on {machine_line(values.get('provenance'))}.",)
    return document_files(Document("links", "all", "Emulated links", preamble, (section,)), "links")


def throughput_drawings(document: Mapping[str, Any]) -> tuple[Drawing, ...]:
    """Throughput against streams, where the document has such a series."""
    made = throughput_drawing(document)
    return (made,) if made else ()


def rendered_by(module: str, function: str, name: str, drawer: Drawer | None = None) -> "Renderer":
    """Pages of a result whose Markdown another package of `bench` writes.

    Args:
        module: Its module.
        function: Takes the JSON object, gives Markdown.
        name: Of the page, without ending.
        drawer: Draws the same JSON.
    """

    def render(file: Path, root: Path) -> Pages:
        document = read_json(file)
        text = str(_function(module, function)(document))
        drawings = tuple(drawer(document)) if drawer else ()
        pictures = [f"![{drawing.caption}]({drawing.file})\n\n{drawing.caption}" for drawing in drawings]
        page = "\n\n".join([text.rstrip(), *pictures]) + "\n"
        return {f"{name}.md": page, **{drawing.file: drawing.svg for drawing in drawings}}

    return render


def _function(module: str, name: str) -> Callable[[Mapping[str, Any]], object]:
    try:
        found: Callable[[Mapping[str, Any]], object] = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is not None and module.startswith(error.name):
            raise RendererMissingError(f"{module} is not part of this checkout") from None
        raise
    return found


Renderer = Callable[[Path, Path], Pages]
peers_drawer: Drawer = peers_drawings
