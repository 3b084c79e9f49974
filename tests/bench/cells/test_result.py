import json
from typing import Any

import pytest

from siftfunnel.bench.cells.result import LAYERS, STAGES, Cell, CellFile, Skipped, Stages
from siftfunnel.bench.stored import StoredError
from tests.bench.report import made


def read_cell(value: dict[str, Any]) -> Cell:
    """The cell of a file that holds one."""
    return CellFile.from_json({"schema": 1, "provenance": {}, "cells": [value], "skipped": []}).cells[0]


def test_a_file_of_cells_reads_back_as_it_was_written() -> None:
    whole = CellFile({"commit": None}, [made.cell(*made.WAYS[3])], [Skipped({"link": "gprs"}, "no rights")])
    assert CellFile.from_json(json.loads(json.dumps(whole.to_json()))) == whole


def test_the_file_has_the_fields_that_tables_and_plots_read() -> None:
    value = made.cell(*made.WAYS[3]).to_json()
    assert tuple(value["stages_ms"]) == STAGES
    assert set(value["bytes"]) == {"up", "down"}
    assert tuple(value["bytes"]["up"]) == LAYERS
    assert value["accuracy"] == 0.98
    assert value["latency_ms"]["early_stopping"]["said"] == "enough queries"
    assert set(value["per_repeat"][1]) == {"frames_per_s", "p50", "p90", "p99"}


def test_stages_that_are_missing_add_nothing() -> None:
    assert Stages(1.0, 2.0, None, None, None, None, None, None, None).total_ms() == 3.0


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"mode": "both"}, "mode"),
        ({"scenario": "Interactive"}, "scenario"),
        ({"frames_per_s": -1.0}, "frames_per_s"),
        ({"frames": 3.5}, "frames"),
        ({"overloaded": 1}, "overloaded"),
        ({"late": -1}, "late"),
        ({"errors": {"LOST": 0}}, "errors"),
        ({"codec": ""}, "codec"),
        ({"judged": 1_001}, "judged"),
        ({"repeats": 3}, "repeats"),
        ({"surprise": 1}, "surprise"),
        ({"latency_ms": {"mean": 1, "p50": 3, "p90": 2, "p99": 4, "early_stopping": None}}, "p90"),
        ({"stages_ms": {"wait": 1}}, "capture"),
        ({"bytes": {"up": {}, "down": {}}}, "payload"),
    ],
)
def test_what_is_no_cell_is_refused_by_the_name_of_its_field(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(StoredError, match=named):
        read_cell(made.cell(*made.WAYS[3]).to_json() | changes)


def test_a_missing_field_and_another_schema_are_refused() -> None:
    value = made.cell(*made.WAYS[3]).to_json()
    del value["digest"]
    with pytest.raises(StoredError, match="digest"):
        read_cell(value)
    with pytest.raises(StoredError, match="schema"):
        CellFile.from_json({"schema": 2, "provenance": {}, "cells": [], "skipped": []})
