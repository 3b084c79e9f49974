import json
from pathlib import Path

import pytest

from siftfunnel.cli import main


def test_tables_are_printed(cells_file: Path, fronts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "report", str(cells_file), "--fronts", str(fronts)]) == 0
    text = capsys.readouterr().out
    assert "SingleStream: 90th percentile of latency over the links, ms" in text
    assert "16.4 dB, 25% retrieved" in text


def test_pages_drawings_and_summary_are_written(cells_file: Path, fronts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["bench", "report", str(cells_file), "--fronts", str(fronts), "--out", str(out)]
    assert main(command) == 0
    assert {path.name for path in out.iterdir()} == {
        "cells-drawnfaces.md",
        "cells.json",
        "stages-drawnfaces-singlestream.svg",
    }
    assert "(stages-drawnfaces-singlestream.svg)" in (out / "cells-drawnfaces.md").read_text()
    assert json.loads((out / "cells.json").read_text())["totals"]["cells"] == 20


@pytest.mark.parametrize("option", ["--fronts", "--inverters"])
def test_a_folder_that_is_not_there_is_named(
    option: str, cells_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "report", str(cells_file), option, "nowhere"]) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err


def test_a_broken_file_ends_with_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    assert main(["bench", "report", str(broken)]) == 2
    error = capsys.readouterr().err
    assert "broken.json: not valid JSON" in error
    assert error.count("\n") == 1
