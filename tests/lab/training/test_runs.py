import hashlib
import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from siftfunnel.lab.attacks.fingerprint import tensor_digest
from siftfunnel.lab.data.augment import augment
from siftfunnel.lab.data.images import DataError, ImageSet, Splits
from siftfunnel.lab.defences.registry import DEFENCES, make_defence
from siftfunnel.lab.defences.siftfunnel import SiftFunnel
from siftfunnel.lab.defences.siftfunnel_rate import SiftFunnelRate, rate_stage
from siftfunnel.lab.networks.registry import build_network
from siftfunnel.lab.training.checkpoints import RunFolder, RunFolderError
from siftfunnel.lab.training.classifier import (
    ClassifierTask,
    fit_settings,
    input_spec,
    steps_per_epoch,
)
from siftfunnel.lab.training.fitting import OutOfMemoryError, fit
from siftfunnel.lab.training.recipes import RECIPES, Recipe, WarmStart, recipe, recipe_from_json
from siftfunnel.lab.training.runs import load_run, settled, store_run, train_recipe
from siftfunnel.shared.bundle import load_bundle
from siftfunnel.shared.preprocess import InputSpec
from siftfunnel.shipped import assets_directory
from tests.lab.graphs.test_unfolding import bundle_of
from tests.lab.pictures import coloured_set, write_data_directory

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_directory(tmp_path_factory.mktemp("data"), train=96, test=12)


def tiny(wanted: Recipe, **change: object) -> Recipe:
    """A recipe that trains in a second."""
    small = {
        "epochs": 1,
        "batch_size": 32,
        "width": 32 if isinstance(wanted.defence, SiftFunnel | SiftFunnelRate) else 8,
        "warm_start": None,
    }
    return replace(wanted, **{**small, **change})


def untaught(name: str) -> Recipe:
    """A rate recipe without its teachers."""
    wanted = recipe(name)
    assert isinstance(wanted.defence, SiftFunnelRate)
    return replace(wanted, teachers=(), defence=replace(wanted.defence, taught_share=0.0))


def splits_of(images: ImageSet) -> Splits:
    return Splits(train=images, validation=images, test=images, auxiliary=images)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_survives_json(name: str) -> None:
    made = recipe(name)
    assert recipe_from_json(json.loads(json.dumps(made.to_json()))) == made


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_protected_recipe_uses_the_papers_weights(name: str) -> None:
    defence = recipe(name).defence
    if isinstance(defence, SiftFunnel | SiftFunnelRate) and defence.name.startswith("siftfunnel"):
        weights = defence.weights
        assert (weights.kl, weights.distance_correlation, weights.channel_correlation) == (3.5, 0.8, 0.6)


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="known: cifar10_"):
        recipe("resnet")


def test_a_task_feeds_normalised_pictures_in_whole_batches() -> None:
    wanted = tiny(recipe("cifar10_unprotected"), batch_size=16)
    task = ClassifierTask(wanted, splits_of(coloured_set(40)), CPU)
    batches = list(task.batches(torch.Generator().manual_seed(0)))
    assert [tuple(x.shape) for x, *_ in batches] == [(16, 3, 32, 32), (16, 3, 32, 32)]
    assert task.samples_per_epoch == 32
    assert -3 < float(batches[0][0].min()) < float(batches[0][0].max()) < 3


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(DataError, match="wants 32x32 pictures"):
        ClassifierTask(tiny(recipe("cifar10_unprotected")), splits_of(coloured_set(8, size=48)), CPU)


def test_an_unprotected_run_learns_colours_and_is_read_back(tmp_path: Path) -> None:
    data = write_data_directory(tmp_path / "data", train=400)
    wanted = tiny(recipe("cifar10_unprotected"), epochs=4, learning_rate=1e-2)
    progress = train_recipe(wanted, tmp_path / "run", data, None, CPU)
    assert progress.best_score > 0.9
    loaded, network, stored = load_run(tmp_path / "run")
    assert loaded == wanted
    assert not network.training
    assert stored["epochs_done"] == 4
    assert stored["about"]["splits"] == {"train": 288, "validation": 32, "test": 60, "auxiliary": 80}


def test_a_funnel_run_goes_through_its_warm_start_and_resumes(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = tiny(recipe("cifar10_unprotected"), name="start", width=32, input_size=16)
    monkeypatch.setitem(RECIPES, "start", start)
    wanted = tiny(recipe("cifar10_siftfunnel"), warm_start=WarmStart(recipe="start", epochs=1), input_size=16)
    train_recipe(wanted, tmp_path / "run", data, None, CPU)
    assert {path.name for path in (tmp_path / "run").iterdir() if path.is_dir()} == {"start", "restoring"}
    before = (tmp_path / "run/best.safetensors").read_bytes()
    train_recipe(wanted, tmp_path / "run", data, None, CPU)
    assert (tmp_path / "run/best.safetensors").read_bytes() == before

    other = tmp_path / "other"
    train_recipe(wanted, other, data, None, CPU, start_from=tmp_path / "run/start")
    assert not (other / "start").exists()
    first, second = (load_run(folder)[1].edge.state_dict() for folder in (other, tmp_path / "run"))
    assert torch.equal(first["0.0.bias"], second["0.0.bias"])


def test_a_recipe_from_scratch_takes_no_start(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ValueError, match="leave --start-from out"):
        train_recipe(tiny(recipe("cifar10_unprotected")), tmp_path / "r", data, None, CPU, tmp_path)


def test_a_folder_without_a_run_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="siftfunnel lab train"):
        load_run(tmp_path)


