"""From a picture of any size to the tensor a bundle's edge half expects.

The same function serves training and the device: a network that was trained on
pictures cut one way and is fed pictures cut another way loses accuracy without a word.

    file or bytes -> open_image -> fit_image -> normalise -> float32 NCHW
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

Crop = Literal["centre", "stretch"]
ImageSource = str | Path | bytes | BinaryIO

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2023, 0.1994, 0.2010)

# no format whose decoder starts another program, as EPS starts Ghostscript; Pillow knows the
# last two only once their plugins are imported
FORMATS = (
    "PNG",
    "JPEG",
    "GIF",
    "BMP",
    "PPM",
    TiffImagePlugin.TiffImageFile.format,
    WebPImagePlugin.WebPImageFile.format,
)
MAX_PIXELS = 80_000_000


class ImageError(ValueError):
    """A picture that cannot be decoded; the text names it and says why."""


@dataclass(frozen=True)
class InputSpec:
    """What the edge half expects: size in pixels, crop rule, normalisation.

    Attributes:
        height: rows of the model's input, pixels.
        width: columns of the model's input, pixels.
        mean: per-channel mean (R, G, B) of pictures scaled to [0, 1].
        std: per-channel standard deviation, same scale, above zero.
        crop: "centre" cuts the largest centred rectangle of the input's aspect
            ratio before resizing; "stretch" resizes the whole picture.

    Raises:
        ValueError: a size below 1, a standard deviation not above 0, an unknown crop rule.
    """

    height: int
    width: int
    mean: tuple[float, float, float] = CIFAR10_MEAN
    std: tuple[float, float, float] = CIFAR10_STD
    crop: Crop = "centre"

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"input size must be at least 1x1 pixels, not {self.height}x{self.width}")
        if len(self.mean) != 3 or len(self.std) != 3:
            raise ValueError("mean and std need three values each, for R, G and B")
        if not all(np.isfinite(self.mean)) or not all(np.isfinite(s) and s > 0 for s in self.std):
            raise ValueError(
                f"mean must be finite and std finite and above 0, not {self.mean} and {self.std}"
            )
        if self.crop not in get_args(Crop):
            raise ValueError(f"unknown crop rule {self.crop!r}; known: {', '.join(get_args(Crop))}")


@dataclass(frozen=True)
class Prepared:
    """A picture ready for the edge half.

    Attributes:
        pixels_HWC: uint8, what the model sees before normalisation.
        tensor_NCHW: float32 with N = 1, normalised.
    """

    pixels_HWC: NDArray[np.uint8]
    tensor_NCHW: NDArray[np.float32]


def open_image(source: ImageSource) -> Image.Image:
    """Decode a picture, rotate it as its EXIF orientation says, and make it RGB.

    Transparent pictures are laid on white; 16-bit greyscale is scaled to 8 bits.

    Args:
        source: a path, the encoded bytes, or a binary file object.

    Raises:
        ImageError: missing, unreadable, not a picture, truncated, or too large to be safe.
    """
    name = str(source) if isinstance(source, (str, Path)) else "picture"
    try:
        with Image.open(
            io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS
        ) as opened:
            _check_size(opened)
            return _to_rgb(ImageOps.exif_transpose(opened))
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not a picture in a format read here ({', '.join(FORMATS)})") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ImageError(f"{name}: refused, {error}") from None
    except Exception as error:
        # by format, damage shows as OSError, SyntaxError, TypeError, struct.error and more
        raise ImageError(f"{name}: does not decode ({error})") from error


def _check_size(opened: Image.Image) -> None:
    pixels = opened.width * opened.height
    if pixels > MAX_PIXELS:
        raise ImageError(
            f"refused, {opened.width}x{opened.height} are {pixels} pixels, at most {MAX_PIXELS} are decoded; "
            "make it smaller first"
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        levels = np.asarray(image, dtype=np.float64) / 257.0
        return Image.fromarray(np.clip(levels + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(paper, layer).convert("RGB")
    # converting what is RGB already would copy a camera's whole frame
    return image if image.mode == "RGB" else image.convert("RGB")


def fit_image(image: Image.Image, spec: InputSpec) -> NDArray[np.uint8]:
    """Cut and resize an RGB picture to the model's input size.

    A picture that has the right size already passes through untouched.

    Returns:
        uint8 pixels, shape (height, width, 3).
    """
    size = (spec.width, spec.height)
    if image.size == size:
        return np.array(image)
    box = _centred_box(image.size, spec) if spec.crop == "centre" else None
    return np.array(image.resize(size, Image.Resampling.LANCZOS, box=box))


def _centred_box(size: tuple[int, int], spec: InputSpec) -> tuple[float, float, float, float]:
    width, height = size
    scale = min(width / spec.width, height / spec.height)
    cut_width, cut_height = spec.width * scale, spec.height * scale
    left, top = (width - cut_width) / 2, (height - cut_height) / 2
    return (left, top, min(left + cut_width, width), min(top + cut_height, height))


def normalise(pixels_NHWC: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """Scale pixels to [0, 1], then subtract the mean and divide by the deviation, per channel.

    Args:
        pixels_NHWC: uint8, shape (N, height, width, 3).
        spec: the bundle's input.

    Returns:
        float32, shape (N, 3, height, width), contiguous.

    Raises:
        ValueError: another shape or type.
    """
    if pixels_NHWC.dtype != np.uint8 or pixels_NHWC.shape[1:] != (spec.height, spec.width, 3):
        raise ValueError(
            f"expected uint8 pixels of shape (N, {spec.height}, {spec.width}, 3), "
            f"not {pixels_NHWC.dtype} {pixels_NHWC.shape}"
        )
    gain = (1.0 / (255.0 * np.asarray(spec.std))).astype(np.float32)
    offset = (np.asarray(spec.mean) / np.asarray(spec.std)).astype(np.float32)
    # moving bytes to their planes before they become floats takes a quarter of the time; same values
    scaled = pixels_NHWC.transpose(0, 3, 1, 2).astype(np.float32, order="C")
    scaled *= gain[:, None, None]
    scaled -= offset[:, None, None]
    return scaled


def prepare(source: ImageSource | Image.Image, spec: InputSpec) -> Prepared:
    """Open, fit and normalise one picture.

    Raises:
        ImageError: see `open_image`.
    """
    image = _to_rgb(source) if isinstance(source, Image.Image) else open_image(source)
    pixels = fit_image(image, spec)
    return Prepared(pixels, normalise(pixels[None], spec))
