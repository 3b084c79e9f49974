"""Every kind of committed result: where it lies, and the pages and drawings that it becomes."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from siftfunnel.bench.edge.table import render_edge
from siftfunnel.bench.links.link import MeasuredLink
from siftfunnel.bench.pages import render_fairness, render_serving
from siftfunnel.bench.peers.table import render_peers
from siftfunnel.bench.recommend.answers import (
    by_task,
    measured_links,
    overview_section,
    recommend,
    recommendation_json,
)
from siftfunnel.bench.recommend.cli import SCENARIO
from siftfunnel.bench.recommend.prediction import Percentile, PredictionError, Trial, leave_one_link_out
from siftfunnel.bench.recommend.verdicts import Limits
from siftfunnel.bench.report.drawings import peers_drawings, throughput_drawings
from siftfunnel.bench.report.fronts import front_page
from siftfunnel.bench.report.leakage import LeakageBook
from siftfunnel.bench.report.naming import machine_line
from siftfunnel.bench.report.sources import read_cells, read_fronts, read_inverters, read_json
from siftfunnel.bench.report.summary import report_files
from siftfunnel.bench.stored import read
from siftfunnel.lab.reports.own_front import front_page as own_front_page
from siftfunnel.lab.reports.own_networks import networks_page
from siftfunnel.lab.reports.pages import page_files
from siftfunnel.lab.reports.table import Column, Drawing, Page, Table

Files = dict[str, str]
"""What is written, by file name."""

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


def _book(root: Path) -> LeakageBook:
    """The lab's fronts and the shipped inverters of a checkout.

    No picture is read on the spot: what pages say must not depend on a library's version.
    """
    fronts = read_fronts([root / "lab" / "results" / "rates"])
    return LeakageBook(fronts, read_inverters([root / "siftfunnel" / "assets" / "inverters"]))


def _cells(file: Path, root: Path) -> Files:
    """Tables, drawings and summary of the measured cells."""
    return report_files(read_cells([file]), _book(root))


def _recommended(file: Path, root: Path) -> Files:
    """The best way over each measured link for every wish, per task, and all verdicts as JSON."""
    cells = [cell for cell in read_cells([file]).cells if cell.scenario == SCENARIO]
    book = _book(root)
    files: Files = {}
    values: dict[str, Any] = {}
    trials: list[Trial] = []
    for task, group in by_task(cells).items():
        links = measured_links(group)
        made = {
            name: recommend(group, links, book, PERCENTILE, limits) for name, (_, limits) in WISHES.items()
        }
        sections = tuple(overview_section(made[name], title) for name, (title, _) in WISHES.items())
        values[task] = {name: recommendation_json(each) for name, each in made.items()}
        page = Page("recommend", task, f"What to run: {task}", (), sections)
        files |= page_files(page, f"recommend-{task}")
        trials += leave_one_link_out(group, PERCENTILE)
    error = PredictionError.of(trials)
    everything = {"schema": 1, "prediction_error": error and asdict(error), "tasks": values}
    return files | {"recommend.json": json.dumps(everything, indent=1, allow_nan=False) + "\n"}


def _fronts(folder: Path, root: Path) -> Files:
    """One page with a drawing per front."""
    files: Files = {}
    for front in read_fronts([folder]):
        page = front_page(front)
        files |= page_files(page, f"front-{page.table}")
    return files


def _links(result: Mapping[str, Any]) -> Page:
    """Links as asked for and as measured, from `siftfunnel bench links NAME... --out`."""
    links = [read(MeasuredLink, each, "links.json") for each in result["links"]]
    columns: tuple[Column[MeasuredLink], ...] = (
        ("link", lambda each: each.link.name),
        ("asked for", lambda each: str(each.link)),
        ("measured", lambda each: str(each.measured)),
        ("kept by", lambda each: each.emulation),
        ("source", lambda each: each.link.source),
    )
    table = Table.of("links", "Asked for and measured", links, columns)
    preamble = (f"Measured on {machine_line(result.get('provenance'))}.",)
    return Page("links", "links-all", "Emulated links", preamble, (table,))


Renderer = Callable[[Path, Path], Files]
"""Gives files, from the place of a result and the checkout's root."""


