"""``siftfunnel bench tables``: pages and drawings from the JSON that is committed."""

import argparse
from pathlib import Path
from typing import Any


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
    from siftfunnel.bench.report.cli import PROJECT, write_text
    from siftfunnel.bench.tables.registry import all_pages, say_on_stderr

    for name, text in all_pages(args.root or PROJECT, say_on_stderr).items():
        write_text(args.out / name, text)
    return 0
