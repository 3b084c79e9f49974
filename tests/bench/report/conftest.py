"""Files of made-up results, for every test below."""

import json
from pathlib import Path

import pytest

from tests.bench.report import made


@pytest.fixture
def cells_file(tmp_path: Path) -> Path:
    file = tmp_path / "cells.json"
    why = {
        "bundle": "drawnfaces-siftfunnel",
        "mode": "split",
        "codec": "q8",
        "link": "dsl",
        "scenario": "Server",
    }
    file.write_text(json.dumps(made.file_of(made.cells(), [{"cell": why, "why": "no | time"}])))
    return file


@pytest.fixture
def fronts(tmp_path: Path) -> Path:
    folder = tmp_path / "rates"
    folder.mkdir()
    (folder / "drawnfaces.json").write_text(json.dumps(made.front()))
    return folder
