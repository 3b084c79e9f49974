from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siftfunnel.lab.data.celeba import CROP_BOX, OVERLAP_NOTE
from siftfunnel.lab.data.chest import BY_IMAGE_NOTE
from siftfunnel.lab.data.cifar10 import BATCHES, CIFAR10_CLASSES
from siftfunnel.lab.data.datasets import load_splits
from siftfunnel.lab.data.facescrub import shuffled_parts
from siftfunnel.lab.data.images import DataError, Splits
from tests.lab.stored import cut_short, noise, pictures, png, write_files, write_tar, write_zip

RNG = np.random.default_rng(7)


def binary_batches(pictures_per_batch: int = 20) -> dict[str, bytes]:
    """Batches whose pictures are all different and whose classes take turns."""
    rng = np.random.default_rng(0)
    return {
        f"cifar-10-batches-bin/{name}": b"".join(
            bytes([number % 10]) + rng.bytes(3072) for number in range(pictures_per_batch)
        )
        for names in BATCHES.values()
        for name in names
    }


def assert_disjoint(splits: Splits) -> None:
    """No picture is in two parts, and none twice in one."""
    seen = [picture.tobytes() for part in splits.parts().values() for picture in part.images_NHWC]
    assert len(set(seen)) == len(seen) == sum(splits.sizes().values())


def test_the_official_archive_is_read_as_it_is(tmp_path: Path) -> None:
    write_tar(tmp_path / "cifar-10-binary.tar.gz", binary_batches(), "w:gz")
    splits = load_splits("cifar10", tmp_path)
    assert splits.sizes() == {"train": 72, "validation": 8, "test": 20, "auxiliary": 20}
    assert splits.train.classes == CIFAR10_CLASSES
    assert_disjoint(splits)
    by_file = load_splits("cifar10", tmp_path / "cifar-10-binary.tar.gz")
    assert by_file.provenance() == splits.provenance()


def test_the_archive_unpacked_gives_the_same_parts(tmp_path: Path) -> None:
    write_tar(tmp_path / "a/cifar-10-binary.tar.gz", binary_batches(), "w:gz")
    write_files(tmp_path / "b/cifar10", binary_batches())
    one, other = load_splits("cifar10", tmp_path / "a"), load_splits("cifar10", tmp_path / "b")
    assert one.provenance() == other.provenance()


def test_a_truncated_official_archive_is_refused(tmp_path: Path) -> None:
    cut_short(write_tar(tmp_path / "cifar-10-binary.tar.gz", binary_batches(), "w:gz"))
    with pytest.raises(DataError, match="truncated or damaged"):
        load_splits("cifar10", tmp_path)


def test_pictures_are_resized_once_and_kept(tmp_path: Path) -> None:
    write_tar(tmp_path / "cifar-10-binary.tar.gz", binary_batches(), "w:gz")
    cache = tmp_path / "cache"
    first = load_splits("cifar10", tmp_path, cache, size=64)
    assert first.train.images_NHWC.shape == (72, 64, 64, 3)
    assert first.test.images_NHWC.flags.writeable
    assert len(list(cache.iterdir())) == 2
    assert load_splits("cifar10", tmp_path, cache, size=64).provenance() == first.provenance()


def test_too_few_pictures_for_an_auxiliary_set_are_refused(tmp_path: Path) -> None:
    write_files(tmp_path / "train", pictures({"cat": 1, "dog": 1}))
    write_files(tmp_path / "test", pictures({"cat": 1, "dog": 1}, seed=1))
    with pytest.raises(DataError, match="2 training pictures are too few"):
        load_splits("cifar10", tmp_path)


def test_a_class_in_train_or_test_alone_is_named(tmp_path: Path) -> None:
    write_files(tmp_path / "train", pictures({"cat": 9, "dog": 9}))
    with pytest.raises(DataError, match=r"neither test/ .* nor test\.tar is there"):
        load_splits("cifar10", tmp_path)
    write_files(tmp_path / "test", pictures({"cat": 3, "frog": 3}, seed=1))
    with pytest.raises(DataError, match="differ in classes: dog, frog"):
        load_splits("cifar10", tmp_path)


