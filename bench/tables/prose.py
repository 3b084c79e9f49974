"""Prose with measured figures: a template's directives and references, answered from a checkout.

    <!-- if bench/results/cells.json -->
    The 90th percentile is {{docs/tables/bench/cells : cells.drawnfaces.SingleStream... : .1f}} ms.
    <!-- end -->
    <!-- include docs/tables/bench/recommend-*.md -->
    <!-- figures docs/tables/bench/stages-*-singlestream.svg -->

What stands between ``if`` and ``end`` is kept where the file is there; otherwise a line says what is not
measured yet. ``include`` copies tables, their headings two levels down; ``figures`` shows drawings by
their titles. References are those of ``siftfunnel.lab.tables.findings``, with files named from the checkout's
root.
"""

import os
import re
from pathlib import Path

from siftfunnel.lab.tables.findings import render

BLOCK = re.compile(r"<!-- if (\S+) -->\n(.*?)<!-- end -->\n", re.DOTALL)
INCLUDE = re.compile(r"<!-- include (\S+) -->")
FIGURES = re.compile(r"<!-- figures (\S+) -->")
_TITLE = re.compile(r"<title>(.*?)</title>")


def render_prose(template: str, root: Path, folder: Path) -> str:
    """Put everything in.

    Args:
        template: Text with directives and references.
        root: The checkout, from which files are named.
        folder: Where the page will lie, for the links to drawings.

    Raises:
        FindingsError: a reference that no result answers.
    """
    text = BLOCK.sub(
        lambda found: found[2] if (root / found[1]).exists() else not_measured(found[1]), template
    )
    text = render(text, root)
    text = INCLUDE.sub(lambda found: _tables(found[1], root), text)
    return FIGURES.sub(lambda found: _drawings(found[1], root, folder), text)


def not_measured(place: str) -> str:
    """What stands for a result that is not there."""
    return f"*Not measured yet: `{place}`.*\n"


def _tables(pattern: str, root: Path) -> str:
    files = sorted(root.glob(pattern))
    texts = [re.sub(r"^#", "###", file.read_text(encoding="utf-8"), flags=re.MULTILINE) for file in files]
    return "\n".join(texts).rstrip() if texts else not_measured(pattern).rstrip()


def _drawings(pattern: str, root: Path, folder: Path) -> str:
    made = []
    for file in sorted(root.glob(pattern)):
        found = _TITLE.search(file.read_text(encoding="utf-8"))
        title = found[1] if found else file.stem
        made.append(f"![{title}]({Path(os.path.relpath(file, folder)).as_posix()})")
    return "\n\n".join(made) if made else not_measured(pattern).rstrip()
