import importlib
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lab.attacks.registry import make_attack
from lab.defences.registry import make_defence
from lab.recipes import Limits
from lab.study.profiles import MeasureBudget, Profile
from lab.study.rows import Row
from lab.study.run import Places, run_row, strongest
from tests.lab.pictures import write_data_directory

CPU = torch.device("cpu")
TINY = Profile(
    name="tiny",
    label="Tiny profile of the tests",
    widths={"cnn": 8},
    input_size=32,
    limits=Limits(train=64, validation=32, test=32, auxiliary=64),
    epochs=2,
    batch_size=32,
    attacked_pictures=8,
    attacks=(
        make_attack("rmle", iterations=3, restarts=1, learning_rates=(0.1,), tv_weights=(0.0,), batch=4),
        make_attack("generative-black-box", epochs=2, batch=16, width=8),
    ),
    further_attacks=(),
    measure=MeasureBudget(pictures=32, authors_epochs=1, steps=4, latency_runs=3),
    frames=2,
    averaged=("generative-black-box",),
)
PLAIN = Row("tiny-cnn-none", "cifar10", "cnn", make_defence("none"))
NOISY = Row("tiny-cnn-gaussian-noise", "cifar10", "cnn", make_defence("gaussian-noise"))
TIMES = ("seconds", "images_per_s_median", "images_per_s", "fit_seconds", "reconstruct_seconds")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_directory(tmp_path_factory.mktemp("data"), train=300, test=60)


def places(folder: Path, data: Path) -> Places:
    return Places(data, None, folder / "runs", folder / "results")


def quiet(text: str) -> None:
    pass


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in TIMES and "latency" not in k}
    if isinstance(value, list):
        return [without_times(item) for item in value]
    return value


def test_a_row_is_trained_measured_and_attacked_and_says_how(tmp_path: Path, data: Path) -> None:
    path = run_row(PLAIN, TINY, places(tmp_path, data), CPU, quiet)
    assert path == tmp_path / "results/tiny/tiny-cnn-none.json"
    result = json.loads(path.read_text())
    assert (result["schema"], result["row"], result["profile"], result["seed"]) == (
        1,
        "tiny-cnn-none",
        "tiny",
        1,
    )
    assert list(result["attacks"]) == ["generative-black-box", "rmle"]
    assert result["strongest"] in result["attacks"]
    assert result["dataset"]["train"] == 64
    assert result["accuracy"]["pictures"] == 32
    assert result["network"]["edge_parameters"] > 0
    assert result["information"]["feature_values"] == 16 * 8 * 8
    assert {"mean_image", "clamp_noise"} <= set(result["references"])
    for attack in result["attacks"].values():
        assert attack["scores"]["pictures"] == len(attack["scores"]["psnr_db_per_image"]) == 8
        assert {"standard", "paper"} <= set(attack["scores"])
    assert set(result["provenance"]) == {"commit", "versions", "machine"}


def test_a_stochastic_row_is_attacked_with_averaged_frames_too(tmp_path: Path, data: Path) -> None:
    path = run_row(NOISY, TINY, places(tmp_path, data), CPU, quiet, steps=("train", "attack"))
    attacks = json.loads(path.read_text())["attacks"]
    assert {key: entry["frames"] for key, entry in attacks.items()} == {
        "generative-black-box": 1,
        "generative-black-box-averaged-2": 2,
        "rmle": 1,
    }


class Interrupted(Exception):
    """Stands for Ctrl-C."""


def interrupting(name: str, after: int) -> Callable[..., Any]:
    """The function of that name, which raises after so many calls."""
    module, _, function = name.rpartition(".")
    original = getattr(importlib.import_module(module), function)
    calls = itertools.count(1)

    def call(*args: Any, **keywords: Any) -> Any:
        if next(calls) > after:
            raise Interrupted
        return original(*args, **keywords)

    return call


def test_an_interrupted_row_resumes_to_the_same_result(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_row(NOISY, TINY, places(tmp_path / "whole", data), CPU, quiet)

    broken = places(tmp_path / "broken", data)
    # in the second epoch of training, in the second epoch of the inverter, between two attacks
    for name, after in (
        ("lab.train._fit_epoch", 1),
        ("lab.train._fit_epoch", 2),
        ("lab.study.run.run_attack", 1),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(name, interrupting(name, after))
            with pytest.raises(Interrupted):
                run_row(NOISY, TINY, broken, CPU, quiet)
    resumed = run_row(NOISY, TINY, broken, CPU, quiet)
    assert without_times(json.loads(resumed.read_text())) == without_times(json.loads(whole.read_text()))


def test_another_seed_is_another_file(tmp_path: Path, data: Path) -> None:
    path = run_row(PLAIN, TINY, places(tmp_path, data), CPU, quiet, seed=2, steps=("train",))
    assert path.name == "tiny-cnn-none-seed2.json"
    assert json.loads(path.read_text())["seed"] == 2


def test_a_row_trained_otherwise_is_not_overwritten(tmp_path: Path, data: Path) -> None:
    run_row(PLAIN, TINY, places(tmp_path, data), CPU, quiet, steps=("train",))
    with pytest.raises(ValueError, match="other settings"):
        run_row(PLAIN, replace(TINY, epochs=3), places(tmp_path, data), CPU, quiet, steps=("train",))


def test_the_strongest_attack_has_the_highest_mean_psnr() -> None:
    def entry(mean: float) -> dict[str, Any]:
        return {"scores": {"standard": {"psnr_db": {"mean": mean}}}}

    assert strongest({"a": entry(10.0), "b": entry(20.0), "c": entry(15.0)}) == "b"
    assert strongest({}) is None
