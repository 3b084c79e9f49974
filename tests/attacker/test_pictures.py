import base64
import io

import numpy as np
import pytest
from PIL import Image

from siftfunnel.attacker.pictures import (
    EXACT_PIXELS,
    MAX_PAGE_PIXELS,
    address,
    jpeg_bytes,
    noise_picture,
    rgb_picture,
)


def opened(told: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(told.partition(",")[2])))


@pytest.mark.parametrize("shape", [(4, 5), (EXACT_PIXELS, EXACT_PIXELS)])
def test_a_small_picture_survives_its_address(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    told = address(rgb_picture(pixels))
    assert told.startswith("data:image/png;base64,")
    assert np.array_equal(np.asarray(opened(told)), pixels)


@pytest.mark.parametrize("shape", [(4096, 4096), (4096, 8), (640, 640)])
def test_what_a_page_is_sent_is_bounded_however_large_the_input_is(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    told = address(rgb_picture(noise))
    assert max(opened(told).size) == MAX_PAGE_PIXELS
    assert len(told) < 2 * MAX_PAGE_PIXELS**2 * 4 / 3


def test_a_large_photo_comes_at_a_fraction_of_its_pixels() -> None:
    ramp = np.linspace(0, 255, 224)
    pixels = np.stack([np.tile(ramp, (224, 1)), np.tile(ramp[:, None], (1, 224)), np.full((224, 224), 90)], 2)
    told = address(rgb_picture(pixels.astype(np.uint8)))
    assert len(told) < 224 * 224 * 3 / 8
    assert np.abs(np.asarray(opened(told), np.float64) - pixels).mean() < 2


def test_float_pixels_are_rounded_and_clipped() -> None:
    pixels = np.asarray([[[-1.0, 0.5, 2.0]]], np.float32)
    assert np.asarray(rgb_picture(pixels)).tolist() == [[[0, 128, 255]]]


def test_bytes_become_grey_pixels_and_what_is_missing_is_black() -> None:
    assert np.asarray(noise_picture(bytes([9, 8, 7]), 2)).tolist() == [[9, 8], [7, 0]]
    assert np.asarray(noise_picture(bytes(range(9)), 2)).tolist() == [[0, 1], [2, 3]]


def test_a_jpeg_of_noise_takes_more_than_one_of_nothing() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert jpeg_bytes(noise) > jpeg_bytes(np.zeros((32, 32, 3), np.uint8)) > 100
