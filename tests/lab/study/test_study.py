import importlib
import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from siftfunnel.lab.attacks.generative import GenerativeGrayBox
from siftfunnel.lab.data.datasets import DATASETS, load_splits
from siftfunnel.lab.defences.registry import make_defence
from siftfunnel.lab.evaluation.ranking import mean_psnr
from siftfunnel.lab.evaluation.suite import Suite
from siftfunnel.lab.study.rows import ROWS, Row
from siftfunnel.lab.study.sizes import PROFILES, MeasureBudget, Profile
from siftfunnel.lab.study.study import Places, chosen_attacks, run_row
from siftfunnel.lab.training.checkpoints import RunFolderError
from siftfunnel.lab.training.classifier import input_spec
from siftfunnel.lab.training.recipes import Limits
from siftfunnel.lab.training.runs import load_run
from tests.lab.pictures import write_data_directory

CPU = torch.device("cpu")
TINY = Profile(
    name="tiny",
    label="Tiny profile of the tests",
    widths={"cnn": 8},
    input_size=16,
    limits=Limits(train=64, validation=32, test=32, auxiliary=64),
    epochs=2,
    batch_size=32,
    suite=Suite.of(
        "tiny",
        {
            "rmle": {
                "iterations": 3,
                "restarts": 1,
                "learning_rates": (0.1,),
                "tv_weights": (0.0,),
                "batch": 4,
            },
            "generative-black-box": {"epochs": 2, "batch": 16, "width": 8},
        },
        attacked=8,
        frames=2,
        averaged=("generative-black-box",),
    ),
    measure=MeasureBudget(pictures=32, authors_epochs=1, steps=2, latency_runs=3),
)
PLAIN = Row("tiny-cnn-none", "cifar10", "cnn", make_defence("none"))
NOISY = Row("tiny-cnn-gaussian-noise", "cifar10", "cnn", make_defence("gaussian-noise"))


TIMES = (
    "seconds",
    "images_per_s_median",
    "images_per_s",
    "fit_seconds",
    "reconstruct_seconds",
    "cpu_seconds",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_directory(tmp_path_factory.mktemp("data"), train=300, test=60, size=16)


def places(folder: Path, data: Path) -> Places:
    """Folders of one test; what is decoded once serves all of them."""
    return Places(data, data.with_name(f"{data.name}-decoded"), folder / "runs", folder / "results")


def quiet(text: str) -> None:
    pass


@pytest.fixture(scope="module")
def measured(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Places, Path]:
    """A row trained, measured and attacked once, for all tests that only look at it."""
    where = places(tmp_path_factory.mktemp("measured"), data)
    return where, run_row(PLAIN, TINY, where, CPU, quiet)


@pytest.fixture(scope="module")
def noisy(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a row whose network draws noise gets, trained and attacked."""
    where = places(tmp_path_factory.mktemp("noisy"), data)
    path = run_row(NOISY, TINY, where, CPU, quiet, steps=("train", "attack"))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def copied(measured: tuple[Places, Path], folder: Path) -> tuple[Places, Path]:
    """The measured row's results and weights in another place, without its run folder."""
    where, path = measured
    results = shutil.copytree(where.results, folder / "results")
    return replace(where, runs=folder / "runs", results=results), results / path.relative_to(where.results)


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in TIMES and "latency" not in k}
    if isinstance(value, list):
        return [without_times(item) for item in value]
    return value


def test_a_row_is_trained_measured_and_attacked_and_says_how(measured: tuple[Places, Path]) -> None:
    where, path = measured
    assert path == where.results / "tiny/tiny-cnn-none.json"
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
    assert result["information"]["feature_values"] == 16 * 4 * 4
    assert {"mean_image", "clamp_noise"} <= set(result["references"])
    for attack in result["attacks"].values():
        assert attack["scores"]["pictures"] == len(attack["scores"]["psnr_db_per_image"]) == 8
        assert {"standard", "paper"} <= set(attack["scores"])
    assert set(result["provenance"]) == {"commit", "versions", "machine"}


def test_the_figures_of_a_row_are_those_that_every_version_of_the_lab_got(
    measured: tuple[Places, Path], noisy: dict[str, Any]
) -> None:
    plain = json.loads(measured[1].read_text())
    assert psnr_of(plain) == pytest.approx({"generative-black-box": 13.84, "rmle": 16.14}, abs=0.05)
    inverters = {key: value for key, value in psnr_of(noisy).items() if key != "rmle"}
    assert inverters == pytest.approx(
        {"generative-black-box": 13.13, "generative-black-box-averaged-2": 13.68}, abs=0.05
    )
    guesses = {name: scores["standard"]["psnr_db"]["mean"] for name, scores in plain["references"].items()}
    assert (guesses["mean_image"], guesses["thumbnail_4x4"]) == pytest.approx((15.52, 26.53), abs=0.01)
    assert plain["information"]["entropy_coded_bits"]["mean"] == pytest.approx(1658, abs=5)


def psnr_of(result: dict[str, Any]) -> dict[str, float]:
    return {key: mean_psnr(entry) for key, entry in result["attacks"].items()}


def test_a_stochastic_row_is_attacked_with_averaged_frames_too(noisy: dict[str, Any]) -> None:
    assert {key: entry["frames"] for key, entry in noisy["attacks"].items()} == {
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
    tmp_path: Path, data: Path, noisy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = places(tmp_path, data)
    # in the second epoch of training, in the second epoch of the inverter, between two attacks
    for name, after in (
        ("siftfunnel.lab.training.fitting._fit_epoch", 1),
        ("siftfunnel.lab.training.fitting._fit_epoch", 2),
        ("siftfunnel.lab.study.study.run_attack", 1),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(name, interrupting(name, after))
            with pytest.raises(Interrupted):
                run_row(NOISY, TINY, broken, CPU, quiet, steps=("train", "attack"))
    resumed = run_row(NOISY, TINY, broken, CPU, quiet, steps=("train", "attack"))
    assert without_times(json.loads(resumed.read_text())) == without_times(noisy)


def test_a_row_is_attacked_anew_from_its_stored_weights_without_training(
    tmp_path: Path, measured: tuple[Places, Path]
) -> None:
    elsewhere, path = copied(measured, tmp_path)
    whole = json.loads(path.read_text())
    stored = path.parent / "weights/tiny-cnn-none.safetensors"
    assert stored.stat().st_size < 200_000
    assert whole["weights"]["file"] == "weights/tiny-cnn-none.safetensors"

    for steps in (("measure",), ("attack",)):
        again = run_row(PLAIN, TINY, elsewhere, CPU, quiet, steps=steps)
        assert without_times(json.loads(again.read_text())) == without_times(whole)


def test_a_row_without_run_and_weights_says_that_it_is_not_trained(tmp_path: Path, data: Path) -> None:
    with pytest.raises(RunFolderError, match="tiny-cnn-none is not trained: there is neither"):
        run_row(PLAIN, TINY, places(tmp_path, data), CPU, quiet, steps=("attack",))


def test_another_networks_result_is_set_aside_and_none_of_its_figures_taken_over(
    tmp_path: Path, measured: tuple[Places, Path]
) -> None:
    where, path = copied(measured, tmp_path)
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "weights": {**stored["weights"], "tensors_sha256": "0" * 64}}))
    run_row(PLAIN, TINY, where, CPU, quiet, steps=())
    assert json.loads(path.read_text())["attacks"] == {}
    assert json.loads((path.parent / "before" / path.name).read_text())["attacks"] == stored["attacks"]


