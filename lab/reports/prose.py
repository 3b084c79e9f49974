"""Prose with measured figures, so that no sentence can outlive the number it quotes.

A template holds references in double braces and directives in comments; everything else is copied:

    {{cpu/cifar10-cnn-none : attacks.residual.scores.standard.psnr_db.mean : .1f}}
    {{cpu/cifar10-cnn-none : A - cpu/cifar10-cnn-bido : B : +.1f}}
    <!-- if bench/results/cells.json -->
    The 90th percentile is {{docs/tables/bench/cells : cells.drawnfaces.SingleStream... : .1f}} ms.
    <!-- end -->
    <!-- include docs/tables/bench/recommend-*.md -->
    <!-- figures docs/tables/bench/stages-*-singlestream.svg -->
    <!-- table cpu/2/summary : Accuracy %, ours; PSNR dB, one frame -->
    <!-- when cpu/a : A < cpu/b : B -->It is less.<!-- else -->It is not.<!-- end when -->

The second reference is a difference. A format ending in ``%`` prints a share as a percentage. ``strongest``
as a step of a path stands for the key that the result names as its strongest attack. What comes from many
results is there as well: ``cpu/predictors/cifar10-cnn`` holds
``siftfunnel.lab.reports.study.predictors.predictor_values``.

What stands between ``if`` and ``end`` is kept where the file is there; otherwise a line says what is not
measured yet. ``include`` copies tables, their headings two levels down; ``figures`` shows drawings by their
titles. ``table`` is a section of a page of ``siftfunnel lab tables``, of the rows that were run and of these
columns beside the first (``certificates/all/bracket``: of the certificates). What stands after ``when`` is
kept where the one figure is below the other, so that a statement cannot outlive what it states.
"""

import json
import os
import re
from collections.abc import Mapping
from functools import cached_property
from html import unescape
from pathlib import Path
from typing import Any

from siftfunnel.lab.reports.pages import grid
from siftfunnel.lab.reports.study.results import Study, in_fair_order, read_results
from siftfunnel.lab.reports.table import NOT_RUN, Table

REFERENCE = re.compile(r"\{\{\s*(.+?)\s*\}\}", re.DOTALL)
PREDICTORS = re.compile(r"([^/]+)/predictors/([^/]+)")
BLOCK = re.compile(r"<!-- if (\S+) -->\n(.*?)<!-- end -->\n", re.DOTALL)
INCLUDE = re.compile(r"<!-- include (\S+) -->")
FIGURES = re.compile(r"<!-- figures (\S+) -->")
TABLE = re.compile(r"<!-- table (\S+)/(\S+)/(\S+) : (.+?) -->", re.DOTALL)
WHEN = re.compile(r"<!-- when (.+?) -->(.*?)(?:<!-- else -->(.*?))?<!-- end when -->", re.DOTALL)
_TITLE = re.compile(r"<title>(.*?)</title>")


class ProseError(ValueError):
    """A reference in a template that no result answers; names it."""


def render_prose(template: str, root: Path, folder: Path) -> str:
    """Put everything in.

    Args:
        template: Text with directives and references.
        root: Directory from which files are named.
        folder: Where the page will lie, for the links to drawings.

    Raises:
        ProseError: a reference that no result answers, or that cannot be read.
    """
    text = BLOCK.sub(
        lambda found: found[2] if (root / found[1]).exists() else _not_measured(found[1]) + "\n", template
    )
    results = _Results(root)
    text = TABLE.sub(lambda found: _section(results, *found.groups()), text)
    text = WHEN.sub(lambda found: (found[2] if _is_below(found[1], results) else found[3]) or "", text)
    text = REFERENCE.sub(lambda found: _resolve(found[1], results), text)
    text = INCLUDE.sub(lambda found: _tables(found[1], root), text)
    return FIGURES.sub(lambda found: _drawings(found[1], root, folder), text)


