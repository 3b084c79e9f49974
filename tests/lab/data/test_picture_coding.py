"""JPEG and WebP as a user would send them, and what is left without what repeats."""

import io

import numpy as np
import pytest
from PIL import Image

from siftfunnel.lab.data.jpeg_scan import scan_of, shared_table_sizes
from siftfunnel.lab.data.picture_coding import CODINGS, PictureCoding
from tests.lab.pictures import coloured_set

PICTURES = coloured_set(12, 32).images_NHWC


def bytes_with_standard_tables(picture: np.ndarray, quality: int) -> int:
    stored = io.BytesIO()
    Image.fromarray(picture).save(stored, format="JPEG", quality=quality, subsampling="4:2:0")
    return len(scan_of(stored.getvalue()))


@pytest.mark.parametrize("coding", CODINGS, ids=lambda coding: coding.name)
def test_every_coding_gives_a_picture_back(coding: PictureCoding) -> None:
    restored = coding.decode(coding.encode(PICTURES[0]), PICTURES[0].shape)
    assert restored.shape == PICTURES[0].shape
    assert restored.dtype == np.uint8


def test_raw_pixels_cost_a_byte_each_and_come_back_exactly() -> None:
    payload = PictureCoding("raw").encode(PICTURES[0])
    assert len(payload) == 32 * 32 * 3
    assert np.array_equal(PictureCoding("raw").decode(payload, PICTURES[0].shape), PICTURES[0])


def test_one_pictures_scan_under_tables_of_its_own_is_that_of_its_optimised_file() -> None:
    file = PictureCoding("jpeg", 50).encode(PICTURES[0])
    assert shared_table_sizes(PICTURES[:1], 50) == [len(scan_of(file))]


def test_shared_optimised_tables_beat_the_standard_ones_on_the_whole() -> None:
    shared = shared_table_sizes(PICTURES, 35)
    standard = [bytes_with_standard_tables(picture, 35) for picture in PICTURES]
    assert len(shared) == len(PICTURES)
    assert 0.5 * sum(standard) < sum(shared) < sum(standard)


def test_sizes_of_many_pictures_do_not_depend_on_their_neighbours_when_all_are_alike() -> None:
    alike = np.repeat(PICTURES[:1], 9, axis=0)
    assert len(set(shared_table_sizes(alike, 50))) == 1


def test_more_pictures_than_fit_in_one_file_are_all_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siftfunnel.lab.data.jpeg_scan.MAX_SIDE", 5 * 32)
    assert len(shared_table_sizes(PICTURES, 50)) == len(PICTURES)


def test_a_width_may_end_within_a_block_and_a_height_may_not() -> None:
    file = PictureCoding("jpeg", 50).encode(PICTURES[0, :, :24])
    assert shared_table_sizes(PICTURES[:1, :, :24], 50) == [len(scan_of(file))]
    with pytest.raises(ValueError, match="multiples of 16, not 24"):
        shared_table_sizes(PICTURES[:1, :24], 50)


def test_an_abbreviated_webp_lacks_its_container_and_size() -> None:
    coding = PictureCoding("webp", 50)
    payloads = [coding.encode(picture) for picture in PICTURES]
    sizes = coding.abbreviated_sizes(PICTURES, payloads)
    assert all(len(file) - size in (27, 28) for file, size in zip(payloads, sizes, strict=True))
