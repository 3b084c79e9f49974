"""Reads what was measured: cells, the lab's fronts, and what inverters that ship with bundles restore."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siftfunnel.bench.cells.result import Cell, CellFile, Skipped
from siftfunnel.shared.json_fields import parse_object

FRONT_SCHEMA = 1
Front = Mapping[str, Any]


class SourceError(ValueError):
    """A file that cannot be used; says which, why, and what to do."""


@dataclass(frozen=True)
class Measured:
    """Cells of one or more files.

    Attributes:
        cells: In the files' order.
        skipped: What was not measured, and why.
        provenances: One per file: code, versions, machine.
    """

    cells: tuple[Cell, ...]
    skipped: tuple[Skipped, ...]
    provenances: tuple[Mapping[str, Any], ...]


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object, without NaN or infinities.

    Raises:
        SourceError: no such file.
        FieldError: no JSON, or no object.
    """
    try:
        return parse_object(path.read_bytes(), str(path))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None


def read_cells(paths: Sequence[Path]) -> Measured:
    """The cells of result files.

    Raises:
        SourceError: a file that cannot be read, or two files with the same cell.
        StoredError: a value in it is invalid; names the field.
    """
    files = [CellFile.from_json(read_json(path), str(path)) for path in paths]
    cells = tuple(cell for file in files for cell in file.cells)
    seen: set[tuple[str, ...]] = set()
    for cell in cells:
        asked = json.dumps(cell.asked, sort_keys=True)
        key = (cell.digest, cell.mode, cell.codec, cell.link.name, cell.scenario, asked)
        if key in seen:
            raise SourceError(
                f"{', '.join(map(str, paths))}: two cells of {cell.bundle}, {cell.mode} {cell.codec}, link "
                f"{cell.link.name}, {cell.scenario}; name one of the files only"
            )
        seen.add(key)
    skipped = tuple(each for file in files for each in file.skipped)
    return Measured(cells, skipped, tuple(file.provenance for file in files))


def read_fronts(folders: Iterable[Path]) -> list[Front]:
    """Every front in some folders (``*.json``); other JSON files there are passed over.

    Raises:
        SourceError: a front of another schema, or a file that is no JSON object.
    """
    found: list[Front] = []
    for path in sorted(path for folder in folders for path in folder.glob("*.json")):
        value = read_json(path)
        if not isinstance(value.get("points"), list) or "dataset" not in value:
            continue
        if value.get("schema") != FRONT_SCHEMA:
            raise SourceError(
                f"{path}: has schema {value.get('schema')!r}, this program reads {FRONT_SCHEMA}; "
                "write it again with `siftfunnel lab front`"
            )
        found.append(value)
    return found


def read_inverters(folders: Iterable[Path]) -> dict[str, Mapping[str, Any]]:
    """Reports of inverters (``*/inverter.json`` or ``inverter.json``) by their bundle's digest.

    Raises:
        SourceError: a report without digest.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for folder in folders:
        for path in sorted([*folder.glob("inverter.json"), *folder.glob("*/inverter.json")]):
            value = read_json(path)
            if not isinstance(value.get("bundle_digest"), str):
                raise SourceError(f"{path}: does not say which bundle it inverts (bundle_digest)")
            found[value["bundle_digest"]] = value
    return found