def celeba_picture(value: int) -> bytes:
    """178 x 218, black but for the 108 x 108 face, which is of one grey."""
    picture = np.zeros((218, 178, 3), np.uint8)
    left, top, right, bottom = CROP_BOX
    picture[top:bottom, left:right] = value
    return png(picture)


def celeba_zip(path: Path, count: int = 30) -> Path:
    members = {f"img_align_celeba/{i + 1:06d}.png": celeba_picture(i + 1) for i in range(count)}
    return write_zip(path, {**members, "img_align_celeba/readme.txt": b""})


def test_celeba_is_cropped_to_the_face_and_resized_to_64(tmp_path: Path) -> None:
    celeba_zip(tmp_path / "img_align_celeba.zip")
    splits = load_splits("celeba", tmp_path)
    assert splits.sizes() == {"train": 18, "validation": 2, "test": 5, "auxiliary": 5}
    assert splits.train.images_NHWC.shape == (18, 64, 64, 3)
    for part in splits.parts().values():
        for picture in part.images_NHWC:
            assert len(np.unique(picture)) == 1
    assert_disjoint(splits)
    assert load_splits("celeba", tmp_path, size=32).test.images_NHWC.shape[1:3] == (32, 32)


def test_celeba_of_another_size_and_a_zip_without_pictures_are_refused(tmp_path: Path) -> None:
    write_zip(tmp_path / "a/img_align_celeba.zip", {"img_align_celeba/1.png": png(noise(RNG))})
    with pytest.raises(DataError, match=r"1\.png \(8x8, aligned CelebA pictures are 178x218\)"):
        load_splits("celeba", tmp_path / "a")
    write_zip(tmp_path / "b/img_align_celeba.zip", {"readme.txt": b""})
    with pytest.raises(DataError, match="no pictures in this zip"):
        load_splits("celeba", tmp_path / "b")
    (tmp_path / "c").mkdir()
    with pytest.raises(DataError, match="no CelebA here"):
        load_splits("celeba", tmp_path / "c")


def test_facescrub_takes_celeba_as_the_attackers_pictures(tmp_path: Path) -> None:
    write_files(tmp_path / "facescrub", pictures({"Ann": 20, "Bob": 20}, size=32))
    with pytest.raises(DataError, match="CelebA is not"):
        load_splits("facescrub", tmp_path)
    celeba_zip(tmp_path / "celeba/img_align_celeba.zip", 7)
    splits = load_splits("facescrub", tmp_path)
    assert splits.sizes() == {"train": 29, "validation": 3, "test": 8, "auxiliary": 7}
    assert splits.auxiliary.images_NHWC.shape[1:] == splits.train.images_NHWC.shape[1:] == (32, 32, 3)
    assert splits.notes == (OVERLAP_NOTE,)
    assert_disjoint(splits)


def test_celeba_pictures_of_facescrubs_people_are_left_out_where_a_list_says_so(tmp_path: Path) -> None:
    write_files(tmp_path / "facescrub", pictures({"Ann": 20, "Bob": 20}))
    celeba_zip(tmp_path / "img_align_celeba.zip", 7)
    (tmp_path / "celeba_exclude.txt").write_text("000001.png\n000003.png\n")
    splits = load_splits("facescrub", tmp_path)
    assert sorted(splits.auxiliary.images_NHWC[:, 0, 0, 0].tolist()) == [2, 4, 5, 6, 7]
    assert splits.notes == ()
    (tmp_path / "celeba_exclude.txt").write_text("000001.png 999999.png")
    with pytest.raises(DataError, match=r"1 names are no pictures .* 999999\.png"):
        load_splits("facescrub", tmp_path)


def test_facescrubs_shuffle_is_that_of_numpys_seed_624() -> None:
    np_order = np.arange(10)
    np.random.RandomState(624).shuffle(np_order)
    train, validation, test = shuffled_parts(10)
    assert [*train, *validation, *test] == np_order.tolist()
    assert [len(train), len(validation), len(test)] == [7, 1, 2]


