"""``siftfunnel lab tables``: the paper's tables beside ours, from result files. Needs no PyTorch."""

import argparse
import sys
from pathlib import Path
from typing import Any

TABLES = (
    *("2", "3", "4", "5", "figure2", "others", "ablations", "front", "equal", "budgets", "before"),
    *("references", "information", "predictors", "speed"),
)
FORMATS = ("markdown", "csv", "json")


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
        choices=FORMATS,
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
    from siftfunnel.lab.reports.certificates import certificate_files
    from siftfunnel.lab.reports.pages import write_files
    from siftfunnel.lab.reports.study.results import RESULTS, ResultsError, read_results
    from siftfunnel.lab.reports.study.tables import make_pages, rendered, written

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
    pages = {study.profile: made for study in chosen if (made := make_pages(study, args.table))}
    if not pages:
        raise ResultsError(f"no result in {root} belongs to table {args.table}; run its rows first")
    if args.out is not None:
        beside = certificate_files(root) if (args.table, args.format) == ("all", "markdown") else {}
        write_files(args.out, written(studies, pages, args.format) | beside)
    else:
        print(rendered([page for made in pages.values() for page in made], args.format), end="")
    return 1 if problems else 0
