"""``siftfunnel bench report``: tables, drawings and a JSON summary of measured cells."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siftfunnel.shared.files import write_file

if TYPE_CHECKING:
    from siftfunnel.bench.report.leakage import LeakageBook
    from siftfunnel.bench.report.sources import Measured
    from siftfunnel.lab.tables.cells import Document, Drawing

PROJECT = Path(__file__).resolve().parents[2]
CELLS = PROJECT / "bench" / "results" / "cells.json"
FRONTS = PROJECT / "lab" / "results" / "rates"
INVERTERS = PROJECT / "siftfunnel" / "assets" / "inverters"
PICTURES = PROJECT / "siftfunnel" / "assets" / "images"


def add_report_parser(verbs: Any) -> None:
    """Add ``bench report``."""
    parser = verbs.add_parser(
        "report",
        help="tables, drawings and JSON of measured cells",
        description="Reads what `siftfunnel bench run` wrote and prints it as tables; with --out it writes "
        "Markdown, SVG and one JSON summary. Leakage is joined from the lab's fronts by the bundle's digest "
        "and the codec, else from the report of the bundle's inverter, and says which.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="result files of `bench run`")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write there instead of printing")
    add_leakage_arguments(parser)
    parser.set_defaults(run=run_report)


def add_leakage_arguments(parser: argparse.ArgumentParser) -> None:
    """Where leakage is looked for."""
    parser.add_argument(
        "--fronts",
        type=Path,
        action="append",
        metavar="DIR",
        help="folder with fronts of `siftfunnel lab front` (repeatable; default: lab/results/rates)",
    )
    parser.add_argument(
        "--inverters",
        type=Path,
        action="append",
        metavar="DIR",
        help="folder with inverters of bundles (repeatable; default: those that ship with siftfunnel)",
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="holds a folder of pictures per data set, to measure what JPEG and WebP leave of them where no "
        "front says it (default: those that ship with siftfunnel)",
    )


def leakage_of(args: argparse.Namespace) -> "LeakageBook":
    """The book that the arguments ask for.

    Raises:
        ValueError: a folder that was named and is not there, or a file in it that cannot be used.
    """
    from siftfunnel.bench.report.leakage import LeakageBook
    from siftfunnel.bench.report.sources import SourceError, read_fronts, read_inverters

    named = (*(args.fronts or ()), *(args.inverters or ()), *([args.pictures] if args.pictures else ()))
    for folder in named:
        if not folder.is_dir():
            raise SourceError(f"{folder}: no such folder")
    return LeakageBook(
        read_fronts(args.fronts or [FRONTS]),
        read_inverters(args.inverters or [INVERTERS]),
        args.pictures or PICTURES,
    )


def run_report(args: argparse.Namespace) -> int:
    """Print the tables, or write them with drawings and summary.

    Raises:
        ValueError: a file that cannot be read or used; says which and why.
    """
    from siftfunnel.bench.report.sources import read_cells
    from siftfunnel.bench.report.tables import documents
    from siftfunnel.bench.report.terminal import to_text

    measured = read_cells(args.files)
    leakage = leakage_of(args)
    if args.out is None:
        print("\n".join(map(to_text, documents(measured, leakage))), end="")
        return 0
    for name, text in report_files(measured, leakage).items():
        write_text(args.out / name, text)
    return 0


def report_files(measured: "Measured", leakage: "LeakageBook") -> dict[str, str]:
    """Everything that a report writes, by file name."""
    from dataclasses import replace

    from siftfunnel.bench.report.summary import summary
    from siftfunnel.bench.report.tables import documents

    files: dict[str, str] = {}
    for document in documents(measured, leakage):
        files |= document_files(replace(document, drawings=cell_drawings(measured, document.table)), "cells")
    files["cells.json"] = json.dumps(summary(measured, leakage), indent=1, allow_nan=False) + "\n"
    return files


def cell_drawings(measured: "Measured", task: str) -> "tuple[Drawing, ...]":
    """One drawing of stages per scenario of a task."""
    from siftfunnel.bench.report.naming import task_of
    from siftfunnel.bench.report.stages import stages_drawing

    cells = [cell for cell in measured.cells if task_of(cell.bundle) == task]
    made = [stages_drawing(cells, task, name) for name in dict.fromkeys(cell.scenario for cell in cells)]
    return tuple(drawing for drawing in made if drawing is not None)


def document_files(document: "Document", prefix: str) -> dict[str, str]:
    """A page as ``<prefix>-<table>.md`` and its drawings."""
    from siftfunnel.lab.tables.rendering import to_markdown

    page = to_markdown(document, with_drawings=True)
    drawings: Sequence[Drawing] = document.drawings
    return {f"{prefix}-{document.table}.md": page, **{drawing.file: drawing.svg for drawing in drawings}}


def write_text(path: Path, text: str) -> None:
    """Write a file and say so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, text)
    print(path, file=sys.stderr)
