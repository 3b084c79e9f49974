import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siftfunnel.lab.data.archives import open_pictures
from siftfunnel.lab.data.cache import cached_set, load_cache, save_cache
from siftfunnel.lab.data.decoding import fit_square, read_classes, resized
from siftfunnel.lab.data.images import DataError, ImageSet
from tests.lab.stored import cut_short, pictures, png, write_files, write_tar, write_zip


def test_a_class_folder_without_pictures_is_named(tmp_path: Path) -> None:
    write_files(tmp_path, {**pictures({"cat": 2}), "dog/notes.txt": b"none yet", ".git/x": b""})
    with pytest.raises(DataError, match="class 'dog' has no pictures"):
        read_classes(tmp_path)


def test_an_empty_class_in_a_tar_is_named_and_a_root_folder_is_none(tmp_path: Path) -> None:
    members = {f"set/{name}": data for name, data in pictures({"cat": 2}).items()}
    good = write_tar(tmp_path / "good.tar", members, folders=("set", "set/cat"))
    assert read_classes(good).classes == ("cat",)
    bad = write_tar(tmp_path / "bad.tar", members, folders=("set", "set/cat", "set/dog"))
    with pytest.raises(DataError, match="class 'dog' has no pictures"):
        read_classes(bad)


def test_of_many_unreadable_pictures_the_first_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    write_files(tmp_path, pictures({"cat": 3}))
    write_files(tmp_path, {f"cat/z{i}.png": b"no picture" for i in range(8)})
    with pytest.raises(DataError) as caught:
        read_classes(tmp_path)
    text = str(caught.value)
    assert "8 of 11 pictures cannot be read" in text
    assert "z0.png" in text
    assert "z4.png" in text
    assert "z5.png" not in text
    assert "and 3 more" in text


def test_a_picture_cut_off_in_the_middle_is_unreadable(tmp_path: Path) -> None:
    whole = pictures({"cat": 2}, size=64)
    whole["cat/0001.png"] = whole["cat/0001.png"][:5000]
    with pytest.raises(DataError, match=r"1 of 2 pictures cannot be read: .*cat/0001\.png"):
        read_classes(write_files(tmp_path, whole))


def test_hidden_files_are_no_pictures(tmp_path: Path) -> None:
    write_files(tmp_path, {**pictures({"cat": 2}), "cat/._0000.png": b"resource fork"})
    assert len(read_classes(tmp_path)) == 2


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_cut_off_is_refused(tmp_path: Path, mode: str) -> None:
    path = cut_short(write_tar(tmp_path / "a.tar", pictures({"cat": 20}, size=32), mode))
    with pytest.raises(DataError, match="truncated or damaged"):
        read_classes(path)


def test_a_tar_cut_off_within_its_last_picture_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"cat/0.png": b"x" * 100_000})
    with pytest.raises(DataError, match="truncated or damaged"):
        read_classes(cut_short(path, 0.6))


def test_archives_that_are_not_there_are_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_classes(tmp_path / "a.tar")
    with pytest.raises(DataError, match="no such file"), open_pictures(tmp_path / "a.zip"):
        pass


def test_a_zip_without_pictures_or_cut_off_is_refused(tmp_path: Path) -> None:
    empty = write_zip(tmp_path / "empty.zip", {"readme.txt": b"hello", "__MACOSX/1.png": b""})
    with pytest.raises(DataError, match="no pictures in this zip"), open_pictures(empty):
        pass
    short = cut_short(write_zip(tmp_path / "short.zip", pictures({"a": 3})))
    with pytest.raises(DataError, match="truncated or damaged"), open_pictures(short):
        pass