def chest_tar(folder: Path, per_class: int = 60, per_group: int = 3) -> dict[str, str]:
    """Films and their groups, each of ``per_group`` pictures of one class."""
    films = pictures({"covid19": per_class, "normal": per_class}, grey=True)
    write_tar(folder / "images.tar", films)
    groups = {name: str(number // per_group) for number, name in enumerate(films)}
    (folder / "groups.csv").write_text(
        "file,group,source\n" + "".join(f"{name},{group},A\n" for name, group in groups.items())
    )
    return groups


def test_chest_films_are_split_by_patient(tmp_path: Path) -> None:
    groups = chest_tar(tmp_path / "chest_xray")
    splits = load_splits("chest", tmp_path)
    assert splits.sizes() == {"train": 72, "validation": 6, "test": 24, "auxiliary": 18}
    assert_disjoint(splits)
    group_of = {}
    for name, data in pictures({"covid19": 60, "normal": 60}, grey=True).items():
        path = write_files(tmp_path / "one", {"film.png": data}) / "film.png"
        group_of[np.array(Image.open(path).convert("RGB")).tobytes()] = groups[name]
    sides = [{group_of[film.tobytes()] for film in part.images_NHWC} for part in splits.parts().values()]
    assert sum(len(side) for side in sides) == len(set.union(*sides)) == 40


def test_a_film_without_a_group_is_named(tmp_path: Path) -> None:
    chest_tar(tmp_path)
    lines = (tmp_path / "groups.csv").read_text().splitlines(keepends=True)
    (tmp_path / "groups.csv").write_text("".join(lines[:-7]))
    with pytest.raises(DataError, match=r"no group for 7 of 120 pictures: normal/0053\.png.* and 2 more"):
        load_splits("chest", tmp_path)
    (tmp_path / "groups.csv").write_text("file,patient\n")
    with pytest.raises(DataError, match="needs the columns file and group"):
        load_splits("chest", tmp_path)


def test_films_without_groups_are_split_by_image_and_a_note_says_so(tmp_path: Path) -> None:
    write_files(tmp_path / "images", pictures({"covid19": 30, "normal": 60}, grey=True))
    splits = load_splits("chest", tmp_path)
    assert splits.sizes() == {"train": 54, "validation": 6, "test": 15, "auxiliary": 15}
    assert splits.notes == (BY_IMAGE_NOTE,)


def test_faces_are_split_per_person_and_both_names_share_the_target(tmp_path: Path) -> None:
    write_tar(tmp_path / "faces/target.tar", pictures({"id00": 25, "id01": 50}))
    write_tar(tmp_path / "faces/auxiliary_same_domain.tar", pictures({"aux00": 5}, seed=1))
    splits = load_splits("faces", tmp_path)
    assert splits.sizes() == {"train": 54, "validation": 6, "test": 15, "auxiliary": 5}
    assert np.bincount(splits.test.labels).tolist() == [5, 10]
    assert_disjoint(splits)
    with pytest.raises(DataError, match=r"auxiliary_other_domain\.tar is not there"):
        load_splits("faces-other-domain", tmp_path)
    write_tar(tmp_path / "faces/auxiliary_other_domain.tar", pictures({"other00": 4}, seed=2))
    other = load_splits("faces-other-domain", tmp_path / "faces")
    assert other.train.pixels_sha256() == splits.train.pixels_sha256()
    assert other.auxiliary.classes == ("other00",)


def test_parts_of_differing_size_are_refused_until_a_size_is_chosen(tmp_path: Path) -> None:
    write_tar(tmp_path / "target.tar", pictures({"id00": 25}))
    write_tar(tmp_path / "auxiliary_same_domain.tar", pictures({"aux00": 5}, size=9))
    with pytest.raises(DataError, match=r"parts differ in picture size .* auxiliary 9x9"):
        load_splits("faces", tmp_path)
    assert load_splits("faces", tmp_path, size=4).auxiliary.images_NHWC.shape == (5, 4, 4, 3)


def test_a_part_that_got_no_picture_is_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "target.tar", pictures({"id00": 3}))
    write_tar(tmp_path / "auxiliary_same_domain.tar", pictures({"aux00": 5}))
    with pytest.raises(DataError, match="nothing is left for validation"):
        load_splits("faces", tmp_path)


@pytest.mark.parametrize("dataset", ["cifar10-npz", "celeba", "facescrub", "chest", "faces"])
def test_data_that_is_not_there_is_said_to_be_missing(dataset: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{dataset} needs --data DIR"):
        load_splits(dataset, None)
    with pytest.raises(DataError, match="no such directory"):
        load_splits(dataset, tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"here|is not there"):
        load_splits(dataset, tmp_path)
