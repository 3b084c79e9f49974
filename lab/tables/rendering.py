"""Documents as Markdown for people, as CSV and JSON for programs."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from siftfunnel.lab.tables.cells import Cell, Document, Section

CSV_COLUMNS = (
    "profile",
    "table",
    "section",
    "row",
    "column",
    "text",
    "value",
    "low",
    "high",
    "spread",
    "seeds",
)


def to_markdown(document: Document, *, with_drawings: bool = False) -> str:
    """A page; drawings are linked only where their files lie beside it."""
    parts = [f"# {document.title}", *document.preamble]
    if with_drawings:
        parts += [
            f"![{drawing.caption}]({drawing.file})\n\n{drawing.caption}" for drawing in document.drawings
        ]
    parts += [section_markdown(section) for section in document.sections]
    return "\n\n".join(parts) + "\n"


def section_markdown(section: Section) -> str:
    """Heading, paragraph, table and notes."""
    lines = [
        _line(section.columns),
        _line([_alignment(column) for column in zip(*section.rows, strict=True)]),
    ]
    lines += [_line([cell.text for cell in row]) for row in section.rows]
    parts = [
        f"## {section.title}",
        section.intro.rstrip(),
        "\n".join(lines),
        "\n".join(f"- {n}" for n in section.notes),
    ]
    return "\n\n".join(part for part in parts if part)


def _alignment(cells: Sequence[Cell]) -> str:
    """Numbers to the right, words to the left."""
    return "---:" if any(cell.value is not None for cell in cells) else "---"


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def to_csv(documents: Sequence[Document]) -> str:
    """One line per cell, so that all tables have the same columns."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for document in documents:
        for section in document.sections:
            for row in section.rows:
                for column, cell in zip(section.columns[1:], row[1:], strict=True):
                    where = (document.profile, document.table, section.name, row[0].text, column)
                    writer.writerow([*where, *asdict(cell).values()])
    return out.getvalue()


def to_json(documents: Sequence[Document]) -> str:
    """A list of documents; cells without a number have only a text."""
    return json.dumps([_document(document) for document in documents], indent=1, ensure_ascii=False) + "\n"


def _document(document: Document) -> dict[str, Any]:
    return {
        "profile": document.profile,
        "table": document.table,
        "title": document.title,
        "preamble": list(document.preamble),
        "sections": [
            {
                "name": section.name,
                "title": section.title,
                "columns": list(section.columns),
                "rows": [
                    [{key: value for key, value in asdict(cell).items() if value is not None} for cell in row]
                    for row in section.rows
                ],
                "notes": list(section.notes),
            }
            for section in document.sections
        ],
    }


def index_markdown(documents: Sequence[tuple[Document, str]]) -> str:
    """The page that leads to all others, by profile."""
    lines = [
        "# Results",
        "",
        "Written by `siftfunnel lab tables` from the result files; change those, not these pages. "
        "Profiles are never mixed: figures of two profiles do not compare.",
    ]
    for profile in dict.fromkeys(document.profile for document, _ in documents):
        lines += ["", f"## Profile {profile}", ""]
        found = [(document, path) for document, path in documents if document.profile == profile]
        lines += [found[0][0].preamble[0], ""]
        lines += [f"- [{document.title}]({path})" for document, path in found]
    return "\n".join(lines) + "\n"
