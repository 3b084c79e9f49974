"""What a bundle's edge half expects of a picture: size, cut, and how pixels become numbers."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Crop = Literal["centre", "stretch", "letterbox", "letterbox-corner"]
Filter = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
Layout = Literal["NCHW", "NHWC"]
PixelType = Literal["float32", "float16", "uint8"]
Colour = Literal["RGB", "BGR", "grey"]

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2023, 0.1994, 0.2010)


@dataclass(frozen=True)
class InputSpec:
    """What the edge half expects: size in pixels, cut, and normalisation.

        value = (pixel * scale - mean) / std        pixel in 0 to 255

    What the later fields are by default is what every bundle of schema 1 means.

    Attributes:
        height: rows of the model's input, pixels.
        width: columns of the model's input, pixels.
        mean: of each of the graph's channels, in its order, after scaling.
        std: standard deviations, likewise, above zero.
        crop: "centre" cuts the largest centred rectangle of the input's aspect
            ratio before resizing; "stretch" resizes the whole picture; "letterbox" makes the whole picture
            fit in the middle without distorting it and fills what is left with `padding`; "letterbox-corner"
            lays it at the top left.
        scale: what pixels are multiplied by before the mean is subtracted.
        shorter_side: with "centre", the picture's shorter side after resizing, pixels, of which the centre is
            cut; None cuts first, which keeps as much of the picture as there is.
        filter: how pixels are weighed when the size changes.
        antialias: whether the filter widens where a picture is made smaller (Pillow, `antialias=True`
            elsewhere); OpenCV and ONNX's Resize do not, which know neither box nor hamming.
        colour: which channels, in which order.
        layout: where the graph has its channels.
        dtype: what the graph takes. Of uint8 it is the pixel itself: scale 1, mean 0, deviation 1.
        padding: of a letterbox, 0 to 255.

    Raises:
        ValueError: a size below 1, a standard deviation not above 0, an unknown word, or values that do not
            go together.
    """

    height: int
    width: int
    mean: tuple[float, ...] = CIFAR10_MEAN
    std: tuple[float, ...] = CIFAR10_STD
    crop: Crop = "centre"
    scale: float = 1 / 255
    shorter_side: int | None = None
    filter: Filter = "lanczos"
    antialias: bool = True
    colour: Colour = "RGB"
    layout: Layout = "NCHW"
    dtype: PixelType = "float32"
    padding: int = 114

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"input size must be at least 1x1 pixels, not {self.height}x{self.width}")
        if self.crop not in get_args(Crop):
            raise ValueError(f"unknown crop rule {self.crop!r}; known: {', '.join(get_args(Crop))}")
        for name, words in _WORDS.items():
            if (word := getattr(self, name)) not in get_args(words):
                raise ValueError(f"unknown {name} {word!r}; known: {', '.join(get_args(words))}")
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ValueError(
                f"mean and std need one value for each channel of {self.colour}: {self.channels} values"
            )
        if not all(np.isfinite(self.mean)) or not all(np.isfinite(s) and s > 0 for s in self.std):
            raise ValueError(
                f"mean must be finite and std finite and above 0, not {self.mean} and {self.std}"
            )
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be a number above 0, not {self.scale}")
        if not 0 <= self.padding <= 255:
            raise ValueError(f"padding must lie in 0 to 255, not {self.padding}")
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.shorter_side is not None:
            if self.crop != "centre":
                raise ValueError('shorter_side goes with the crop rule "centre"')
            if self.shorter_side < max(self.height, self.width):
                raise ValueError(
                    f"a shorter side of {self.shorter_side} pixels has no {self.height}x{self.width} to cut"
                )
        if not self.antialias and self.filter not in _INTERPOLATIONS:
            raise ValueError(
                f"filter {self.filter!r} needs antialias; without it: {', '.join(_INTERPOLATIONS)}"
            )
        if self.dtype == "uint8" and (self.scale != 1 or set(self.mean) != {0} or set(self.std) != {1}):
            raise ValueError("an input of uint8 takes pixels as they are: scale 1, mean 0, std 1")

    @property
    def channels(self) -> int:
        """1 for grey pictures, else 3."""
        return 1 if self.colour == "grey" else 3

    @property
    def tensor_shape(self) -> tuple[int, int, int]:
        """Shape of one picture as the graph takes it, without the batch."""
        if self.layout == "NCHW":
            return (self.channels, self.height, self.width)
        return (self.height, self.width, self.channels)


_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
_WORDS = {"filter": Filter, "layout": Layout, "dtype": PixelType, "colour": Colour}
