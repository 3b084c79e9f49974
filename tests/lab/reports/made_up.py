"""The made-up result set, its tables printed, and a way to look into them."""

import argparse
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from siftfunnel.lab.reports.pages import to_markdown
from siftfunnel.lab.reports.study.cli import add_tables_parser
from siftfunnel.lab.reports.study.results import Study, read_results
from siftfunnel.lab.reports.study.tables import make_pages

HERE = Path(__file__).parent
MINIATURE = HERE / "miniature"
GOLDEN = HERE / "golden_table2.md"


def tables(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_tables_parser(parser.add_subparsers())
    args = parser.parse_args(["tables", *arguments])
    code: int = args.run(args)
    return code


@cache
def studies() -> dict[str, Study]:
    def fail(text: str) -> None:
        raise AssertionError(text)

    return read_results(MINIATURE, fail)


def stored(row: str, profile: str = "mini") -> Any:
    return json.loads((MINIATURE / profile / f"{row}.json").read_text())


def section_rows(text: str, title: str) -> dict[str, list[str]]:
    """Cells of the table under a heading, by the first cell; the headings are under their own first cell."""
    part = re.split(r"^## ", text, flags=re.MULTILINE)
    found = next(piece for piece in part if piece.startswith(title + "\n"))
    lines = [line.strip("| ").split(" | ") for line in found.splitlines() if line.startswith("|")]
    return {cells[0]: cells[1:] for cells in lines}


def markdown(table: str, profile: str = "mini") -> str:
    (page,) = make_pages(studies()[profile], table)
    return to_markdown(page)
