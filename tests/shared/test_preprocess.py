from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siftfunnel.shared.preprocess import InputSpec, fit_image, normalise, prepare
from tests.shared.test_pictures import BLUE, GREEN, RED, corners, corners_picture, encoded

SPEC = InputSpec(32, 32)


# cutting and resizing


def test_a_rotated_photograph_is_cut_after_it_was_turned(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "phone.jpg"
    path.write_bytes(encoded(corners_picture(320, 160), "JPEG", exif=exif, quality=95))
    assert corners(Image.fromarray(prepare(path, SPEC).pixels_HWC)) == ["blue", "red", "white", "green"]


def test_a_picture_of_the_right_size_passes_untouched():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for crop in ("centre", "stretch"):
        fitted = fit_image(Image.fromarray(pixels), InputSpec(32, 32, crop=crop))
        np.testing.assert_array_equal(fitted, pixels)


def stripes(widths: list[int], height: int, across: bool = True) -> Image.Image:
    """Stripes of red, green and blue side by side, or one above the other."""
    row = np.repeat(np.array([RED, GREEN, BLUE], np.uint8), widths, axis=0)
    pixels = np.tile(row[None], (height, 1, 1))
    return Image.fromarray(pixels if across else np.ascontiguousarray(pixels.transpose(1, 0, 2)))


@pytest.mark.parametrize("across", [True, False])
def test_the_centre_crop_keeps_the_middle_and_nothing_else(across):
    picture = stripes([48, 64, 48], 64, across)
    fitted = fit_image(picture, SPEC)
    assert_green(fitted if across else fitted.transpose(1, 0, 2))


def assert_green(pixels_HWC: np.ndarray) -> None:
    # at the cut the resampling filter sees a little of what lies beyond
    assert np.unique(pixels_HWC[:, 3:-3].reshape(-1, 3), axis=0).tolist() == [[*GREEN]]
    assert pixels_HWC[..., 1].min() > 230


def test_stretching_keeps_all_of_the_picture():
    fitted = fit_image(stripes([32, 64, 64], 40), InputSpec(32, 32, crop="stretch"))
    assert [tuple(fitted[16, x]) for x in (0, 12, 31)] == [RED, GREEN, BLUE]


def test_the_centre_crop_has_the_aspect_of_the_input():
    # of 160x64 a 2:1 input keeps 128x64: 16 columns fall away on each side
    fitted = fit_image(stripes([16, 128, 16], 64), InputSpec(32, 64))
    assert fitted.shape == (32, 64, 3)
    assert_green(fitted)


@given(width=st.integers(1, 70), height=st.integers(1, 70), crop=st.sampled_from(["centre", "stretch"]))
def test_any_size_becomes_the_input_size(width, height, crop):
    fitted = fit_image(Image.new("RGB", (width, height), RED), InputSpec(24, 40, crop=crop))
    assert fitted.shape == (24, 40, 3)
    assert fitted.dtype == np.uint8
    assert np.unique(fitted.reshape(-1, 3), axis=0).tolist() == [[*RED]]


# normalising


def test_normalising_is_the_literal_formula_on_every_byte():
    spec = InputSpec(16, 16, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))
    pixels = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), 3, axis=3)
    tensor = normalise(pixels, spec)
    for channel in range(3):
        expected = (np.arange(256) / 255.0 - spec.mean[channel]) / spec.std[channel]
        np.testing.assert_allclose(tensor[0, channel].ravel(), expected, atol=1e-6)


def test_normalised_tensors_are_float32_nchw_and_contiguous():
    tensor = normalise(np.zeros((5, 8, 6, 3), np.uint8), InputSpec(8, 6))
    assert tensor.shape == (5, 3, 8, 6)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous


def test_channels_stay_red_green_blue():
    pixels = np.full((1, 1, 1, 3), (255, 0, 0), np.uint8)
    spec = InputSpec(1, 1, mean=(0, 0, 0), std=(1, 1, 1))
    assert normalise(pixels, spec).ravel().tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((1, 8, 6, 3), np.float32), np.zeros((8, 6, 3), np.uint8), np.zeros((1, 6, 8, 3), np.uint8)],
    ids=["type", "rank", "size"],
)
def test_pixels_of_another_form_are_refused(pixels):
    with pytest.raises(ValueError, match=r"expected uint8 pixels of shape \(N, 8, 6, 3\)"):
        normalise(pixels, InputSpec(8, 6))


