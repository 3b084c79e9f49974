"""Pictures as they come, from files, bytes, cameras and programs, to RGB: one rule for device and lab.

The same picture gives the same pixels however it is handed over: the EXIF orientation is applied, transparent
pictures are laid on white, and values of more than 8 bits are scaled by their range.
"""

import errno
import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import (
    Image,
    JpegImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from siftfunnel.shared.files import open_regular

ImageSource = str | Path | bytes | BinaryIO

MAX_PIXELS = 2**27
"""Pixels that are decoded at most, 134 million; 512 MiB of memory in colour."""
WHOLE_PIXELS = 2**26
"""Pixels above which, from 67 million on, a baseline JPEG is decoded at a half to an eighth of its size."""
MAX_REDUCED_PIXELS = 2**29
"""Pixels of a baseline JPEG at most, 537 million."""

# no format whose decoder starts another program, as EPS starts Ghostscript
FORMATS: tuple[str, ...] = (
    "PNG",
    JpegImagePlugin.JpegImageFile.format,
    "GIF",
    "BMP",
    "DIB",
    "PPM",
    TiffImagePlugin.TiffImageFile.format,
    WebPImagePlugin.WebPImageFile.format,
)
try:
    from PIL import AvifImagePlugin
except ImportError:
    # Pillow before 11.3
    pass
else:
    FORMATS += (AvifImagePlugin.AvifImageFile.format,) if AvifImagePlugin.SUPPORTED else ()
Image.preinit()

_HEIC_SUFFIXES = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_NO_HEIC = "HEIC, which Pillow does not read by itself: pip install pillow-heif, or save it as JPEG"
PICTURE_SUFFIXES = frozenset(
    {
        # the pairs of a stereo camera, which JPEG's reader takes
        ".mpo",
        *_HEIC_SUFFIXES,
        *(suffix for suffix, form in Image.EXTENSION.items() if form in FORMATS),
    }
)
"""Ends of the names of picture files, lower case; HEIC among them, so that it is refused aloud."""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ALPHA = frozenset({"RGBA", "RGBa", "LA", "PA"})
# what Pillow's own search for a format takes as "not this one"
_NOT_THIS_FORMAT = (SyntaxError, IndexError, TypeError, struct.error)
# of 16 bits to 8, rounded
_EIGHT_BITS = ((2 * np.arange(65_536, dtype=np.uint32) + 257) // 514).astype(np.uint8)


class ImageError(ValueError):
    """A picture that cannot be decoded; the text names it and says why."""


def is_picture_name(name: str) -> bool:
    """Whether a file is one by the end of its name; hidden files, such as macOS's `._x.jpg`, are not.

    >>> is_picture_name("holiday.JPE"), is_picture_name(".thumbnail.jpg"), is_picture_name("notes.txt")
    (True, False, False)
    """
    return not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES


def open_image(source: ImageSource) -> Image.Image:
    """Decode a picture, rotate it as its EXIF orientation says, and make it RGB.

    Args:
        source: a path, the encoded bytes, or a binary file object.

    Raises:
        ImageError: missing, unreadable, not a picture, truncated, or too large to be safe.
        OSError: this process has too many open files, which is not the picture's fault.
    """
    name = str(source) if isinstance(source, (str, Path)) else "picture"
    try:
        with _stream_of(source) as stream, _opened(stream) as opened:
            _bound_size(opened)
            return upright_rgb(opened)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except IsADirectoryError:
        raise ImageError(f"{name}: is a folder; `siftfunnel edge --source` takes folders") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not a picture in a format read here ({', '.join(FORMATS)})") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        # by format, damage shows as OSError, SyntaxError, TypeError, struct.error and more
        raise ImageError(f"{name}: does not decode ({error})") from error


def upright_rgb(image: Image.Image) -> Image.Image:
    """A decoded picture turned as its EXIF orientation says, in RGB.

    Raises:
        ImageError: without a pixel, truncated, larger than `MAX_PIXELS`, or with values whose white nobody
            can know.
    """
    if not (image.width and image.height):
        raise ImageError(f"has no pixels: it is {image.width}x{image.height}")
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(image, MAX_PIXELS)
    try:
        # a picture is decoded when it is first needed, which may be after its file was closed
        image.load()
        turn = _UPRIGHT.get(_orientation(image))
        rgb = _to_rgb(image)
        upright = rgb if turn is None else rgb.transpose(turn)
        if upright is not image:
            # whoever finds the orientation there would turn it again
            upright.info.clear()
        return upright
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"does not decode ({error})") from error


@contextmanager
def _stream_of(source: ImageSource) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, (str, Path)):
        with open_regular(Path(source)) as file:
            yield file
    else:
        # the caller's file stays open; one that cannot be rewound is read first
        yield source if source.seekable() else io.BytesIO(source.read())


