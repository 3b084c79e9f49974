"""A fit that is stopped goes on behind what it has finished, and a folder is of one fit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siftfunnel.lab.split import funnel, points
from siftfunnel.lab.split.folder import SplitRun, load_run
from siftfunnel.lab.split.sensitivity import importance
from siftfunnel.lab.split.settings import FitSettings, byte_targets
from siftfunnel.lab.training.checkpoints import RunFolderError
from tests.lab.split import cutnets

SETTINGS = FitSettings(targets=byte_targets("60,40"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cutnets.stored_pictures(tmp_path_factory.mktemp("pictures"), 110)


def fit(place: Path, out: Path, settings: FitSettings = SETTINGS, **changes: Any) -> SplitRun:
    return cutnets.fitted(cutnets.two_tensors(), place, out, settings, **changes)


@pytest.fixture(scope="module")
def whole(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> SplitRun:
    return fit(pictures, tmp_path_factory.mktemp("whole") / "run")


def stops_at(call: int, function: Callable[..., Any], calls: list[int]) -> Callable[..., Any]:
    def stopping(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return function(*arguments)

    return stopping


@pytest.mark.parametrize(
    ("module", "name", "call"),
    # importance is one call; patches, steps and points are two each, of which the second is left
    [(funnel, "importance", 1), (funnel, "_best", 2), (points, "_first_step", 2), (points, "_mended", 2)],
)
def test_a_fit_that_was_stopped_goes_on_and_ends_as_one_that_was_not(
    pictures: Path,
    whole: SplitRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    call: int,
) -> None:
    original: Callable[..., Any] = getattr(module, name)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, stops_at(call, original, []))
        with pytest.raises(KeyboardInterrupt):
            fit(pictures, tmp_path / "run")
    with pytest.raises(RunFolderError, match="no finished split"):
        load_run(tmp_path / "run")
    calls: list[int] = []
    monkeypatch.setattr(module, name, stops_at(-1, original, calls))
    again = fit(pictures, tmp_path / "run")
    assert len(calls) == 1
    assert again.points == whole.points
    assert again.about["points"] == whole.about["points"]
    assert again.funnel is not None
    assert whole.funnel is not None
    for a, b in zip(again.funnel.parts, whole.funnel.parts, strict=True):
        np.testing.assert_array_equal(a.encode_KI, b.encode_KI)
    assert not (tmp_path / "run" / "steps").exists()


def test_a_folder_is_of_one_network_cut_and_pictures(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(points, "_mended", stops_at(1, points._mended, []))
        with pytest.raises(KeyboardInterrupt):
            fit(pictures, tmp_path / "run")
    with pytest.raises(RunFolderError, match=r"network.*another folder or delete"):
        fit(pictures, tmp_path / "run", original_sha256="1" * 64)
    with pytest.raises(RunFolderError, match="cut"):
        fit(pictures, tmp_path / "run", cut="other")
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    for picture in sorted(pictures.iterdir())[:100]:
        (fewer / picture.name).write_bytes(picture.read_bytes())
    with pytest.raises(RunFolderError, match="pictures"):
        fit(fewer, tmp_path / "run")
    # other targets are asked for of what the outputs want all the same
    monkeypatch.setattr(funnel, "importance", stops_at(1, importance, []))
    run = fit(pictures, tmp_path / "run", replace(SETTINGS, targets=byte_targets("50")))
    assert [point.target.name for point in run.points] == ["l50"]


def test_a_whole_run_is_not_fitted_again_nor_written_over(pictures: Path, tmp_path: Path) -> None:
    first = fit(pictures, tmp_path / "run")
    before = (tmp_path / "run" / "run.json").stat().st_mtime_ns
    assert fit(pictures, tmp_path / "run").points == first.points
    assert (tmp_path / "run" / "run.json").stat().st_mtime_ns == before
    with pytest.raises(RunFolderError, match="targets"):
        fit(pictures, tmp_path / "run", replace(SETTINGS, targets=byte_targets("50")))
    (tmp_path / "run" / "fit.json").unlink()
    with pytest.raises(RunFolderError, match="another run"):
        fit(pictures, tmp_path / "run")
