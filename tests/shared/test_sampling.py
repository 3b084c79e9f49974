"""Resizing without antialiasing, against OpenCV."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.preprocess import fit_image
from siftfunnel.shared.sampling import sample

METHODS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


SIDES = st.tuples(*[st.integers(1, 60)] * 4)


@pytest.mark.parametrize("name", ["bilinear", "bicubic", "lanczos"])
@given(sides=SIDES)
def test_it_gives_the_pixels_of_opencv(name, sides):
    height, width, new_height, new_width = sides
    pixels = noise(height, width)
    ours = sample(pixels, (0, 0, width, height), (new_width, new_height), name)
    theirs = cv2.resize(pixels, (new_width, new_height), interpolation=METHODS[name])
    # OpenCV's weights have 11 bits
    assert np.abs(ours.astype(int) - theirs.reshape(ours.shape)).max() <= 1


@given(sides=SIDES)
def test_the_nearest_is_the_pixel_of_the_corner(sides):
    height, width, new_height, new_width = sides
    pixels = noise(height, width)
    ours = sample(pixels, (0, 0, width, height), (new_width, new_height), "nearest")
    rows, columns = np.arange(new_height) * height // new_height, np.arange(new_width) * width // new_width
    np.testing.assert_array_equal(ours, pixels[rows][:, columns])


@pytest.mark.parametrize("size", [(640, 480), (100, 75), (31, 57)])
def test_the_nearest_is_that_of_opencv(size):
    pixels = noise(240, 320)
    theirs = cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(sample(pixels, (0, 0, 320, 240), size, "nearest"), theirs)


@pytest.mark.parametrize("name", METHODS)
def test_a_cut_is_the_cut_of_the_whole_resized(name):
    pixels = noise(90, 120)
    whole = sample(pixels, (0, 0, 120, 90), (60, 45), name)
    part = sample(pixels, (20, 10, 100, 70), (40, 30), name)
    np.testing.assert_array_equal(part, whole[5:35, 10:50])


def test_what_lies_between_is_never_looked_at():
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[::8] = 255
    assert fit_image(Image.fromarray(pixels), InputSpec(8, 8, filter="bilinear", antialias=False)).max() == 0
    assert fit_image(Image.fromarray(pixels), InputSpec(8, 8, filter="bilinear")).min() > 10


@pytest.mark.parametrize("name", ["box", "hamming"])
def test_filters_that_mean_nothing_without_antialiasing_are_refused(name):
    with pytest.raises(ValueError, match="needs antialias"):
        InputSpec(8, 8, filter=name, antialias=False)
