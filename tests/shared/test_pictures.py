import errno
import io
import os
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siftfunnel.shared import pictures
from siftfunnel.shared.pictures import (
    MAX_PIXELS,
    WHOLE_PIXELS,
    ImageError,
    is_picture_name,
    open_image,
    upright_rgb,
)

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


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


@pytest.mark.parametrize(
    ("values", "greys"),
    [
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 127.6, 255]], np.float32), [0, 128, 255]),
        (np.array([[0, 32896, 65535]], np.float32), [0, 128, 255]),
        (np.array([[0, 128, 255]], np.int32), [0, 128, 255]),
        (np.array([[0, 32896, 65535]], np.int32), [0, 128, 255]),
        (np.zeros((1, 3), np.float32), [0, 0, 0]),
    ],
    ids=["unit float", "byte float", "word float", "byte int", "word int", "black"],
)
def test_values_of_more_than_8_bits_are_scaled_by_their_range(values, greys):
    picture = Image.fromarray(values)
    for opened in (open_image(encoded(picture, "TIFF")), upright_rgb(picture)):
        assert np.asarray(opened)[0].tolist() == [[grey] * 3 for grey in greys]


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 70_000]], np.int32),
        np.array([[-1, 5]], np.int32),
        np.array([[-0.5, 0.5]], np.float32),
        np.array([[0, np.nan]], np.float32),
        np.array([[0, np.inf]], np.float32),
    ],
)
def test_values_whose_white_nobody_knows_are_refused_with_what_to_do(values):
    with pytest.raises(ImageError, match=r"picture: has values from .* scale them to 0 to 255"):
        open_image(encoded(Image.fromarray(values), "TIFF"))


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
def test_a_broken_exif_block_does_not_cost_the_picture():
    # an entry that points behind the block, and one of a type that does not exist
    broken = b"Exif\0\0MM\0*\0\0\0\x08\0\x02\x01\x12\0\x03\xff\xff\xff\xff\0\0\xff\xff\x01\x0e\0\x63"
    for exif in (broken, broken[:12], b"Exif\0\0junk", b"Exif\0\0"):
        stored = encoded(corners_picture(), "JPEG", exif=exif, quality=95)
        assert corners(open_image(stored)) == ["red", "green", "blue", "white"]
        assert corners(upright_rgb(Image.open(io.BytesIO(stored)))) == ["red", "green", "blue", "white"]


def test_the_callers_file_stays_open_and_one_that_cannot_be_rewound_is_read():
    stored = encoded(corners_picture())
    file = io.BytesIO(stored)
    open_image(file)
    assert not file.closed
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe:
        os.write(writing, stored)
        os.close(writing)
        assert corners(open_image(pipe)) == ["red", "green", "blue", "white"]


@pytest.mark.parametrize(
    ("size", "whole", "fraction"),
    [((12_000, 9_000), WHOLE_PIXELS, 2), ((128, 96), 1000, 4), ((256, 192), 1000, 8)],
)
def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(size, whole, fraction, monkeypatch):
    monkeypatch.setattr(pictures, "WHOLE_PIXELS", whole)
    halves = Image.new("L", size)
    halves.paste(255, (size[0] // 2, 0, *size))
    opened = open_image(encoded(halves, "JPEG"))
    assert opened.size == (size[0] // fraction, size[1] // fraction)
    assert [opened.getpixel((x, 9)) for x in (3, opened.width - 3)] == [(0, 0, 0), (255, 255, 255)]


def test_a_png_of_108_megapixels_is_decoded_without_a_warning():
    assert open_image(encoded(Image.new("1", (12_000, 9_000)))).size == (12_000, 9_000)


def test_a_progressive_jpeg_above_the_limit_is_refused_because_it_is_held_in_memory(monkeypatch):
    stored = encoded(corners_picture(64, 64), "JPEG", progressive=True)
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1000)
    with pytest.raises(ImageError, match="64x64 are 4096 pixels, at most 1000 are decoded; make it smaller"):
        open_image(stored)


def test_names_of_pictures_are_those_that_are_read_here():
    for name in ("a.JPG", "b.jfif", "c.jpe", "d.avif", "e.webp", "f.tiff", "g.HEIC", "h.apng", "i.mpo"):
        assert is_picture_name(name), name
    for name in ("a.txt", ".a.jpg", "jpg", "a.eps", "a.pdf", "a.mp4"):
        assert not is_picture_name(name), name


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
    with pytest.raises(ImageError, match=f"^{tmp_path}: is a folder; .*--source"):
        open_image(tmp_path)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_bytes_that_are_no_picture_are_refused(data):
    with pytest.raises(ImageError, match=r"^picture: "):
        open_image(data)


def test_a_file_that_is_too_short_for_any_format_is_called_that(tmp_path: Path):
    path = tmp_path / "x.png"
    path.touch()
    with pytest.raises(ImageError, match=f"^{path}: is empty$"):
        open_image(path)
    for count in range(1, 20):
        path.write_bytes(b"abcdefghijklmnopqrst"[:count])
        with pytest.raises(ImageError, match=f"^{path}: not a picture in a format read here"):
            open_image(path)


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "I", "F"])
def test_a_picture_without_a_pixel_is_refused(mode, size):
    with pytest.raises(ImageError, match=f"has no pixels: it is {size[0]}x{size[1]}"):
        upright_rgb(Image.new(mode, size))


def test_postscript_is_refused_because_reading_it_starts_a_program():
    with pytest.raises(ImageError, match=r"not a picture in a format read here \(PNG, JPEG"):
        open_image(encoded(corners_picture(), "EPS"))


def huge_png(side: int) -> bytes:
    """A few hundred bytes that claim to be a black square of this side."""
    small = encoded(Image.new("1", (8, 8)))
    header = b"IHDR" + side.to_bytes(4, "big") * 2 + small[24:29]
    return small[:12] + header + zlib.crc32(header).to_bytes(4, "big") + small[33:]


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_heic_without_its_plugin_is_refused_with_what_to_do(brand, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    pictures._reads_heic.cache_clear()
    with pytest.raises(ImageError, match=r"HEIC, .*pip install pillow-heif"):
        open_image(b"\0\0\0\x18ftyp" + brand + b"\0" * 100)
    pictures._reads_heic.cache_clear()


def test_heic_with_its_plugin_is_read():
    pillow_heif = pytest.importorskip("pillow_heif", reason="the optional plugin is not installed")
    stored = io.BytesIO()
    pillow_heif.from_pillow(corners_picture(64, 64)).save(stored)
    assert corners(open_image(stored.getvalue())) == ["red", "green", "blue", "white"]


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", Path("/dev/zero")):
        with pytest.raises(ImageError, match=f"{path}: does not decode .*is a device, a pipe or a socket"):
            open_image(path)


def test_too_many_open_files_are_not_the_pictures_fault(tmp_path: Path, monkeypatch):
    def exhausted(path: Path):
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(pictures, "open_regular", exhausted)
    with pytest.raises(OSError, match="Too many open files"):
        open_image(tmp_path / "a.png")


@pytest.mark.parametrize("side", [12_000, 30_000])
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
