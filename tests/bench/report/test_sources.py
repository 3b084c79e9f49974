import json
from pathlib import Path
from typing import Any

import pytest

from siftfunnel.bench.report.sources import SourceError, read_cells, read_fronts, read_inverters
from siftfunnel.bench.stored import StoredError
from siftfunnel.shared.json_fields import FieldError
from tests.bench.report import made


def written(tmp_path: Path, value: Any, name: str = "file.json") -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_cells_of_two_files_stand_together(tmp_path: Path) -> None:
    slow = written(tmp_path, made.file_of(made.cells(["gprs"])), "slow.json")
    fast = written(tmp_path, made.file_of(made.cells(["wifi"])), "fast.json")
    found = read_cells([slow, fast])
    assert [cell.link.name for cell in found.cells] == ["gprs"] * 5 + ["wifi"] * 5
    assert len(found.provenances) == 2


def test_the_same_cell_twice_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, made.file_of(made.cells(["wifi"])))
    with pytest.raises(SourceError, match="two cells of drawnfaces-siftfunnel, edge-only"):
        read_cells([file, file])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected a JSON object"),
        ('{"schema": NaN}', "NaN is not a JSON number"),
    ],
)
def test_what_is_no_json_object_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FieldError, match=message) as raised:
        read_cells([written(tmp_path, text)])
    assert "file.json" in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.json: cannot be read: No such file"):
        read_cells([tmp_path / "nowhere.json"])


def test_a_cell_with_a_field_of_another_type_is_refused(tmp_path: Path) -> None:
    value = made.file_of(made.cells(["wifi"]))
    value["cells"][1]["frames_per_s"] = "fast"
    with pytest.raises(StoredError, match="frames_per_s"):
        read_cells([written(tmp_path, value)])


def test_only_fronts_are_taken_from_a_folder(tmp_path: Path) -> None:
    written(tmp_path, made.front(), "a.json")
    written(tmp_path, {"kind": "something else"}, "b.json")
    assert [front["dataset"] for front in read_fronts([tmp_path])] == ["drawnfaces"]


def test_a_front_of_another_schema_is_refused(tmp_path: Path) -> None:
    written(tmp_path, made.front() | {"schema": 7})
    with pytest.raises(SourceError, match=r"has schema 7, this program reads 1.*lab front"):
        read_fronts([tmp_path])


def test_inverters_are_found_by_the_digest_of_their_bundle(tmp_path: Path) -> None:
    written(tmp_path, {"bundle_digest": "d1"}, "one/inverter.json")
    assert set(read_inverters([tmp_path])) == {"d1"}
    written(tmp_path, {}, "two/inverter.json")
    with pytest.raises(SourceError, match="does not say which bundle it inverts"):
        read_inverters([tmp_path])