@pytest.mark.parametrize("name", sorted(DEFENCES))
def test_a_recipe_with_any_defence_survives_json(name: str) -> None:
    defence = make_defence(name)
    begin_with = "a-funnel" if defence.goes_on else None
    made = replace(recipe("cifar10_unprotected"), defence=defence, begin_with=begin_with)
    assert recipe_from_json(json.loads(json.dumps(made.to_json()))) == made


def test_what_goes_on_from_a_bundle_is_normalised_as_that_was_and_other_sets_by_their_own_pictures(
    tmp_path: Path,
) -> None:
    splits = splits_of(coloured_set(64, size=64))
    shipped = assets_directory() / "bundles" / "drawnfaces-siftfunnel"
    on = settled(recipe("drawnfaces_siftfunnel_rate"), splits, tmp_path, shipped)
    assert input_spec(on).mean == load_bundle(shipped).manifest.input.mean == InputSpec(1, 1).mean
    fresh = settled(recipe("drawnfaces_unprotected"), splits, tmp_path, None)
    pixels = splits.train.images_NHWC / 255
    assert input_spec(fresh).mean == pytest.approx(pixels.mean(axis=(0, 1, 2)).tolist(), abs=1e-4)
    assert recipe_from_json(json.loads(json.dumps(fresh.to_json()))) == fresh
    # the paper's statistics are CIFAR-10's own
    assert settled(recipe("cifar10_unprotected"), splits, tmp_path, None).normalisation is None


def test_842_pictures_make_as_many_steps_as_a_large_set(tmp_path: Path) -> None:
    splits = splits_of(coloured_set(842, size=8))
    wanted = replace(recipe("cifar10_unprotected"), epochs=12, batch_size=128, least_steps=900)
    made = settled(wanted, splits, tmp_path, None)
    assert (made.epochs, made.least_steps) == (150, None)


def test_a_run_that_is_not_finished_is_not_stored(tmp_path: Path, data: Path) -> None:
    train_recipe(tiny(recipe("cifar10_unprotected")), tmp_path / "run", data, None, CPU)
    stored = json.loads((tmp_path / "run/run.json").read_text())
    stored["about"]["recipe"]["epochs"] = 2
    (tmp_path / "run/run.json").write_text(json.dumps(stored))
    with pytest.raises(RunFolderError, match="training stands at epoch 1 of 2; finish it first"):
        store_run(tmp_path / "run", tmp_path / "weights.safetensors")


STORED = sorted((Path(str(files("siftfunnel.lab"))) / "results").rglob("weights/*.safetensors"))


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_committed_network_is_the_one_that_its_result_was_measured_on(path: Path) -> None:
    # under its profile's own budget, or in the folder of another one
    stored, *_ = sorted(path.parents[1].rglob(f"{path.stem}.json"), key=lambda found: len(found.parts))
    result = json.loads(stored.read_text())
    wanted, network, _ = load_run(path)
    assert wanted.defence.to_json()["name"] == result["defence"]["name"]
    tensors = "".join(f"{name}={tensor_digest(value)};" for name, value in network.state_dict().items())
    assert hashlib.sha256(tensors.encode()).hexdigest() == result["weights"]["tensors_sha256"]


def test_a_file_that_is_no_stored_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(RunFolderError, match="is no stored run, or is damaged"):
        load_run(tmp_path / "weights.safetensors")


def test_a_run_stops_at_the_accuracy_asked_for(tmp_path: Path) -> None:
    data = write_data_directory(tmp_path / "data", train=400)
    wanted = tiny(recipe("cifar10_unprotected"), epochs=50, learning_rate=1e-2, stop_at_accuracy=0.5)
    progress = train_recipe(wanted, tmp_path / "run", data, None, CPU)
    assert progress.best_score >= 0.5
    assert progress.epochs_done < 50


def test_finer_epochs_take_fewer_pictures() -> None:
    wanted = tiny(recipe("cifar10_unprotected"), batch_size=16, pictures_per_epoch=20)
    task = ClassifierTask(wanted, splits_of(coloured_set(80)), CPU)
    assert task.samples_per_epoch == 16
    assert len(list(task.batches(torch.Generator().manual_seed(0)))) == 1


def test_an_epoch_smaller_than_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="one batch"):
        replace(recipe("cifar10_unprotected"), pictures_per_epoch=100)