def _page_of(make: Callable[[Mapping[str, Any]], Page]) -> Renderer:
    """The page that one JSON object becomes, by its own name."""

    def render(file: Path, root: Path) -> Files:
        page = make(read_json(file))
        return page_files(page, page.table)

    return render


def _text_of(
    name: str,
    write: Callable[[Mapping[str, Any]], str],
    draw: Callable[[Mapping[str, Any]], Sequence[Drawing]] = lambda result: (),
) -> Renderer:
    """The same for a result that is written as Markdown, with drawings behind it."""

    def render(file: Path, root: Path) -> Files:
        result = read_json(file)
        drawings = draw(result)
        shown = [f"![{drawing.caption}]({drawing.file})\n\n{drawing.caption}" for drawing in drawings]
        text = "\n\n".join([write(result).rstrip(), *shown]) + "\n"
        return {f"{name}.md": text, **{drawing.file: drawing.svg for drawing in drawings}}

    return render


@dataclass(frozen=True)
class Kind:
    """One kind of result.

    Attributes:
        place: File or folder of its JSON, from the checkout's root.
        render: Gives files.
        about: What it shows, for the index.
    """

    place: str
    render: Renderer
    about: str


CELLS, OWN = "bench/results/cells.json", "lab/results/own"
REGISTRY: Mapping[str, Kind] = {
    "recommend": Kind(CELLS, _recommended, "which split and codec for which link"),
    "cells": Kind(CELLS, _cells, "latency, stages, bytes, accuracy, leakage"),
    "front": Kind("lab/results/rates", _fronts, "accuracy and leakage against bytes per frame"),
    "links": Kind("bench/results/links.json", _page_of(_links), "emulated links as measured"),
    "edge": Kind(
        "bench/results/edge.json", _text_of("edge", render_edge), "the edge half's time, memory and start"
    ),
    "serving": Kind(
        "bench/results/serving.json",
        _text_of("serving", render_serving, throughput_drawings),
        "throughput and latency of the serving path",
    ),
    "fairness": Kind(
        "bench/results/fairness.json",
        _text_of("fairness", render_fairness),
        "what an honest client waits beside a greedy one",
    ),
    "peers": Kind(
        "bench/results/peers.json",
        _text_of("peers", render_peers, peers_drawings),
        "other model servers, side by side",
    ),
    "own-networks": Kind(
        f"{OWN}/networks.json",
        _page_of(networks_page),
        "networks that nobody here wrote: work on the device, bytes, agreement, leakage",
    ),
    "own-front": Kind(
        f"{OWN}/front.json",
        _page_of(own_front_page),
        "one of them, agreement against bytes at three cuts beside JPEG and WebP",
    ),
}

_HEAD = """\
# Measured

Written by `siftfunnel bench tables` from committed JSON (`make bench-tables`); change that, not these pages.
What the figures mean and how to measure them again: [bench.md](../../bench.md).
"""


def all_files(root: Path, say: Callable[[str], None]) -> Files:
    """Every page of what there is with its drawings, and the index.

    Args:
        root: Of the checkout.
        say: Takes a line about each kind that is left out.

    Raises:
        ValueError: a result that is there and cannot be used.
    """
    files: Files = {}
    index: list[str] = []
    for name, kind in REGISTRY.items():
        place = root / kind.place
        if not (place.is_file() or (place.is_dir() and any(place.glob("*.json")))):
            why = f"{kind.place} is not measured yet"
            say(f"{name}: left out: {why}")
            index.append(f"- {name}: {kind.about}. Not here: {why}.")
            continue
        made = kind.render(place, root)
        pages = [file for file in made if file.endswith(".md")]
        index += [f"- [{file.removesuffix('.md')}]({file}): {kind.about}" for file in pages]
        files |= made
    return {"README.md": "\n".join([_HEAD, *index]) + "\n", **files}
