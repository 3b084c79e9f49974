import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siftfunnel.lab.data.cache import load_cache, save_cache
from siftfunnel.lab.data.cifar10 import CIFAR10_CLASSES, parse_cifar10_records, split_training_pictures
from siftfunnel.lab.data.datasets import load_splits
from siftfunnel.lab.data.decoding import read_classes
from siftfunnel.lab.data.images import DataError, ImageSet, seeded_parts
from tests.lab.pictures import CLASSES, coloured_set, write_class_folders, write_data_directory


def png(colour: tuple[int, int, int], size: tuple[int, int] = (4, 4)) -> bytes:
    stored = io.BytesIO()
    Image.new("RGB", size, colour).save(stored, format="PNG")
    return stored.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def test_a_tar_of_class_folders_gives_classes_in_alphabetical_order(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar", {"dog/1.png": png((9, 8, 7)), "cat/1.png": png((1, 2, 3)), "README": b"text"}
    )
    images = read_classes(path)
    assert images.classes == ("cat", "dog")
    assert images.labels.tolist() == [0, 1]
    assert images.images_NHWC[:, 0, 0].tolist() == [[1, 2, 3], [9, 8, 7]]


def test_a_directory_reads_like_the_tar_of_it(tmp_path: Path) -> None:
    write_class_folders(coloured_set(9), tmp_path / "pictures")
    folder = read_classes(tmp_path / "pictures")
    with tarfile.open(tmp_path / "p.tar", "w") as archive:
        archive.add(tmp_path / "pictures", arcname="pictures")
    tarred = read_classes(tmp_path / "p.tar")
    assert folder.classes == tarred.classes == CLASSES
    np.testing.assert_array_equal(folder.images_NHWC, tarred.images_NHWC)
    np.testing.assert_array_equal(folder.labels, tarred.labels)


def test_binary_records_are_label_then_red_green_and_blue_planes() -> None:
    planes = b"".join(bytes([value]) * 1024 for value in (10, 20, 30))
    images = parse_cifar10_records(b"\x03" + planes + b"\x09" + planes, "batch")
    assert images.classes == CIFAR10_CLASSES
    assert images.labels.tolist() == [3, 9]
    assert images.images_NHWC.shape == (2, 32, 32, 3)
    assert images.images_NHWC[1, 5, 5].tolist() == [10, 20, 30]


def test_binary_records_keep_rows_and_columns() -> None:
    red = bytes(range(256)) * 4
    images = parse_cifar10_records(b"\x00" + red + bytes(2048), "batch")
    assert images.images_NHWC[0, 0, :3, 0].tolist() == [0, 1, 2]
    assert images.images_NHWC[0, 1, 0, 0] == 32


@pytest.mark.parametrize("data", [b"", b"\x00" * 3072, b"\x00" * 3074])
def test_a_truncated_batch_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="probably incomplete"):
        parse_cifar10_records(data, "batch")


def test_a_label_beyond_the_classes_is_refused() -> None:
    with pytest.raises(DataError, match=r"labels must lie in 0\.\.9"):
        parse_cifar10_records(b"\x0a" + bytes(3072), "batch")


def test_a_picture_that_does_not_decode_is_named(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"cat/broken.png": b"no picture"})
    with pytest.raises(DataError, match=r"cat/broken\.png"):
        read_classes(path)


def test_pictures_of_two_sizes_are_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"cat/1.png": png((0, 0, 0)), "cat/2.png": png((0, 0, 0), (5, 4))})
    with pytest.raises(DataError, match="differ in size"):
        read_classes(path)


def test_what_is_no_tar_or_holds_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.tar").write_text("hello")
    with pytest.raises(DataError, match="cannot be opened as a tar"):
        read_classes(tmp_path / "text.tar")
    with pytest.raises(DataError, match="no pictures found"):
        read_classes(write_tar(tmp_path / "empty.tar", {"notes.txt": b""}))
    with pytest.raises(DataError, match="no class folder"):
        read_classes(write_tar(tmp_path / "flat.tar", {"1.png": png((0, 0, 0))}))
    with pytest.raises(DataError, match="no such file"):
        read_classes(tmp_path / "nothing")


@given(st.integers(3, 300), st.integers(0, 2**32 - 1))
def test_parts_are_disjoint_and_repeat_with_the_seed(count: int, seed: int) -> None:
    sizes = (count // 2, count // 3)
    parts = seeded_parts(count, sizes, seed)
    joined = np.concatenate(parts)
    assert [len(part) for part in parts] == list(sizes)
    assert len(set(joined.tolist())) == len(joined)
    for one, other in zip(parts, seeded_parts(count, sizes, seed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_parts_that_need_more_than_there_is_are_refused() -> None:
    with pytest.raises(DataError, match="only 4 are there"):
        seeded_parts(4, (3, 2), seed=0)


def test_fifty_thousand_pictures_split_as_the_issue_says() -> None:
    images = ImageSet(np.zeros((50_000, 1, 1, 3), np.uint8), np.zeros(50_000, np.int64), ("a", "b"))
    images.images_NHWC.reshape(-1)[::3] = np.arange(50_000, dtype=np.int64).astype(np.uint8)
    splits = split_training_pictures(images, images.take(slice(0, 10)))
    assert splits.sizes() == {"train": 36_000, "validation": 4_000, "test": 10, "auxiliary": 10_000}


def test_a_cache_gives_back_what_it_was_given(tmp_path: Path) -> None:
    images = coloured_set(6)
    save_cache(images, tmp_path)
    again = load_cache(tmp_path)
    np.testing.assert_array_equal(again.images_NHWC, images.images_NHWC)
    np.testing.assert_array_equal(again.labels, images.labels)
    assert again.classes == images.classes


def test_a_data_directory_loads_as_four_disjoint_sets(tmp_path: Path) -> None:
    splits = load_splits("cifar10", write_data_directory(tmp_path, train=100, test=12))
    assert splits.sizes() == {"train": 72, "validation": 8, "test": 12, "auxiliary": 20}
    sets = (splits.train, splits.validation, splits.auxiliary)
    pictures = [picture.tobytes() for part in sets for picture in part.images_NHWC]
    assert len(set(pictures)) == 100


def test_missing_data_says_which_command_makes_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="siftfunnel data cifar10"):
        load_splits("cifar10", tmp_path)
    with pytest.raises(DataError, match="needs --data DIR"):
        load_splits("cifar10", None)
    with pytest.raises(
        DataError,
        match="known: celeba, chest, cifar10, cifar10-npz, drawnfaces, faces, faces-other-domain, facescrub",
    ):
        load_splits("imagenet", tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"images_NHWC": np.zeros((2, 4, 4, 3), np.float32)},
        {"images_NHWC": np.zeros((2, 4, 4), np.uint8)},
        {"labels": np.zeros(3, np.int64)},
        {"labels": np.array([0, -1])},
    ],
)
def test_an_image_set_checks_its_arrays(change: dict[str, object]) -> None:
    good: dict[str, object] = {
        "images_NHWC": np.zeros((2, 4, 4, 3), np.uint8),
        "labels": np.zeros(2, np.int64),
        "classes": ("a",),
    }
    with pytest.raises(DataError):
        ImageSet(**{**good, **change})