class _Results:
    """What the references and directives of one page name, each file read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, Any] = {}

    @cached_property
    def studies(self) -> dict[str, Study]:
        """What tables are made of, by profile."""
        return read_results(self.root, lambda text: None)

    def result(self, name: str) -> Any:
        """A result's content, or figures of many."""
        if name not in self._known:
            self._known[name] = self._load(name)
        return self._known[name]

    def value(self, name: str, path: str) -> Any:
        """What lies under a path of a result."""
        whole = value = self.result(name)
        for step in path.split("."):
            if step == "strongest" and isinstance(value, Mapping) and "strongest" not in value:
                step = whole["strongest"]
            if isinstance(value, list):
                value = dict(enumerate(value)).get(int(step)) if step.isdigit() else None
            else:
                value = value.get(step) if isinstance(value, Mapping) else None
            if value is None:
                raise ProseError(f"{name}: no {path} in this result (stopped at {step})")
        return value

    def _load(self, name: str) -> Any:
        if found := PREDICTORS.fullmatch(name):
            from siftfunnel.lab.reports.study.predictors import predictor_values

            return predictor_values(self.studies[found[1]], found[2])
        file = self.root / f"{name}.json"
        if not file.is_file():
            raise ProseError(f"{name}: no such result; run `siftfunnel lab run {Path(name).name}` first")
        return in_fair_order(json.loads(file.read_text(encoding="utf-8")))


def _not_measured(place: str) -> str:
    """What stands for a result that is not there."""
    return f"*Not measured yet: `{place}`.*"


def _tables(pattern: str, root: Path) -> str:
    files = sorted(root.glob(pattern))
    texts = [re.sub(r"^#", "###", file.read_text(encoding="utf-8"), flags=re.MULTILINE) for file in files]
    return "\n".join(texts).rstrip() if texts else _not_measured(pattern)


def _section(results: _Results, profile: str, page: str, section: str, columns: str) -> str:
    """A section of a page of tables: the rows that were run, the first column and those named."""
    from siftfunnel.lab.reports.certificates import certificates_page, read_certificates
    from siftfunnel.lab.reports.study.tables import make_pages

    if profile == "certificates":
        pages = [certificates_page(read_certificates(results.root / profile))]
    else:
        study = results.studies.get(profile)
        pages = make_pages(study, page) if study else []
    made = next((one for each in pages for one in each.sections if one.name == section), None)
    if made is None:
        return _not_measured(f"{profile}/{page}/{section}")
    wanted = [made.columns[0], *(" ".join(name.split()) for name in columns.split(";"))]
    if missing := [name for name in wanted if name not in made.columns]:
        raise ProseError(f"{profile}/{page}/{section} has no column {', '.join(missing)}")
    places = [made.columns.index(name) for name in wanted]
    rows = [tuple(row[place] for place in places) for row in made.rows if NOT_RUN not in row]
    return grid(Table(section, "", tuple(wanted), tuple(rows)))


def _is_below(text: str, results: _Results) -> bool:
    """Whether the first figure of ``ROW : PATH < ROW : PATH`` is below the second."""
    figures = [[field.strip() for field in part.split(" : ")] for part in text.split(" < ")]
    if [len(fields) for fields in figures] != [2, 2]:
        raise ProseError(f"{text!r} is not ROW : PATH < ROW : PATH")
    first, second = (results.value(name, path) for name, path in figures)
    return bool(first < second)


def _drawings(pattern: str, root: Path, folder: Path) -> str:
    made = []
    for file in sorted(root.glob(pattern)):
        found = _TITLE.search(file.read_text(encoding="utf-8"))
        title = unescape(found[1]) if found else file.stem
        made.append(f"![{title}]({Path(os.path.relpath(file, folder)).as_posix()})")
    return "\n\n".join(made) if made else _not_measured(pattern)


def _resolve(text: str, results: _Results) -> str:
    """The figure that a reference names, or the difference of two."""
    *first, last = (" ".join(part.split()) for part in text.split(" - "))
    fields = [field.strip() for field in last.split(" : ")]
    if len(fields) == 2 and not first:
        fields.append("s")
    if len(fields) != 3:
        raise ProseError(f"{text!r} is not ROW : PATH : FORMAT")
    name, path, form = fields
    value = results.value(name, path)
    for part in first:
        other, path = (field.strip() for field in part.split(" : "))
        value = results.value(other, path) - value
        # a difference of two rows says something only on the same pictures
        seen = [results.result(one).get("dataset", {}).get("parts") for one in (name, other)]
        if seen[0] != seen[1]:
            raise ProseError(f"{text!r} compares results on different pictures; measure both rows anew")
    return format(value, form)
