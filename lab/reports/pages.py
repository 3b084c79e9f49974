"""Pages as Markdown for people, as text for a terminal, as CSV and JSON for programs."""

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from siftfunnel.lab.reports.table import Cell, Page, Table
from siftfunnel.shared.files import write_file


def templates_of(package: str, folder: str = "templates") -> Environment:
    """The templates in a package's folder; a value that one shows and nobody gave is an error."""
    return Environment(
        loader=PackageLoader(package, folder),
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


ENVIRONMENT = templates_of("siftfunnel.lab.reports")


def to_markdown(page: Page, *, with_drawings: bool = False) -> str:
    """A page; drawings are linked only where their files lie beside it."""
    drawings = page.drawings if with_drawings else ()
    return ENVIRONMENT.get_template("page.md").render(page=page, drawings=drawings)


def grid(table: Table) -> str:
    """A table's rows in Markdown, without heading and notes."""
    rule = ["---:" if is_right else "---" for is_right in table.is_right]
    rows = [table.columns, rule, *([cell.text for cell in row] for row in table.rows)]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in row) + " |" for row in rows)


def file_stem(table: str) -> str:
    """File name of a page without its ending.

    Example:
        >>> file_stem("2"), file_stem("equal")
        ('table2', 'equal')
    """
    return f"table{table}" if table.isdigit() else table


def index_markdown(pages: Sequence[Page]) -> str:
    """The page that leads to all others, by profile."""
    return ENVIRONMENT.get_template("index.md").render(pages=pages)


def page_files(page: Page, stem: str) -> dict[str, str]:
    """A page as ``<stem>.md`` and its drawings beside it, by file name."""
    drawings = {drawing.file: drawing.svg for drawing in page.drawings}
    return {f"{stem}.md": to_markdown(page, with_drawings=True), **drawings}


def to_text(page: Page) -> str:
    """A page's tables one below the other, for a terminal."""
    return "\n\n".join([page.title, *map(table_text, page.sections)]) + "\n"


def table_text(table: Table) -> str:
    """One table with its heading, paragraph and notes; columns as wide as their widest cell."""
    rows = [table.columns, *([cell.text for cell in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(row, widths, table.is_right, strict=True)
        ).rstrip()
        for row in rows
    ]
    rule = "  ".join("-" * width for width in widths)
    parts = chain([table.title, table.intro, lines[0], rule], lines[1:], table.notes)
    return "\n".join(part for part in parts if part)


def to_csv(pages: Sequence[Page]) -> str:
    """One line per cell, so that all tables have the same columns."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("profile", "table", "section", "row", "column", *Cell.__dataclass_fields__))
    for page in pages:
        for table in page.sections:
            for row in table.rows:
                for column, cell in zip(table.columns[1:], row[1:], strict=True):
                    where = (page.profile, page.table, table.name, row[0].text, column)
                    writer.writerow([*where, *asdict(cell).values()])
    return out.getvalue()


def to_json(pages: Sequence[Page]) -> str:
    """A list of pages; cells without a number have only a text."""
    return json.dumps([_page(page) for page in pages], indent=1, ensure_ascii=False) + "\n"


def _page(page: Page) -> dict[str, Any]:
    sections = [
        {
            "name": table.name,
            "title": table.title,
            "columns": table.columns,
            "rows": [
                [{key: value for key, value in asdict(cell).items() if value is not None} for cell in row]
                for row in table.rows
            ],
            "notes": table.notes,
        }
        for table in page.sections
    ]
    head = {key: getattr(page, key) for key in ("profile", "table", "title", "preamble")}
    return {**head, "sections": sections}


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write files and say so."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, text)
        print(path, file=sys.stderr)


ENVIRONMENT.filters.update(grid=grid, stem=file_stem)
