"""A report is about pictures that the funnel never saw: the part held out, or all of another folder."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.split.folder import SplitRun
from siftfunnel.lab.split.pictures import scored_pictures
from siftfunnel.lab.split.settings import FitSettings, byte_targets
from tests.lab.split import cutnets


def write(place: Path, count: int, seed: int) -> Path:
    place.mkdir()
    for number, picture in enumerate(cutnets.pictures(count, seed=seed)):
        Image.fromarray(picture).save(place / f"{number}.png")
    return place


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SplitRun:
    root = tmp_path_factory.mktemp("scored")
    pictures = write(root / "fitted", 240, seed=5)
    return cutnets.fitted(
        cutnets.classifier(), pictures, root / "run", FitSettings(targets=byte_targets("60"))
    )


def test_without_others_the_part_that_was_held_out_is_scored(run: SplitRun) -> None:
    own = scored_pictures(run, None)
    assert len(own.attacked) == 48
    assert len(scored_pictures(run, run.pictures).attacked) == 48


def test_all_of_another_folder_is_scored_save_what_was_fitted_to(run: SplitRun, tmp_path: Path) -> None:
    others = write(tmp_path / "others", 120, seed=11)
    before = scored_pictures(run, others)
    assert len(before.attacked) == 120
    for picture in sorted(run.pictures.iterdir())[:100]:
        shutil.copy(picture, others / f"again-{picture.name}")
    after = scored_pictures(run, others)
    held_out = len(after.attacked) - len(before.attacked)
    assert 0 < held_out < 60


def test_a_folder_of_nothing_but_fitted_pictures_is_refused(run: SplitRun, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    held_out = {picture.tobytes() for picture in scored_pictures(run, None).attacked.images_NHWC}
    for picture in run.pictures.iterdir():
        with Image.open(picture) as image:
            if image.tobytes() not in held_out:
                shutil.copy(picture, copied)
    with pytest.raises(DataError, match="not fitted to"):
        scored_pictures(run, copied)
