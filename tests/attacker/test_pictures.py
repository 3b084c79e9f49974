import base64
import io

import numpy as np
import pytest
from PIL import Image

from siftfunnel.attacker.pictures import (
    MAX_PAGE_PIXELS,
    feature_picture,
    jpeg_bytes,
    noise_picture,
    png_address,
    rgb_picture,
    tile_grid,
)


def test_a_picture_survives_its_address() -> None:
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    address = png_address(rgb_picture(pixels))
    head, _, body = address.partition(",")
    assert head == "data:image/png;base64"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))), pixels)


@pytest.mark.parametrize("shape", [(4096, 4096), (4096, 8)])
def test_what_a_page_is_sent_is_bounded_however_large_the_input_is(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    address = png_address(rgb_picture(noise))
    shown = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    assert max(shown.size) == MAX_PAGE_PIXELS
    assert len(address) < 4 * MAX_PAGE_PIXELS**2 * 4 / 3


def test_float_pixels_are_rounded_and_clipped() -> None:
    pixels = np.asarray([[[-1.0, 0.5, 2.0]]], np.float32)
    assert np.asarray(rgb_picture(pixels)).tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize(
    ("channels", "grid"), [(1, (1, 1)), (2, (1, 2)), (12, (3, 4)), (64, (8, 8)), (256, (8, 8)), (3, (2, 2))]
)
def test_tiles_make_a_nearly_square_sheet(channels: int, grid: tuple[int, int]) -> None:
    assert tile_grid(channels) == grid


def test_channels_lie_side_by_side_with_one_dark_pixel_between() -> None:
    features = np.zeros((4, 2, 2), np.float32)
    features[3] = 4.0
    sheet = np.asarray(feature_picture(features))
    assert sheet.shape == (5, 5)
    assert sheet[:2, :2].tolist() == [[1, 1], [1, 1]]
    assert sheet[3:, 3:].tolist() == [[255, 255], [255, 255]]
    assert sheet[2].tolist() == [0] * 5


def test_bytes_become_grey_pixels_and_what_is_missing_is_black() -> None:
    assert np.asarray(noise_picture(bytes([9, 8, 7]), 2)).tolist() == [[9, 8], [7, 0]]
    assert np.asarray(noise_picture(bytes(range(9)), 2)).tolist() == [[0, 1], [2, 3]]


def test_a_constant_feature_is_no_accident() -> None:
    assert feature_picture(np.full((1, 2, 2), 3.0, np.float32)).size == (2, 2)


def test_a_jpeg_of_noise_takes_more_than_one_of_nothing() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert jpeg_bytes(noise) > jpeg_bytes(np.zeros((32, 32, 3), np.uint8)) > 100
