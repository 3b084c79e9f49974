"""Prose whose figures are read from results, so that no sentence can outlive the number it quotes.

A template holds references in double braces; everything else is copied:

    {{cpu/cifar10-cnn-none : attacks.residual.scores.standard.psnr_db.mean : .1f}}
    {{cpu/cifar10-cnn-none : A - cpu/cifar10-cnn-bido : B : +.1f}}

The second form is a difference. A format ending in ``%`` prints a share as a percentage. ``strongest`` as a
step of a path stands for the key that the result names as its strongest attack. What comes from many results
is there as well: ``cpu/predictors/cifar10-cnn`` holds ``siftfunnel.lab.tables.predictors.predictor_values``.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from siftfunnel.lab.tables.predictors import predictor_values
from siftfunnel.lab.tables.results import in_fair_order, read_results

REFERENCE = re.compile(r"\{\{\s*(.+?)\s*\}\}", re.DOTALL)
DIFFERENCE = " - "


class FindingsError(ValueError):
    """A reference in a template that no result answers; names it."""


PREDICTORS = re.compile(r"([^/]+)/predictors/([^/]+)")


def _load(results: Path, row: str) -> Any:
    if found := PREDICTORS.fullmatch(row):
        return predictor_values(read_results(results, lambda text: None)[found[1]], found[2])
    file = results / f"{row}.json"
    if not file.is_file():
        raise FindingsError(f"{row}: no such result; run `siftfunnel lab run {Path(row).name}` first")
    return in_fair_order(json.loads(file.read_text()))


def _value(results: Path, row: str, path: str, cache: dict[str, Any]) -> Any:
    if row not in cache:
        cache[row] = _load(results, row)
    value: Any = cache[row]
    for step in path.split("."):
        if step == "strongest" and isinstance(value, Mapping) and "strongest" not in value:
            step = cache[row]["strongest"]
        value = value.get(step) if isinstance(value, Mapping) else None
        if value is None:
            raise FindingsError(f"{row}: no {path} in this result (stopped at {step})")
    return value


def _refuse_other_pictures(one: Any, other: Any, text: str) -> None:
    """A difference of two rows says something only on the same pictures."""
    seen = [result.get("dataset", {}).get("parts") for result in (one, other)]
    if seen[0] != seen[1]:
        raise FindingsError(f"{text!r} compares results on different pictures; measure both rows anew")


def _resolve(text: str, results: Path, cache: dict[str, Any]) -> str:
    parts = [" ".join(part.split()) for part in text.split(DIFFERENCE)]
    *first, last = parts
    fields = [field.strip() for field in last.split(" : ")]
    if len(fields) == 3:
        row, path, form = fields
    elif len(fields) == 2 and not first:
        (row, path), form = fields, "s"
    else:
        raise FindingsError(f"{text!r} is not ROW : PATH : FORMAT")
    value = _value(results, row, path, cache)
    for part in first:
        other, path = (field.strip() for field in part.split(" : "))
        value = _value(results, other, path, cache) - value
        _refuse_other_pictures(cache[row], cache[other], text)
    return format(value, form)


def render(template: str, results: Path) -> str:
    """Put the figures in.

    Args:
        template: Text with references.
        results: Directory with ``<profile>/<row>.json``.

    Raises:
        FindingsError: a reference that no result answers, or that cannot be read.
    """
    cache: dict[str, Any] = {}
    return REFERENCE.sub(lambda found: _resolve(found[1], results, cache), template)
