"""The audit in three lines of Python."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from siftfunnel.lab import audit
from siftfunnel.lab.audit.budgets import BUDGETS
from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.graphs.writing import write_onnx
from tests.lab.attacks.tiny import shapes, tiny_edge
from tests.lab.audit.test_audit import RESIDUAL, TINY

PICTURES = shapes(80).numpy()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUDGETS, "fast", replace(TINY, suite=RESIDUAL, has_curve=False))


def quiet(text: str) -> None:
    """Progress is for people."""


def test_a_module_and_an_array_of_pictures_are_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = audit(tiny_edge(), PICTURES, out=tmp_path / "out", show=quiet)
    report.show()
    printed = capsys.readouterr().out
    assert report.figures["target"]["white_box"]
    assert report.figures["verdict"]["headline"] in printed
    assert "Singling out: " in printed
    annex = (tmp_path / "out" / "annex.md").read_text()
    assert "article 35(7)" in annex
    assert "| Linkability |" in annex
    assert 'id="risks"' in (tmp_path / "out" / "report.html").read_text()


def test_an_onnx_file_is_attacked_by_queries(tmp_path: Path) -> None:
    graph = write_onnx(tiny_edge(), input_name="image", input_shape=(3, 32, 32), output_name="feature")
    (tmp_path / "edge.onnx").write_bytes(graph)
    report = audit(tmp_path / "edge.onnx", PICTURES, out=tmp_path / "out", show=quiet)
    assert not report.figures["target"]["white_box"]


def test_what_is_no_picture_and_a_size_that_nobody_told_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="picture 0 must be uint8, height x width x 3, not float64"):
        audit(tiny_edge(), np.zeros((4, 32, 32, 3)), out=tmp_path / "out", show=quiet)
    with pytest.raises(ValueError, match=r"size=\(height, width\)"):
        audit(tiny_edge(), tmp_path, out=tmp_path / "out", show=quiet)