def test_a_step_that_does_not_fit_into_memory_says_what_to_lower(tmp_path: Path) -> None:
    task = ClassifierTask(tiny(recipe("cifar10_unprotected")), splits_of(coloured_set(64)), CPU)

    def too_large(batch: object) -> tuple[torch.Tensor, dict[str, float]]:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    task.loss = too_large  # type: ignore[method-assign]
    with pytest.raises(OutOfMemoryError, match=r"epoch 1; .*Lower the batch size or the width"):
        fit(task, fit_settings(task.recipe), RunFolder(tmp_path / "run", {}))


def test_an_empty_private_batch_is_a_step_of_noise() -> None:
    wanted = tiny(recipe("cifar10_unprotected"), defence=make_defence("dpsgd"))
    task = ClassifierTask(wanted, splits_of(coloured_set(64)), CPU)
    optimizer = task.make_optimizer(task.model, fit_settings(wanted))
    nobody = augment(torch.zeros(0, 32, 32, 3, dtype=torch.uint8), wanted.augmentation, torch.Generator())
    before = [parameter.detach().clone() for parameter in task.model.parameters()]
    loss, logged = task.loss((nobody.permute(0, 3, 1, 2), torch.zeros(0, dtype=torch.int64), None))
    loss.backward()
    optimizer.step()
    assert (float(loss.detach()), logged) == (0.0, {})
    moved = [not torch.equal(a, b) for a, b in zip(before, task.model.parameters(), strict=True)]
    assert all(moved)


def test_a_private_epoch_has_as_many_batches_as_another_of_as_many_pictures_on_average() -> None:
    wanted = tiny(recipe("cifar10_unprotected"), defence=make_defence("dpsgd"), batch_size=128)
    drawn = list(wanted.defence.batches(10_000, 9_984, 128, torch.Generator().manual_seed(1)))
    assert len(drawn) == steps_per_epoch(wanted, 10_000) == 78
    assert float(np.mean([len(batch) for batch in drawn])) == pytest.approx(128, rel=0.05)
    assert len({len(batch) for batch in drawn}) > 1
    assert [len(batch) for batch in wanted.defence.batches(100, 100, 128, torch.Generator())] == [100]


def test_a_rate_recipe_goes_on_from_a_bundle_or_a_run(tmp_path: Path, data: Path) -> None:
    torch.manual_seed(0)
    funnel = build_network("cnn-siftfunnel", width=32, input_size=16, num_classes=3).eval()
    bundle_of(funnel, tmp_path / "bundle", classes="abc")
    start = tiny(untaught("cifar10_siftfunnel_rate_gentle"), input_size=16)
    with pytest.raises(ValueError, match=r"goes on from cifar10_siftfunnel_longer: .* --start-from DIR"):
        train_recipe(start, tmp_path / "start", data, None, CPU)
    train_recipe(start, tmp_path / "start", data, None, CPU, start_from=tmp_path / "bundle")
    on = tiny(untaught("cifar10_siftfunnel_rate_gentle"), input_size=16)
    progress = train_recipe(on, tmp_path / "on", data, None, CPU, start_from=tmp_path / "start")
    assert progress.epochs_done == 1
    assert {"bytes_r1", "bytes_r4", "price"} <= set(progress.history[0])
    steps = rate_stage(load_run(tmp_path / "on")[1]).log_steps_RC
    assert torch.isfinite(steps).all()
    assert not torch.equal(steps, rate_stage(load_run(tmp_path / "start")[1]).log_steps_RC)


def test_a_rate_recipe_goes_on_from_a_run_without_a_quantiser(tmp_path: Path, data: Path) -> None:
    train_recipe(tiny(recipe("cifar10_siftfunnel"), input_size=16), tmp_path / "plain", data, None, CPU)
    wanted = tiny(untaught("cifar10_siftfunnel_rate_gentle"), input_size=16)
    progress = train_recipe(wanted, tmp_path / "on", data, None, CPU, start_from=tmp_path / "plain")
    assert progress.epochs_done == 1
    steps = rate_stage(load_run(tmp_path / "on")[1]).log_steps_RC
    assert not torch.equal(steps[0], steps[3]), "each rate point starts from the deviations of the features"


def test_a_rate_trained_network_scores_the_mean_of_its_rate_points() -> None:
    task = ClassifierTask(
        tiny(untaught("cifar10_siftfunnel_rate_gentle"), input_size=16),
        splits_of(coloured_set(64, size=16)),
        CPU,
    )
    stage = rate_stage(task.model)
    with torch.no_grad():
        # the last rate point rounds everything to zero
        stage.log_steps_RC[-1] = 20.0
    figures = task.validate()
    each = [figures[f"validation_accuracy_{stage.name(point)}"] for point in range(stage.points)]
    expected = sum(s * a for s, a in zip(stage.shares_R.tolist(), each, strict=True))
    assert figures["score"] == figures["validation_accuracy"] == pytest.approx(expected)
    # an epoch whose payloads are twice as large as they may be is no candidate, however right its answers
    stage.spent_R = 2 * stage.targets_R
    assert task.validate()["score"] == pytest.approx(expected - 0.95)
    assert stage.point == 0
    with stage.at(stage.points - 1):
        assert task.accuracy(task._validation) == each[-1]