def test_an_attack_without_a_budget_is_refused_before_any_work(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ValueError, match="AutoInvert v1, tiny has no attack fora, so tiny-cnn-none cannot"):
        run_row(PLAIN, TINY, places(tmp_path, data), CPU, quiet, attacks=("rmle", "fora"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("size", PROFILES.values())
@pytest.mark.parametrize("family", ["cnn", "resnet18", "vgg16"])
def test_the_papers_gray_box_inverter_is_run_by_default_in_the_shape_of_the_family(
    size: Profile, family: str
) -> None:
    attacks = {attack.name: attack for attack in chosen_attacks(ROWS[f"cifar10-{family}-none"], size)}
    gray_box = attacks["generative-gray-box"]
    assert isinstance(gray_box, GenerativeGrayBox)
    assert gray_box.width == gray_box.victim_width == size.widths[family]


def test_few_pictures_make_more_passes_so_that_there_are_steps_enough(tmp_path: Path, data: Path) -> None:
    passes = Suite.of("few", {"generative-black-box": {"least_steps": 9, "epochs": 2}})
    few = replace(TINY, least_steps=7, suite=passes)
    path = run_row(PLAIN, few, places(tmp_path, data), CPU, quiet, steps=("train", "attack"))
    result = json.loads(path.read_text())
    # 64 pictures in batches of 32, and 58 of 64 auxiliary ones in one batch of 128
    assert result["training"]["epochs_done"] == 4
    assert result["attacks"]["generative-black-box"]["fit"]["epochs"] == 9


def test_what_learned_nothing_and_what_lost_to_guessing_is_said_aloud(tmp_path: Path, data: Path) -> None:
    shown: list[str] = []
    rushed = replace(TINY, epochs=1, learning_rate=1e-9)
    result = json.loads(run_row(PLAIN, rushed, places(tmp_path, data), CPU, shown.append).read_text())
    kinds = {(flag["about"], flag["kind"]) for flag in result["flags"]}
    assert {("training", "learned-nothing"), ("generative-black-box", "lost-to-guessing")} <= kinds
    assert any("training: learned nothing" in line for line in shown)
    assert any("generative-black-box: restores no better than" in line for line in shown)


def test_a_data_set_is_normalised_by_its_own_statistics_and_says_which(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, "films", DATASETS["cifar10"])
    films = replace(PLAIN, dataset="films")
    result = json.loads(
        run_row(films, TINY, places(tmp_path, data), CPU, quiet, steps=("train",)).read_text()
    )
    found = result["training"]["recipe"]["normalisation"]
    pictures = load_splits("cifar10", data, size=16).limited(train=64).train.images_NHWC / 255
    assert found["mean"] == pytest.approx(pictures.mean(axis=(0, 1, 2)).tolist(), abs=1e-4)
    assert found["std"] == pytest.approx(pictures.std(axis=(0, 1, 2)).tolist(), abs=1e-4)
    assert found["origin"] == "of the 64 training pictures of films at 16x16"
    recipe, _, _ = load_run(tmp_path / "results/tiny/weights/tiny-cnn-none.safetensors")
    assert input_spec(recipe).mean == tuple(found["mean"])


def test_another_seed_is_another_file(tmp_path: Path, data: Path) -> None:
    path = run_row(PLAIN, TINY, places(tmp_path, data), CPU, quiet, seed=2, steps=("train",))
    assert path.name == "tiny-cnn-none-seed2.json"
    assert json.loads(path.read_text())["seed"] == 2


def test_a_row_trained_otherwise_is_not_overwritten(tmp_path: Path, data: Path) -> None:
    run_row(PLAIN, TINY, places(tmp_path, data), CPU, quiet, steps=("train",))
    with pytest.raises(ValueError, match="other settings"):
        run_row(PLAIN, replace(TINY, epochs=3), places(tmp_path, data), CPU, quiet, steps=("train",))
