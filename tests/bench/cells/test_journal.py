import json
from dataclasses import asdict
from pathlib import Path

import pytest

from siftfunnel.bench.cells.assembly import assemble
from siftfunnel.bench.cells.journal import Journal
from siftfunnel.bench.cells.load import Load
from siftfunnel.bench.cells.plan import PlannedCell
from siftfunnel.bench.cells.result import CellFile
from siftfunnel.bench.links.profiles import link_profile
from siftfunnel.bench.stored import StoredError
from tests.bench.cells.test_assembly import run_record


def test_runs_and_cells_outlive_an_interrupt(tmp_path: Path, planned: PlannedCell) -> None:
    out = tmp_path / "results" / "out.json"
    Journal(out, {}).add_run(planned, run_record())
    again = Journal(out, {})
    assert again.runs_of(planned) == [run_record()]
    assert not again.has(planned)
    again.add_cell(assemble(planned, [run_record(), run_record()], "tun", None))
    last = Journal(out, {"commit": "abc"})
    assert last.has(planned)
    last.finish()
    assert [path.name for path in out.parent.iterdir()] == ["out.json"]
    assert CellFile.from_json(json.loads(out.read_text())).provenance == {"commit": "abc"}


def test_a_line_that_was_cut_off_costs_its_own_run_only(tmp_path: Path, planned: PlannedCell) -> None:
    journal = Journal(tmp_path / "out.json", {})
    journal.add_run(planned, run_record())
    journal.add_run(planned, run_record(frames=11))
    runs = tmp_path / "out.json.runs.jsonl"
    runs.write_text(runs.read_text()[:-30])
    assert Journal(tmp_path / "out.json", {}).runs_of(planned) == [run_record()]


def test_other_settings_make_another_cell(tmp_path: Path, planned: PlannedCell) -> None:
    journal = Journal(tmp_path / "out.json", {})
    journal.add_cell(assemble(planned, [run_record()], "tun", None))
    longer = PlannedCell(**(vars(planned) | {"load": Load("SingleStream", 9.0, 9.0)}))
    elsewhere = PlannedCell(**(vars(planned) | {"link": link_profile("dsl")}))
    assert journal.has(planned)
    assert not journal.has(longer)
    assert not journal.has(elsewhere)


def test_beginning_anew_forgets_cells_and_runs(tmp_path: Path, planned: PlannedCell) -> None:
    journal = Journal(tmp_path / "out.json", {})
    journal.add_run(planned, run_record())
    journal.add_cell(assemble(planned, [run_record()], "tun", None))
    fresh = Journal(tmp_path / "out.json", {}, fresh=True)
    assert not fresh.has(planned)
    assert fresh.runs_of(planned) == []


def test_what_is_skipped_is_said_in_the_file(tmp_path: Path, planned: PlannedCell) -> None:
    journal = Journal(tmp_path / "out.json", {})
    journal.skip(planned.skipped("no rights"))
    (skipped,) = CellFile.from_json(json.loads((tmp_path / "out.json").read_text())).skipped
    assert asdict(skipped) == {"cell": planned.name(), "why": "no rights"}


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 7}', "not json"])
def test_a_file_that_holds_something_else_is_not_overwritten(tmp_path: Path, text: str) -> None:
    out = tmp_path / "out.json"
    out.write_text(text)
    with pytest.raises(StoredError, match=r"out\.json.*--out"):
        Journal(out, {})
    assert out.read_text() == text