def test_a_zip_with_a_damaged_member_is_refused_when_it_is_read(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a/1.png": b"A" * 1000})
    path.write_bytes(path.read_bytes().replace(b"A" * 10, b"B" * 10, 1))
    with open_pictures(path) as found, pytest.raises(DataError, match=r"a/1\.png cannot be read"):
        found[0].read()


def test_grey_pictures_get_their_grey_in_all_channels(tmp_path: Path) -> None:
    write_files(tmp_path, pictures({"film": 3}, grey=True))
    images = read_classes(tmp_path).images_NHWC
    assert images.shape == (3, 8, 8, 3)
    np.testing.assert_array_equal(images[..., 0], images[..., 1])
    np.testing.assert_array_equal(images[..., 0], images[..., 2])


def test_shrinking_by_two_weighs_the_pixels_of_a_tent() -> None:
    # half a pixel from the second output's middle and one and a half from the third's: 3/8 and 1/8 of 255
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, 3] = 255
    assert fit_square(Image.fromarray(picture), 4)[1, :, 0].tolist() == [0, 96, 32, 0]


def test_growing_by_two_is_bilinear() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[:, 1] = 200
    assert fit_square(Image.fromarray(picture), 4)[0, :, 0].tolist() == [0, 50, 150, 200]


def test_a_wide_picture_gives_its_centred_square() -> None:
    picture = np.zeros((4, 8, 3), np.uint8)
    picture[:, 2:6] = 90
    assert set(fit_square(Image.fromarray(picture), 4).ravel().tolist()) == {90}
    assert set(fit_square(Image.fromarray(picture), 2).ravel().tolist()) == {90}


def test_pictures_of_differing_sizes_read_when_a_size_is_chosen(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/1.png": png(np.zeros((9, 7, 3), np.uint8)), **pictures({"b": 1})})
    with pytest.raises(DataError, match=r"differ in size .*choose a size"):
        read_classes(tmp_path)
    assert read_classes(tmp_path, 5).images_NHWC.shape == (2, 5, 5, 3)
    with pytest.raises(DataError, match="cannot be resized to 0x0"):
        read_classes(tmp_path, 0)


def test_resizing_a_set_is_resizing_each_picture() -> None:
    rng = np.random.default_rng(0)
    images = ImageSet(rng.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8), np.zeros(3, np.int64), ("a",))
    small = resized(images, 4)
    np.testing.assert_array_equal(small.images_NHWC[1], fit_square(Image.fromarray(images.images_NHWC[1]), 4))
    assert resized(images, 8) is images


def test_a_cache_is_read_until_its_source_changes(tmp_path: Path) -> None:
    path, cache = tmp_path / "a.tar", tmp_path / "cache"
    readings: list[int] = []

    def read(size: int | None = None) -> ImageSet:
        def now() -> ImageSet:
            readings.append(1)
            return read_classes(path, size)

        return cached_set(cache, "set", [path], size, now)

    write_tar(path, pictures({"cat": 3}))
    first, second = read(), read()
    np.testing.assert_array_equal(first.images_NHWC, second.images_NHWC)
    assert len(readings) == 1
    assert read(4).images_NHWC.shape == (3, 4, 4, 3)
    assert len(readings) == 2
    write_tar(path, pictures({"cat": 3}, seed=1))
    os.utime(path, (1, 1))
    assert read().images_NHWC.tobytes() != first.images_NHWC.tobytes()


def test_a_cache_that_another_process_wrote_first_is_kept(tmp_path: Path) -> None:
    images = ImageSet(np.zeros((1, 2, 2, 3), np.uint8), np.zeros(1, np.int64), ("a",))
    save_cache(images, tmp_path / "set")
    save_cache(images, tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_damaged_cache_says_to_delete_it(tmp_path: Path) -> None:
    images = ImageSet(np.zeros((1, 2, 2, 3), np.uint8), np.zeros(1, np.int64), ("a",))
    save_cache(images, tmp_path / "set")
    cut_short(tmp_path / "set" / "images.npy")
    with pytest.raises(DataError, match="delete the folder"):
        load_cache(tmp_path / "set")
    shutil.rmtree(tmp_path / "set")
    with pytest.raises(DataError, match="delete the folder"):
        load_cache(tmp_path / "set")
