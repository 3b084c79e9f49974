import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shared.preprocess import (
    MAX_PIXELS,
    ImageError,
    InputSpec,
    fit_image,
    normalise,
    open_image,
    prepare,
)

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
SPEC = InputSpec(32, 32)


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def corners_picture(width: int = 24, height: int = 16) -> Image.Image:
    """Red top left, green top right, blue bottom left, white bottom right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    pixels[:top, :left], pixels[:top, left:] = RED, GREEN
    pixels[top:, :left], pixels[top:, left:] = BLUE, WHITE
    return Image.fromarray(pixels)


def corners(image: Image.Image) -> list[str]:
    """The names of the colours top left, top right, bottom left, bottom right."""
    pixels = np.asarray(image, dtype=int)
    return [nearest(pixels[y, x]) for y in (2, -3) for x in (2, -3)]


def nearest(pixel: np.ndarray) -> str:
    names = {"red": RED, "green": GREEN, "blue": BLUE, "white": WHITE}
    return min(names, key=lambda name: int(np.abs(pixel - names[name]).sum()))


# reading


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "seen", "size"),
    [
        (1, ["red", "green", "blue", "white"], (24, 16)),
        (2, ["green", "red", "white", "blue"], (24, 16)),
        (3, ["white", "blue", "green", "red"], (24, 16)),
        (4, ["blue", "white", "red", "green"], (24, 16)),
        (5, ["red", "blue", "green", "white"], (16, 24)),
        (6, ["blue", "red", "white", "green"], (16, 24)),
        (7, ["white", "green", "blue", "red"], (16, 24)),
        (8, ["green", "white", "red", "blue"], (16, 24)),
    ],
)
def test_each_exif_orientation_is_turned_upright(form, orientation, seen, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = open_image(encoded(corners_picture(), form, exif=exif))
    assert corners(upright) == seen
    assert upright.size == size


def test_a_rotated_photograph_is_cut_after_it_was_turned(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "phone.jpg"
    path.write_bytes(encoded(corners_picture(320, 160), "JPEG", exif=exif, quality=95))
    assert corners(Image.fromarray(prepare(path, SPEC).pixels_HWC)) == ["blue", "red", "white", "green"]


def test_path_text_bytes_and_file_give_the_same_picture(tmp_path: Path):
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(corners_picture()))
    with path.open("rb") as file:
        pictures = [open_image(source) for source in (path, str(path), path.read_bytes(), file)]
    for picture in pictures:
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(corners_picture()))


def grey_16_bit() -> Image.Image:
    return Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16))


def grey_with_alpha() -> Image.Image:
    image = Image.new("LA", (2, 1))
    image.putdata([(10, 255), (10, 0)])
    return image


def rgba() -> Image.Image:
    image = Image.new("RGBA", (3, 1))
    image.putdata([(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 127)])
    return image


def palette() -> Image.Image:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putdata([0, 1])
    return image


def black_and_white() -> Image.Image:
    image = Image.new("1", (2, 1))
    image.putdata([0, 1])
    return image


@pytest.mark.parametrize(
    ("image", "options", "pixels"),
    [
        (grey_16_bit(), {}, [[0] * 3, [1] * 3, [128] * 3, [255] * 3]),
        (grey_with_alpha(), {}, [[10] * 3, [255] * 3]),
        (rgba(), {}, [[255, 0, 0], [255, 255, 255], [128, 128, 128]]),
        (palette(), {}, [[*RED], [*BLUE]]),
        (palette(), {"transparency": 0}, [[*WHITE], [*BLUE]]),
        (Image.new("L", (1, 1), 77), {}, [[77] * 3]),
        (Image.new("L", (1, 1), 77), {"transparency": 77}, [[255] * 3]),
        (black_and_white(), {}, [[0] * 3, [255] * 3]),
    ],
    ids=["grey16", "grey+alpha", "rgba", "palette", "palette+clear", "grey", "grey+clear", "bilevel"],
)
def test_every_kind_of_png_becomes_rgb(image, options, pixels):
    opened = open_image(encoded(image, **options))
    assert opened.mode == "RGB"
    assert np.asarray(opened)[0].tolist() == pixels


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_every_kind_of_jpeg_becomes_rgb(mode):
    white = Image.new("RGB", (16, 16), "white").convert(mode)
    opened = open_image(encoded(white, "JPEG"))
    assert opened.mode == "RGB"
    assert np.asarray(opened).min() >= 254


# pictures that are none


@pytest.mark.parametrize(("form", "kept"), [("PNG", 0.5), ("JPEG", 0.5), ("PNG", 0.02), ("JPEG", 0.02)])
def test_a_truncated_file_is_named_with_the_reason(tmp_path: Path, form, kept):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = encoded(Image.fromarray(noise), form)
    path = tmp_path / "cut.img"
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ImageError, match=r"cut\.img: (does not decode|not a picture)"):
        open_image(path)


def test_a_missing_file_is_named():
    with pytest.raises(ImageError, match=r"^nowhere/x\.png: no such file$"):
        open_image("nowhere/x.png")


def test_a_directory_is_no_picture(tmp_path: Path):
    with pytest.raises(ImageError, match=f"^{tmp_path}: does not decode .*Is a directory"):
        open_image(tmp_path)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_bytes_that_are_no_picture_are_refused(data):
    with pytest.raises(ImageError, match=r"^picture: "):
        open_image(data)


def test_postscript_is_refused_because_reading_it_starts_a_program():
    with pytest.raises(ImageError, match=r"not a picture in a format read here \(PNG, JPEG"):
        open_image(encoded(corners_picture(), "EPS"))


def huge_png(side: int) -> bytes:
    """A few hundred bytes that claim to be a black square of this side."""
    small = encoded(Image.new("1", (8, 8)))
    header = b"IHDR" + side.to_bytes(4, "big") * 2 + small[24:29]
    return small[:12] + header + zlib.crc32(header).to_bytes(4, "big") + small[33:]


@pytest.mark.parametrize("side", [9000, 10_000, 30_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused_before_it_is_decoded(side):
    assert side * side > MAX_PIXELS
    with pytest.raises(ImageError, match="picture: refused, "):
        open_image(huge_png(side))


def test_a_picture_of_a_stereo_camera_gives_its_first_frame():
    pair = [corners_picture(), Image.new("RGB", (24, 16), "white")]
    two = encoded(pair[0], "MPO", save_all=True, append_images=pair[1:])
    assert corners(open_image(two)) == ["red", "green", "blue", "white"]


@given(data=st.data(), form=st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM"]))
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_picture_decodes_or_is_an_image_error(data, form):
    damaged = bytearray(encoded(corners_picture(), form))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, min(len(damaged), 200) - 1))] = data.draw(st.integers(0, 255))
    assert opens_or_is_refused(bytes(damaged))


def opens_or_is_refused(source: bytes) -> bool:
    try:
        return open_image(source).mode == "RGB"
    except ImageError as error:
        return str(error).startswith("picture: ")


# cutting and resizing


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
    np.testing.assert_array_equal(prepared.tensor_NCHW, normalise(prepared.pixels_HWC[None], SPEC))


def test_prepare_takes_an_open_picture_of_any_mode():
    assert prepare(Image.new("L", (7, 9), 128), SPEC).pixels_HWC.tolist()[0][0] == [128, 128, 128]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"height": 0}, "at least 1x1 pixels, not 0x32"),
        ({"width": -1}, "at least 1x1 pixels, not 32x-1"),
        ({"mean": (0, 0)}, "three values each"),
        ({"std": (1, 1, 0)}, "finite and above 0"),
        ({"std": (1, 1, float("inf"))}, "finite and above 0"),
        ({"mean": (0, 0, float("nan"))}, "mean must be finite"),
        ({"crop": "left"}, "unknown crop rule 'left'; known: centre, stretch"),
    ],
)
def test_an_input_spec_is_checked_when_it_is_made(fields, message):
    with pytest.raises(ValueError, match=message):
        InputSpec(**{"height": 32, "width": 32, **fields})
