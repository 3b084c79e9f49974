"""``siftfunnel bench report`` and ``bench tables``: pages of measured cells, and of all that is committed."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siftfunnel.shared.settings import add_flags, from_flags, setting

if TYPE_CHECKING:
    from siftfunnel.bench.report.leakage import LeakageBook

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
    add_flags(parser, LeakageSources)
    parser.set_defaults(run=run_report)


@dataclass(frozen=True)
class LeakageSources:
    """Where leakage is looked for.

    Attributes:
        fronts: Folders with the lab's fronts.
        inverters: Folders with inverters of bundles.
        pictures: Holds a folder of pictures per task.
    """

    fronts: tuple[Path, ...] = setting(
        (),
        "folder with fronts of `siftfunnel lab front` (repeatable; default: lab/results/rates)",
        metavar="DIR",
    )
    inverters: tuple[Path, ...] = setting(
        (),
        "folder with inverters of bundles (repeatable; default: those that ship with siftfunnel)",
        metavar="DIR",
    )
    pictures: Path | None = setting(
        None,
        "holds a folder of pictures per data set, to measure what JPEG and WebP leave of them where no front "
        "says it (default: those that ship with siftfunnel)",
        metavar="DIR",
    )

    def book(self) -> "LeakageBook":
        """What lies there.

        Raises:
            ValueError: a folder that was named and is not there, or a file in it that cannot be used.
        """
        from siftfunnel.bench.report.leakage import LeakageBook
        from siftfunnel.bench.report.sources import SourceError, read_fronts, read_inverters

        for folder in (*self.fronts, *self.inverters, *filter(None, [self.pictures])):
            if not folder.is_dir():
                raise SourceError(f"{folder}: no such folder")
        fronts, inverters = self.fronts or (FRONTS,), self.inverters or (INVERTERS,)
        return LeakageBook(read_fronts(fronts), read_inverters(inverters), self.pictures or PICTURES)


def run_report(args: argparse.Namespace) -> int:
    """Print the tables, or write them with drawings and summary.

    Raises:
        ValueError: a file that cannot be read or used; says which and why.
    """
    from siftfunnel.bench.report.sources import read_cells
    from siftfunnel.bench.report.tables import pages
    from siftfunnel.lab.reports.pages import to_text, write_files

    measured = read_cells(args.files)
    leakage = from_flags(LeakageSources, args).book()
    if args.out is None:
        print("\n".join(map(to_text, pages(measured, leakage))), end="")
        return 0
    from siftfunnel.bench.report.summary import report_files

    write_files(args.out, report_files(measured, leakage))
    return 0


def add_tables_parser(verbs: Any) -> None:
    """Add ``bench tables``."""
    parser = verbs.add_parser(
        "tables",
        help="write pages and drawings from the committed results",
        description="Turns every result in bench/results and lab/results/rates into Markdown and SVG. What "
        "is not measured yet is left out with a message.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the pages")
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="checkout to read from (default: where this program lies)"
    )
    parser.set_defaults(run=run_tables)


def run_tables(args: argparse.Namespace) -> int:
    """Write every page there is.

    Raises:
        ValueError: a result that is there and cannot be used.
    """
    from siftfunnel.bench.report.committed import all_files
    from siftfunnel.lab.reports.pages import write_files

    def say(text: str) -> None:
        print(f"siftfunnel bench tables: {text}", file=sys.stderr)

    write_files(args.out, all_files(args.root or PROJECT, say))
    return 0
