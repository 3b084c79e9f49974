"""Tables as text for a terminal."""

from collections.abc import Sequence
from itertools import chain

from siftfunnel.lab.tables.cells import Document, Section


def to_text(document: Document) -> str:
    """A document's tables one below the other."""
    return "\n\n".join([document.title, *map(section_text, document.sections)]) + "\n"


def section_text(section: Section) -> str:
    """One table with its heading, paragraph and notes."""
    parts = [section.title, section.intro, table_text(section)]
    return "\n".join(part for part in chain(parts, section.notes) if part)


def table_text(section: Section) -> str:
    """Columns padded to their widest cell, numbers to the right."""
    table = [section.columns, *([cell.text for cell in row] for row in section.rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    right = [any(cell.value is not None for cell in column) for column in zip(*section.rows, strict=True)]
    right = right or [False] * len(widths)
    rule = "  ".join("-" * width for width in widths)
    lines = [_line(texts, widths, right) for texts in table]
    return "\n".join([lines[0], rule, *lines[1:]])


def _line(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = [
        text.rjust(width) if to_right else text.ljust(width)
        for text, width, to_right in zip(texts, widths, right, strict=True)
    ]
    return "  ".join(padded).rstrip()
