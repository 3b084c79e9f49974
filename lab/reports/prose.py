"""Prose with measured figures, so that no sentence can outlive the number it quotes.

A template holds references in double braces and directives in comments; everything else is copied:

    {{cpu/cifar10-cnn-none : attacks.residual.scores.standard.psnr_db.mean : .1f}}
    {{cpu/cifar10-cnn-none : A - cpu/cifar10-cnn-bido : B : +.1f}}
    <!-- if bench/results/cells.json -->
    The 90th percentile is {{docs/tables/bench/cells : cells.drawnfaces.SingleStream... : .1f}} ms.
    <!-- end -->
    <!-- include docs/tables/bench/recommend-*.md -->
    <!-- figures docs/tables/bench/stages-*-singlestream.svg -->

The second reference is a difference. A format ending in ``%`` prints a share as a percentage. ``strongest``
as a step of a path stands for the key that the result names as its strongest attack. What comes from many
results is there as well: ``cpu/predictors/cifar10-cnn`` holds
``siftfunnel.lab.reports.study.predictors.predictor_values``.

What stands between ``if`` and ``end`` is kept where the file is there; otherwise a line says what is not
measured yet. ``include`` copies tables, their headings two levels down; ``figures`` shows drawings by their
titles.
"""

import json
import os
import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

from siftfunnel.lab.reports.study.results import in_fair_order, read_results

REFERENCE = re.compile(r"\{\{\s*(.+?)\s*\}\}", re.DOTALL)
PREDICTORS = re.compile(r"([^/]+)/predictors/([^/]+)")
BLOCK = re.compile(r"<!-- if (\S+) -->\n(.*?)<!-- end -->\n", re.DOTALL)
INCLUDE = re.compile(r"<!-- include (\S+) -->")
FIGURES = re.compile(r"<!-- figures (\S+) -->")
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
    known: dict[str, Any] = {}
    text = REFERENCE.sub(lambda found: _resolve(found[1], root, known), text)
    text = INCLUDE.sub(lambda found: _tables(found[1], root), text)
    return FIGURES.sub(lambda found: _drawings(found[1], root, folder), text)


def _not_measured(place: str) -> str:
    """What stands for a result that is not there."""
    return f"*Not measured yet: `{place}`.*"


def _tables(pattern: str, root: Path) -> str:
    files = sorted(root.glob(pattern))
    texts = [re.sub(r"^#", "###", file.read_text(encoding="utf-8"), flags=re.MULTILINE) for file in files]
    return "\n".join(texts).rstrip() if texts else _not_measured(pattern)


def _drawings(pattern: str, root: Path, folder: Path) -> str:
    made = []
    for file in sorted(root.glob(pattern)):
        found = _TITLE.search(file.read_text(encoding="utf-8"))
        title = unescape(found[1]) if found else file.stem
        made.append(f"![{title}]({Path(os.path.relpath(file, folder)).as_posix()})")
    return "\n\n".join(made) if made else _not_measured(pattern)


def _load(root: Path, name: str) -> Any:
    if found := PREDICTORS.fullmatch(name):
        from siftfunnel.lab.reports.study.predictors import predictor_values

        return predictor_values(read_results(root, lambda text: None)[found[1]], found[2])
    file = root / f"{name}.json"
    if not file.is_file():
        raise ProseError(f"{name}: no such result; run `siftfunnel lab run {Path(name).name}` first")
    return in_fair_order(json.loads(file.read_text(encoding="utf-8")))


def _value(root: Path, name: str, path: str, known: dict[str, Any]) -> Any:
    if name not in known:
        known[name] = _load(root, name)
    value: Any = known[name]
    for step in path.split("."):
        if step == "strongest" and isinstance(value, Mapping) and "strongest" not in value:
            step = known[name]["strongest"]
        value = value.get(step) if isinstance(value, Mapping) else None
        if value is None:
            raise ProseError(f"{name}: no {path} in this result (stopped at {step})")
    return value


def _resolve(text: str, root: Path, known: dict[str, Any]) -> str:
    """The figure that a reference names, or the difference of two."""
    *first, last = (" ".join(part.split()) for part in text.split(" - "))
    fields = [field.strip() for field in last.split(" : ")]
    if len(fields) == 2 and not first:
        fields.append("s")
    if len(fields) != 3:
        raise ProseError(f"{text!r} is not ROW : PATH : FORMAT")
    name, path, form = fields
    value = _value(root, name, path, known)
    for part in first:
        other, path = (field.strip() for field in part.split(" : "))
        value = _value(root, other, path, known) - value
        # a difference of two rows says something only on the same pictures
        seen = [known[one].get("dataset", {}).get("parts") for one in (name, other)]
        if seen[0] != seen[1]:
            raise ProseError(f"{text!r} compares results on different pictures; measure both rows anew")
    return format(value, form)
