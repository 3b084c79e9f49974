"""The network behind JPEG and WebP, trained on with such files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.data.picture_coding import PictureCoding
from siftfunnel.lab.export.bundle import export_run
from siftfunnel.lab.front.finetuning import through_codings
from siftfunnel.lab.front.front import measure_front
from siftfunnel.lab.front.request import FrontRequest
from siftfunnel.lab.training.recipes import RECIPES, recipe
from siftfunnel.lab.training.runs import train_recipe
from siftfunnel.shared.bundle import Bundle
from tests.lab.pictures import write_data_directory
from tests.lab.training.test_runs import tiny
from tests.tinybundle import make_tiny_bundle

CPU = torch.device("cpu")
WAYS = (PictureCoding("jpeg", 5), PictureCoding("raw"))


def quiet(text: str) -> None:
    """No progress is shown."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_directory(tmp_path_factory.mktemp("data"), train=120, test=30)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Bundle:
    folder = tmp_path_factory.mktemp("network")
    train_recipe(tiny(recipe("cifar10_unprotected")), folder / "run", data, None, CPU)
    return export_run(folder / "run", folder / "bundle", data)


def request_for(network: Path, data: Path, out: Path) -> FrontRequest:
    return FrontRequest(
        bundles=(),
        unprotected=network,
        dataset="cifar10",
        out=out / "front.json",
        data=data,
        codings=WAYS,
        rounds=1,
        runs=out / "runs",
        fine_tune=1,
    )


def test_each_picture_arrives_by_the_way_chosen_for_it() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    arrived = through_codings(pictures, WAYS, np.array([1, 0, 1]))
    same = [np.array_equal(a, b) for a, b in zip(pictures, arrived, strict=True)]
    assert same == [True, False, True]


def test_a_picture_is_answered_by_the_network_as_it_is_and_by_one_trained_on_with_compressed_pictures(
    network: Bundle, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tiny(recipe("cifar10_unprotected"))
    monkeypatch.setitem(RECIPES, "cifar10_unprotected", small)
    wanted = request_for(network.directory, data, tmp_path)
    points = measure_front(wanted, CPU, quiet)["points"]
    assert [point["codec"] for point in points] == ["jpeg-q5", "raw"]
    for point in points:
        tuned = point["fine_tuned"]
        assert tuned["network"] == {"bundle": network.name, "digest": network.digest, "epochs": 1}
        assert tuned["pictures"] == point["pictures"] == 30
        assert 0 <= tuned["accuracy_interval"][0] <= tuned["accuracy"] <= tuned["accuracy_interval"][1] <= 1
    monkeypatch.setattr("siftfunnel.lab.front.front.fine_tuned_fields", pytest.fail)
    assert measure_front(wanted, CPU, quiet)["points"] == points
    again = measure_front(replace(wanted, again=True, fine_tune=None), CPU, quiet)["points"]
    assert [point["fine_tuned"] for point in again] == [point["fine_tuned"] for point in points]


def test_a_bundle_without_a_known_recipe_cannot_be_trained_on(data: Path, tmp_path: Path) -> None:
    plain = make_tiny_bundle(tmp_path / "plain", classes=("red", "green", "blue"), input_size=32)
    wanted = request_for(plain.directory, data, tmp_path)
    with pytest.raises(DataError, match=r"names no recipe of .* \(it says None\); leave --fine-tune out"):
        measure_front(wanted, CPU, quiet)
