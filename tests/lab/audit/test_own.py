"""Anybody's pictures: parted by what is in them, told as what they are."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.data.own import OwnPictures, load_own
from siftfunnel.shared.preprocess import InputSpec, prepare
from tests.lab.audit.own_pictures import drawn, write_pictures

SPEC = InputSpec(16, 24, crop="letterbox", colour="BGR", layout="NHWC")


def load(place: Path, spec: InputSpec = SPEC) -> OwnPictures:
    return load_own(place, spec, attacker=40, attacked=8)


def keys(own: OwnPictures) -> tuple[set[bytes], set[bytes]]:
    parts = (own.attacker.images_NHWC, own.attacked.images_NHWC)
    mine, attacked = ({picture.tobytes() for picture in part} for part in parts)
    return mine, attacked


def test_pictures_are_what_the_device_would_prepare(tmp_path: Path) -> None:
    own = load(write_pictures(tmp_path / "mine", 60))
    mine, attacked = keys(own)
    assert mine | attacked == {prepare(drawn(number), SPEC).pixels_HWC.tobytes() for number in range(60)}
    assert not mine & attacked
    assert own.name == "mine"
    assert not own.is_labelled


def test_parts_follow_from_the_pictures_and_not_from_names_or_form(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "mine", 60)
    other = tmp_path / "other"
    other.mkdir()
    for number, path in enumerate(sorted(folder.iterdir(), reverse=True)):
        shutil.copy(path, other / f"x{number}.png")
    with tarfile.open(tmp_path / "mine.tar", "w") as archive:
        archive.add(other, arcname="deep/er")
    first, second, third = load(folder), load(other), load(tmp_path / "mine.tar")
    assert keys(first) == keys(second) == keys(third)
    assert first.sha256 == second.sha256 == third.sha256


def test_equal_pictures_count_once_and_alike_ones_stay_together(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "mine", 80)
    for number in range(20):
        drawn(number).save(folder / f"again-{number}.png")
    for number in range(80):
        drawn(number).resize((60, 48)).save(folder / f"other-size-{number}.jpg", quality=80)
    own = load(folder)
    assert len(own) == 160
    assert any("20 pictures are there more than once" in note for note in own.notes)
    assert any("80 pictures are nearly the same" in note for note in own.notes)
    mine, attacked = own.attacker.images_NHWC, own.attacked.images_NHWC
    apart = np.abs(mine[:, None].astype(int) - attacked[None]).mean(axis=(2, 3, 4))
    assert apart.min() > 6
    assert len(attacked) >= 8


def test_labels_are_sub_folders(tmp_path: Path) -> None:
    own = load(write_pictures(tmp_path / "mine", 60, labels=("cat", "dog")))
    assert own.is_labelled
    assert own.attacked.classes == ("cat", "dog")


def test_too_few_are_refused_with_how_many_there_are(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "mine", 30)
    with pytest.raises(
        DataError, match=r"30 different pictures.*40 or more are wanted to learn from and 8 or more"
    ):
        load(folder)


def test_pictures_that_are_all_alike_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for number in range(80):
        Image.new("RGB", (40, 32), (number, 0, 0)).save(folder / f"{number}.png")
    with pytest.raises(DataError, match="80 different pictures, 1 that are not alike"):
        load(folder)


def test_what_is_no_picture_is_left_out_and_said(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "mine", 60)
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("not one either")
    own = load(folder)
    assert len(own) == 60
    (note,) = own.notes
    assert note.startswith("1 of 61 files could not be read")
    assert str(tmp_path) not in note


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_nothing_there_is_refused(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "mine"
    if kind == "empty":
        place.mkdir()
    with pytest.raises(DataError, match="a folder or a tar of"):
        load(place)