def _opened(stream: BinaryIO) -> Image.Image:
    """What `Image.open` does, but with limits of our own and without its warnings about large pictures."""
    stream.seek(0)
    prefix = stream.read(16)
    if not prefix:
        raise ImageError("is empty")
    if prefix[4:8] == b"ftyp" and prefix[8:12] in _HEIC_BRANDS:
        return _open_heic(stream)
    for form in FORMATS:
        factory, accepts = Image.OPEN[form]
        try:
            # what asks for more bytes than there are raises too
            if accepts is None or accepts(prefix) is True:
                stream.seek(0)
                return factory(stream, "")
        except _NOT_THIS_FORMAT:
            continue
    raise UnidentifiedImageError


def _open_heic(stream: BinaryIO) -> Image.Image:
    if not _reads_heic():
        raise ImageError(_NO_HEIC)
    stream.seek(0)
    return Image.OPEN["HEIF"][0](stream, "")


@cache
def _reads_heic() -> bool:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _bound_size(opened: Image.Image) -> None:
    """Refuse a picture that is too large; let a large JPEG decode at a fraction of its size."""
    pixels = opened.width * opened.height
    # a progressive one keeps all its coefficients in memory, whatever size it is decoded at
    reducible = isinstance(opened, JpegImagePlugin.JpegImageFile) and "progressive" not in opened.info
    limit = MAX_REDUCED_PIXELS if reducible else MAX_PIXELS
    if pixels > limit:
        raise _too_large(opened, limit)
    if reducible and pixels > WHOLE_PIXELS:
        fraction = next(fraction for fraction in (2, 4, 8) if pixels <= WHOLE_PIXELS * fraction**2)
        opened.draft(None, (opened.width // fraction, opened.height // fraction))


def _too_large(image: Image.Image, limit: int) -> ImageError:
    return ImageError(
        f"refused, {image.width}x{image.height} are {image.width * image.height} pixels, at most {limit} are "
        "decoded; make it smaller first"
    )


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        # a broken EXIF block says nothing; the picture beside it is whole
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if image.mode in _ALPHA or "transparency" in image.info:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        paper = Image.new("RGB", layer.size, "white")
        paper.paste(layer, mask=layer)
        return paper
    # converting what is RGB already would copy a camera's whole frame
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> NDArray[np.uint8]:
    """Grey values of more than 8 bits, scaled by the smallest usual range that holds them."""
    values_HW = np.asarray(image)
    low, high = float(values_HW.min()), float(values_HW.max())
    # written so that NaN fails too
    if not (low >= 0 and high <= 65_535):
        raise ImageError(
            f"has values from {low:g} to {high:g}, whose white nobody can know; "
            "scale them to 0 to 255, or to 0 to 1 as floats, first"
        )
    if image.mode == "F" and high <= 1:
        values_HW = values_HW * 255
    if image.mode in {"I", "F"} and high <= 255 and image.format != "PNG":
        # a PNG of 16 bits is of mode I in some versions of Pillow
        return (values_HW + 0.5).astype(np.uint8)
    return _EIGHT_BITS[values_HW.astype(np.uint16)]