def test_prepare_gives_pixels_and_their_tensor():
    prepared = prepare(corners_picture(), SPEC)
    np.testing.assert_array_equal(prepared.pixels_HWC, fit_image(corners_picture(), SPEC))
    np.testing.assert_array_equal(prepared.tensor, normalise(prepared.pixels_HWC[None], SPEC))


def test_prepare_takes_an_open_picture_of_any_mode():
    assert prepare(Image.new("L", (7, 9), 128), SPEC).pixels_HWC.tolist()[0][0] == [128, 128, 128]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"height": 0}, "at least 1x1 pixels, not 0x32"),
        ({"width": -1}, "at least 1x1 pixels, not 32x-1"),
        ({"mean": (0, 0)}, "one value for each channel of RGB: 3 values"),
        ({"std": (1, 1, 0)}, "finite and above 0"),
        ({"std": (1, 1, float("inf"))}, "finite and above 0"),
        ({"mean": (0, 0, float("nan"))}, "mean must be finite"),
        ({"crop": "left"}, "unknown crop rule 'left'; known: centre, stretch, letterbox, letterbox-corner"),
    ],
)
def test_an_input_spec_is_checked_when_it_is_made(fields, message):
    with pytest.raises(ValueError, match=message):
        InputSpec(**{"height": 32, "width": 32, **fields})


# what the graph takes


@st.composite
def normalising_specs(draw):
    colour = draw(st.sampled_from(["RGB", "BGR", "grey"]))
    channels = 1 if colour == "grey" else 3
    dtype = draw(st.sampled_from(["float32", "float16", "uint8"]))
    numbers = {"scale": 1.0, "mean": (0.0,) * channels, "std": (1.0,) * channels}
    if dtype != "uint8":
        each = st.lists(st.floats(0.1, 9), min_size=channels, max_size=channels).map(tuple)
        numbers = {
            "scale": draw(st.sampled_from([1 / 255, 1 / 127.5, 1.0])),
            "mean": draw(each),
            "std": draw(each),
        }
    layout = draw(st.sampled_from(["NCHW", "NHWC"]))
    return InputSpec(5, 4, colour=colour, dtype=dtype, layout=layout, **numbers)


@given(spec=normalising_specs(), seed=st.integers(0, 99))
def test_every_input_is_the_literal_formula(spec, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
    tensor = normalise(pixels, spec)
    assert tensor.shape == (2, *spec.tensor_shape)
    assert tensor.dtype == np.dtype(spec.dtype)
    assert tensor.flags.c_contiguous
    if spec.layout == "NCHW":
        tensor = tensor.transpose(0, 2, 3, 1)
    for number, picture in enumerate(pixels):
        image = Image.fromarray(picture)
        wanted = np.asarray(image.convert("L"))[..., None] if spec.colour == "grey" else picture
        if spec.colour == "BGR":
            wanted = wanted[..., [2, 1, 0]]
        expected = (wanted.astype(np.float64) * spec.scale - spec.mean) / spec.std
        close = {"float32": 1e-5, "float16": 1e-3, "uint8": 0}[spec.dtype]
        np.testing.assert_allclose(tensor[number], expected, rtol=close, atol=close * 10)


def test_a_bundle_of_schema_1_sees_the_bits_that_it_always_saw():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    gain = (1.0 / (255.0 * np.asarray(SPEC.std))).astype(np.float32)
    offset = (np.asarray(SPEC.mean) / np.asarray(SPEC.std)).astype(np.float32)
    before = pixels.transpose(0, 3, 1, 2).astype(np.float32) * gain[:, None, None] - offset[:, None, None]
    np.testing.assert_array_equal(normalise(pixels, SPEC), before)


def test_a_picture_of_the_inputs_size_is_still_cut_where_the_rule_says_so():
    picture = corners_picture(32, 32)
    told = prepare(picture, InputSpec(32, 32, shorter_side=64, filter="bilinear"))
    assert told.transform.scale == (0.5, 0.5)
    assert told.transform.offset == (8.0, 8.0)
