"""What is already measured: finished cells in the file, single runs in a journal beside it."""

import json
from pathlib import Path
from typing import Any

from siftfunnel.bench.cells.plan import PlannedCell
from siftfunnel.bench.cells.record import RunRecord
from siftfunnel.bench.cells.result import Cell, CellFile, Skipped
from siftfunnel.bench.stored import StoredError, as_json, read
from siftfunnel.shared.files import write_file
from siftfunnel.shared.json_fields import parse_object


class Journal:
    """Results of a run, on disk after every step, so that an interrupted run goes on where it was.

    Args:
        out: The file of results; its journal is beside it and goes when all is done.
        provenance: Of this run; takes the place of what the file says.
        fresh: Whether to begin anew.

    Raises:
        StoredError: `out` exists and holds something else.
    """

    def __init__(self, out: Path, provenance: dict[str, Any], *, fresh: bool = False) -> None:
        self.out = out
        self._runs_path = out.with_name(out.name + ".runs.jsonl")
        out.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            self._runs_path.unlink(missing_ok=True)
        self._file = CellFile({}) if fresh or not out.exists() else _read(out)
        self._file.provenance = provenance
        self._file.skipped = []
        self._runs = self._read_runs()

    @property
    def cells(self) -> list[Cell]:
        """Finished ones."""
        return self._file.cells

    def has(self, planned: PlannedCell) -> bool:
        """Whether a cell is finished."""
        return any(planned.is_done_by(cell) for cell in self._file.cells)

    def runs_of(self, planned: PlannedCell) -> list[RunRecord]:
        """Runs of a cell that is not finished."""
        return self._runs.get(_text(planned), [])

    def add_run(self, planned: PlannedCell, record: RunRecord) -> None:
        """Keep a run."""
        self._runs.setdefault(_text(planned), []).append(record)
        with self._runs_path.open("a") as journal:
            journal.write(json.dumps({"key": planned.key(), "record": as_json(record)}) + "\n")

    def add_cell(self, cell: Cell) -> None:
        """Keep a finished cell."""
        self._file.cells.append(cell)
        self._write()

    def skip(self, skipped: Skipped) -> None:
        """Note a cell that is not measured."""
        self._file.skipped.append(skipped)
        self._write()

    def finish(self) -> None:
        """All is done: the journal goes."""
        self._write()
        self._runs_path.unlink(missing_ok=True)

    def _write(self) -> None:
        # whole or not at all: an interrupt must not cost what is measured
        write_file(self.out, json.dumps(self._file.to_json(), indent=1) + "\n")

    def _read_runs(self) -> dict[str, list[RunRecord]]:
        runs: dict[str, list[RunRecord]] = {}
        if not self._runs_path.exists():
            return runs
        for line in self._runs_path.read_text().splitlines():
            try:
                value = json.loads(line)
                runs.setdefault(json.dumps(value["key"]), []).append(
                    read(RunRecord, value["record"], "record")
                )
            except (ValueError, KeyError, TypeError):
                # a line that an interrupt cut off; its run is made again
                continue
        return runs


def _text(planned: PlannedCell) -> str:
    return json.dumps(planned.key())


def _read(out: Path) -> CellFile:
    try:
        return CellFile.from_json(parse_object(out.read_bytes(), str(out)), str(out))
    except ValueError as error:
        raise StoredError(f"{error}; name another --out, or begin anew with --fresh") from None
