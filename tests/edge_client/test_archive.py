"""`--output npz:DIR`: every answer's outputs come back from a file of numpy."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from siftfunnel.edge_client.outputs import as_json, as_line, open_output
from siftfunnel.edge_client.tensors import Outputs
from siftfunnel.shared.tensors import OutputSpec
from tests.edge_client.test_outputs import ANSWER, FAILURE, SUPERSEDED

GIVEN = (OutputSpec("file", "embedding", (3,)), OutputSpec("a/b", "tensor", (None, 2), "int64"))
ARRAYS = {"file": np.array([0.5, -1.0, np.nan], np.float32), "a/b": np.zeros((0, 2), np.int64)}
ANSWERED = replace(ANSWER, outputs=Outputs(ARRAYS, GIVEN))


def test_an_answers_outputs_come_back_by_name(tmp_path: Path) -> None:
    output = open_output(f"npz:{tmp_path / 'new' / 'folder'}")
    for outcome in (ANSWERED, FAILURE, SUPERSEDED, replace(ANSWER, sequence=8)):
        output.write(outcome)
    output.close()
    (path,) = (tmp_path / "new" / "folder").iterdir()
    assert path.name == "tiny-00000007.npz"
    with np.load(path, allow_pickle=False) as read:
        assert sorted(read.files) == ["a/b", "file"]
        assert np.array_equal(read["file"], ARRAYS["file"], equal_nan=True)
        assert read["a/b"].shape == (0, 2)


def test_outputs_of_an_earlier_run_are_left_alone(tmp_path: Path) -> None:
    open_output(f"npz:{tmp_path}").write(ANSWERED)
    with pytest.raises(ValueError, match="holds outputs of an earlier run; name another folder"):
        open_output(f"npz:{tmp_path}")


def test_a_place_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        open_output(f"npz:{tmp_path / 'file'}")


def test_outputs_as_json_and_for_people() -> None:
    assert as_json(ANSWERED)["outputs"] == {
        "file": {"dtype": "float32", "shape": [3], "values": [0.5, -1.0, None]},
        "a/b": {"dtype": "int64", "shape": [0, 2], "values": []},
    }
    assert "cat 0.75, dog 0.25; file 3 in [-1, 0.5]; a/b 0x2 (right)" in as_line(ANSWERED)


def test_a_large_output_says_how_it_is_saved() -> None:
    large = replace(ANSWER, outputs=Outputs({"map": np.zeros((64, 64))}, GIVEN))
    assert as_json(large)["outputs"]["map"] == {
        "dtype": "float64",
        "shape": [64, 64],
        "values": None,
        "saved_by": "--output npz:DIR",
    }


def test_an_answer_without_classes_has_a_line_too() -> None:
    bare = replace(ANSWERED, top=(), label=None)
    assert "cat/1.png: file 3 in [-1, 0.5]; a/b 0x2   edge 1.5 ms" in as_line(bare)
    assert as_json(bare)["top"] == []
