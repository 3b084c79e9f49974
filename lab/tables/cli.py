"""``siftfunnel lab tables``: the paper's tables beside ours, from result files. Needs no PyTorch."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siftfunnel.shared.files import write_file

if TYPE_CHECKING:
    from siftfunnel.lab.tables.cells import Document
    from siftfunnel.lab.tables.results import Study

TABLES = ("2", "3", "4", "5", "figure2", "equal", "references", "information", "predictors", "speed")
FORMATS = {"markdown": "md", "csv": "csv", "json": "json"}


def add_tables_parser(commands: Any) -> None:
    """Add ``tables``."""
    parser = commands.add_parser(
        "tables",
        help="print the paper's tables beside our results",
        description="Print Tables 2 to 5 and Figure 2 of the paper beside our results: the paper's figure, "
        "ours by the paper's definition, ours by the standard definition, and the strongest attack. Profiles "
        "are never mixed.",
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="results, <profile>/<row>.json in it (default: lab/results of this checkout)",
    )
    parser.add_argument("--table", choices=[*TABLES, "all"], default="all", help="which (default: all)")
    parser.add_argument("--profile", metavar="NAME", help="only this profile (default: each in turn)")
    parser.add_argument(
        "--format",
        choices=list(FORMATS),
        default="markdown",
        help="markdown, csv or json (default: markdown)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write DIR/<profile>/… instead of printing; markdown comes with drawings and an index",
    )
    parser.set_defaults(run=run_tables)


def run_tables(args: argparse.Namespace) -> int:
    """Print or write the tables; 1 when a result file had to be left out.

    Raises:
        ResultsError: no results, or none of the profile asked for.
    """
    from siftfunnel.lab.tables.results import RESULTS, ResultsError, read_results

    problems: list[str] = []

    def warn(text: str) -> None:
        problems.append(text)
        print(f"siftfunnel lab tables: {text}", file=sys.stderr)

    root = args.results or RESULTS
    studies = read_results(root, warn)
    if args.profile is not None and args.profile not in studies:
        raise ResultsError(
            f"no results of profile {args.profile!r} in {root}; there are {', '.join(studies)}"
        )
    chosen = [study for name, study in studies.items() if args.profile in (None, name)]
    documents = [made for study in chosen for made in make_documents(study, args.table)]
    if not documents:
        raise ResultsError(f"no result in {root} belongs to table {args.table}; run its rows first")
    if args.out is not None:
        everything = args.profile is None and args.table == "all"
        write_documents(documents, args.out, args.format, index=everything)
    else:
        print(_render(documents, args.format), end="")
    return 1 if problems else 0


def make_documents(study: "Study", table: str) -> list["Document"]:
    """The documents of one profile that have something to show, ``table`` or all."""
    from siftfunnel.lab.tables.figures import figure2_drawings, table_drawings
    from siftfunnel.lab.tables.further import equal_table, figure2_table, information_table, references_table
    from siftfunnel.lab.tables.lines import table_lines
    from siftfunnel.lab.tables.paper import PAPER_TABLES
    from siftfunnel.lab.tables.sections import paper_table
    from siftfunnel.lab.tables.speed import speed_table

    makers: dict[str, Callable[[Study], Document | None]] = {
        "figure2": figure2_table,
        "equal": equal_table,
        "references": references_table,
        "information": information_table,
        "predictors": _predictors,
        "speed": speed_table,
    }
    documents = []
    for name in TABLES if table == "all" else (table,):
        made = paper_table(study, name) if name in PAPER_TABLES else makers[name](study)
        if made is None:
            continue
        drawings = table_drawings(study, name, table_lines(study, name)) if name in PAPER_TABLES else ()
        if name == "figure2":
            drawings = figure2_drawings(study)
        documents.append(replace(made, drawings=drawings))
    return documents


def _predictors(study: "Study") -> "Document | None":
    # the only table that needs SciPy, which takes a second to load
    from siftfunnel.lab.tables.predictors import predictors_table

    return predictors_table(study)


def _render(documents: Sequence["Document"], wanted: str) -> str:
    from siftfunnel.lab.tables.rendering import to_csv, to_json, to_markdown

    if wanted == "csv":
        return to_csv(documents)
    if wanted == "json":
        return to_json(documents)
    return "\n".join(to_markdown(document) for document in documents)


def write_documents(documents: Sequence["Document"], out: Path, wanted: str, *, index: bool) -> None:
    """One file per profile and table; Markdown with its drawings and, if wanted, an index of all."""
    from siftfunnel.lab.tables.rendering import index_markdown, to_markdown

    for document in documents:
        folder = out / document.profile
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{file_stem(document.table)}.{FORMATS[wanted]}"
        if wanted != "markdown":
            _write(path, _render([document], wanted))
            continue
        _write(path, to_markdown(document, with_drawings=True))
        for drawing in document.drawings:
            _write(folder / drawing.file, drawing.svg)
    if wanted == "markdown":
        _write(
            out / "README.md",
            index_markdown([(d, f"{d.profile}/{file_stem(d.table)}.md") for d in documents]),
        )


def file_stem(table: str) -> str:
    """File name of a table without its ending.

    Example:
        >>> file_stem("2"), file_stem("equal")
        ('table2', 'equal')
    """
    return f"table{table}" if table.isdigit() else table


def _write(path: Path, text: str) -> None:
    write_file(path, text)
    print(path, file=sys.stderr)
