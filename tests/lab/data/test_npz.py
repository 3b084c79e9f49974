from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from siftfunnel.lab.data.cifar10 import CIFAR10_CLASSES
from siftfunnel.lab.data.datasets import load_splits
from siftfunnel.lab.data.facescrub import read_facescrub_npz
from siftfunnel.lab.data.images import DataError, ImageSet
from siftfunnel.lab.data.npz import load_parts_npz
from tests.lab.stored import cut_short, pictures, save_parts_npz, write_files

COUNTS = {"train": 100, "test": 20, "auxiliary": 30}


def six_arrays(grey: bool = False, classes: int = 10) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shape = (8, 8) if grey else (8, 8, 3)
    arrays: dict[str, Any] = {}
    for part, count in COUNTS.items():
        arrays[f"{part}_data"] = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.arange(count) % classes
    return arrays


def write(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def same_pictures(one_NHWC: NDArray[np.uint8], other_NHWC: NDArray[np.uint8]) -> bool:
    return sorted(p.tobytes() for p in one_NHWC) == sorted(p.tobytes() for p in other_NHWC)


def test_the_six_arrays_are_the_parts_and_a_tenth_of_train_validates(tmp_path: Path) -> None:
    arrays = six_arrays()
    write(tmp_path / "cifar10_data.npz", **arrays)
    splits = load_splits("cifar10-npz", tmp_path)
    assert splits.sizes() == {"train": 90, "validation": 10, "test": 20, "auxiliary": 30}
    assert splits.train.classes == CIFAR10_CLASSES
    assert same_pictures(splits.test.images_NHWC, arrays["test_data"])
    learned = {p.tobytes() for part in (splits.train, splits.validation) for p in part.images_NHWC}
    assert learned == {p.tobytes() for p in arrays["train_data"]}
    assert load_splits("cifar10", tmp_path).provenance() == splits.provenance()
    assert load_splits("cifar10", tmp_path / "cifar10_data.npz").provenance() == splits.provenance()


def test_grey_films_get_three_channels_and_numbers_as_class_names(tmp_path: Path) -> None:
    arrays = six_arrays(grey=True, classes=4)
    write(tmp_path / "xray_dataset.npz", **arrays)
    splits = load_splits("chest", tmp_path, tmp_path / "cache", size=4)
    assert splits.train.classes == ("0", "1", "2", "3")
    assert splits.test.images_NHWC.shape == (20, 4, 4, 3)
    np.testing.assert_array_equal(splits.test.images_NHWC[..., 0], splits.test.images_NHWC[..., 2])


def test_an_array_that_needs_pickle_is_refused_with_the_way_to_convert_it(tmp_path: Path) -> None:
    arrays = six_arrays()
    held = np.empty(100, dtype=object)
    held[:] = list(arrays["train_data"])
    write(tmp_path / "cifar10_data.npz", **{**arrays, "train_data": held})
    with pytest.raises(DataError, match=r"only pickle reads.*converted") as caught:
        load_splits("cifar10", tmp_path)
    recipe = str(caught.value).split("numbers: ")[1]
    recipe = recipe.replace("'converted.npz'", repr(str(tmp_path / "converted.npz")))
    # the dictionary as a reader who trusts the file has it
    exec(recipe, {"numpy": np, "a": {**arrays, "train_data": held}})
    converted = load_parts_npz(tmp_path / "converted.npz", CIFAR10_CLASSES, None, None)
    assert converted.sizes()["train"] == 90


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_labels": np.arange(99) % 10}, "train_data has 100 pictures, train_labels has 99 labels"),
        ({"test_data": np.zeros((20, 8, 8, 3), np.float32)}, "test_data must be uint8"),
        ({"test_data": np.zeros((20, 8, 8, 4), np.uint8)}, r"shape is \(20, 8, 8, 4\)"),
        ({"test_labels": np.zeros((20, 10), np.int64)}, "whole numbers, one per picture"),
        ({"test_labels": np.array(["cat"] * 20)}, "not text"),
        ({"test_labels": np.full(20, 10)}, r"labels must lie in 0\.\.9"),
        ({"auxiliary_data": np.zeros((30, 9, 9, 3), np.uint8)}, "parts differ in picture size"),
        ({"train_labels": np.arange(100) % 9}, "class 'truck' has no training pictures"),
        ({"classes": np.arange(10)}, "classes must be text"),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write(tmp_path / "cifar10_data.npz", **{**six_arrays(), **change})
    with pytest.raises(DataError, match=message):
        load_splits("cifar10", tmp_path)


def test_missing_arrays_are_listed(tmp_path: Path) -> None:
    arrays = six_arrays()
    del arrays["auxiliary_data"], arrays["auxiliary_labels"]
    write(tmp_path / "cifar10_data.npz", **arrays)
    with pytest.raises(DataError, match=r"auxiliary_data, auxiliary_labels missing; arrays there: test_data"):
        load_splits("cifar10", tmp_path)


def test_a_file_that_is_no_npz_or_cut_off_is_refused(tmp_path: Path) -> None:
    cut_short(write(tmp_path / "cifar10_data.npz", **six_arrays()))
    with pytest.raises(DataError, match="no npz file, or one that is truncated"):
        load_splits("cifar10", tmp_path)
    with pytest.raises(DataError, match="no such file"):
        load_parts_npz(tmp_path / "none.npz", (), None, None)


def test_a_damaged_array_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "cifar10_data.npz", **six_arrays())
    data = bytearray(path.read_bytes())
    data[5000:5010] = bytes(10)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"train_data cannot be read .*truncated or damaged"):
        load_splits("cifar10", tmp_path)


