import json
from pathlib import Path
from typing import Any

import pytest

from siftfunnel.lab.targets.spec import SpecError, load_spec

INPUT = {"height": 32, "width": 32, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
LEAST: dict[str, Any] = {"input": INPUT, "feature": [12, 8, 8]}


def write(folder: Path, values: Any) -> Path:
    path = folder / "camera.json"
    path.write_text(json.dumps(values))
    return path


def test_input_and_feature_are_enough(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, LEAST))
    assert (spec.name, spec.feature, spec.classes, spec.cloud) == ("camera", (12, 8, 8), None, None)
    assert (spec.input.height, spec.input.mean, spec.input.std) == (32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def test_the_rest_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "cloud.onnx").write_bytes(b"x")
    more = {"name": "door", "classes": ["open", "shut"], "label_kind": "category", "cloud": "cloud.onnx"}
    spec = load_spec(write(tmp_path, {**LEAST, **more}))
    assert (spec.name, spec.classes, spec.label_kind) == ("door", ("open", "shut"), "category")
    assert spec.cloud == tmp_path / "cloud.onnx"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"input": INPUT}, "field 'feature' is missing"),
        ({"feature": [1]}, "field 'input' is missing"),
        ({**LEAST, "feature": []}, "one to three positive whole numbers"),
        ({**LEAST, "feature": [3, 0, 1]}, "one to three positive whole numbers"),
        ({**LEAST, "feature": [3.5]}, "one to three positive whole numbers"),
        ({**LEAST, "feature": [2**13, 2**13]}, "more than"),
        ({**LEAST, "input": {**INPUT, "height": 8}}, "must lie in"),
        ({**LEAST, "input": {**INPUT, "std": [1, 0, 1]}}, "above 0"),
        ({**LEAST, "input": {**INPUT, "mean": [0.5]}}, "3 values"),
        ({**LEAST, "label_kind": "people"}, "category or identity"),
        ({**LEAST, "cloud": "nowhere.onnx"}, "not there"),
        ({**LEAST, "features": 3}, "unknown"),
        ([1], "expected a JSON object"),
    ],
)
def test_a_wrong_spec_says_which_field(tmp_path: Path, values: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_spec(write(tmp_path, values))


def test_a_missing_spec_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="No such file"):
        load_spec(tmp_path / "nothing.json")
