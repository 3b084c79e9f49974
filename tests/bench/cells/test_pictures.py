import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siftfunnel.bench.cells.pictures import TEST_BATCH, read_pictures
from siftfunnel.lab.data.cifar10 import CIFAR10_CLASSES
from tests.bench.cells.samples_of_pictures import CLASSES, make_pictures


def test_a_folder_and_a_tar_of_it_give_the_same_labels_and_files(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "pictures")
    with tarfile.open(tmp_path / "pictures.tar", "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.add(path, str(path.relative_to(folder)))
    one, other = read_pictures(folder, 100), read_pictures(tmp_path / "pictures.tar", 100)
    assert one.digest == other.digest
    assert {file.label for file in one.files} == set(CLASSES)
    assert one.knows(CLASSES)
    assert not one.knows(("cat", "dog"))


def test_a_part_of_a_set_is_the_same_part_every_time(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path, 30)
    assert read_pictures(folder, 4) == read_pictures(folder, 4)
    assert read_pictures(folder, 4).files == read_pictures(folder, 30).files[:4]


@pytest.mark.parametrize("packed", [False, True])
def test_the_test_set_of_cifar10s_archive_keeps_its_pixels_and_labels(tmp_path: Path, packed: bool) -> None:
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (5, 3073), dtype=np.uint8)
    records[:, 0] = [3, 1, 4, 1, 5]
    (tmp_path / TEST_BATCH).write_bytes(records.tobytes())
    place = tmp_path
    if packed:
        place = tmp_path / "cifar.tar.gz"
        with tarfile.open(place, "w:gz") as archive:
            archive.add(tmp_path / TEST_BATCH, f"cifar-10-batches-bin/{TEST_BATCH}")
    files = {file.name: file for file in read_pictures(place, 10).files}
    assert [files[f"test {n}"].label for n in range(5)] == [CIFAR10_CLASSES[n] for n in (3, 1, 4, 1, 5)]
    pixels_HWC = np.asarray(Image.open(io.BytesIO(files["test 2"].data)))
    assert np.array_equal(pixels_HWC, records[2, 1:].reshape(3, 32, 32).transpose(1, 2, 0))


def test_a_place_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no picture"):
        read_pictures(tmp_path, 10)
    with pytest.raises(ValueError, match=r"gone\.tar"):
        read_pictures(tmp_path / "gone.tar", 10)
    (tmp_path / "torn.tar").write_bytes(b"not a tar")
    with pytest.raises(ValueError, match=r"torn\.tar"):
        read_pictures(tmp_path / "torn.tar", 10)