def test_labels_may_stand_in_a_column(tmp_path: Path) -> None:
    arrays = six_arrays()
    arrays["test_labels"] = arrays["test_labels"][:, None].astype(np.uint8)
    write(tmp_path / "cifar10_data.npz", **arrays)
    found = load_splits("cifar10", tmp_path).test
    wanted = ImageSet(arrays["test_data"], arrays["test_labels"][:, 0].astype(np.int64), CIFAR10_CLASSES)
    assert found.labels.tolist() == wanted.in_fair_order().labels.tolist()


def test_splits_that_are_written_read_back_as_the_same_parts(tmp_path: Path) -> None:
    write(tmp_path / "cifar10_data.npz", **six_arrays())
    splits = load_splits("cifar10", tmp_path).limited(train=40, auxiliary=12)
    save_parts_npz(splits, tmp_path / "small/cifar10_data.npz")
    again = load_splits("cifar10", tmp_path / "small")
    assert again.provenance() == splits.provenance()
    np.testing.assert_array_equal(again.validation.labels, splits.validation.labels)


def facescrub_arrays(actress_offset: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        "actor_images": rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8),
        "actor_labels": np.repeat([0, 1], 20),
        "actress_images": rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8),
        "actress_labels": np.full(20, actress_offset),
    }


@pytest.mark.parametrize("actress_offset", [0, 2])
def test_actors_and_actresses_are_different_people(tmp_path: Path, actress_offset: int) -> None:
    images = read_facescrub_npz(write(tmp_path / "f.npz", **facescrub_arrays(actress_offset)))
    assert images.classes == ("actor 0", "actor 1", f"actress {actress_offset}")
    assert np.bincount(images.labels).tolist() == [20, 20, 20]


def test_facescrub_and_celeba_load_from_npz(tmp_path: Path) -> None:
    arrays = facescrub_arrays(2)
    write(tmp_path / "facescrub_color1.npz", **arrays)
    write(tmp_path / "celebA_crop_color.npz", celeba=np.full((5, 16, 16, 3), 9, np.uint8))
    splits = load_splits("facescrub", tmp_path)
    assert splits.sizes() == {"train": 43, "validation": 5, "test": 12, "auxiliary": 5}
    assert splits.auxiliary.images_NHWC.shape == (5, 8, 8, 3)
    order = np.arange(60)
    np.random.RandomState(624).shuffle(order)
    everyone = np.concatenate([arrays["actor_images"], arrays["actress_images"]])
    assert same_pictures(splits.test.images_NHWC, everyone[order[48:]])


def test_npz_files_never_shadow_class_folders(tmp_path: Path) -> None:
    write(tmp_path / "cifar10_data.npz", **six_arrays())
    write_files(tmp_path / "train", pictures({"cat": 10, "dog": 10}))
    write_files(tmp_path / "test", pictures({"cat": 1, "dog": 1}, seed=1))
    assert load_splits("cifar10", tmp_path).train.classes == ("cat", "dog")
