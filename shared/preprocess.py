"""From a picture of any size to the tensor a bundle's edge half expects.

The same function serves training and the device: a network that was trained on
pictures cut one way and is fed pictures cut another way loses accuracy without a word.

    file or bytes -> open_image (shared.pictures) -> fit_image -> normalise -> float32 NCHW
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.shared.input_spec import CIFAR10_MEAN as CIFAR10_MEAN
from siftfunnel.shared.input_spec import CIFAR10_STD as CIFAR10_STD
from siftfunnel.shared.input_spec import Crop as Crop
from siftfunnel.shared.input_spec import InputSpec as InputSpec
from siftfunnel.shared.pictures import ImageError as ImageError
from siftfunnel.shared.pictures import ImageSource, upright_rgb
from siftfunnel.shared.pictures import open_image as open_image


@dataclass(frozen=True)
class Prepared:
    """A picture ready for the edge half.

    Attributes:
        pixels_HWC: uint8, what the model sees before normalisation.
        tensor_NCHW: float32 with N = 1, normalised.
    """

    pixels_HWC: NDArray[np.uint8]
    tensor_NCHW: NDArray[np.float32]


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
        ImageError: see `siftfunnel.shared.pictures.open_image`.
    """
    image = upright_rgb(source) if isinstance(source, Image.Image) else open_image(source)
    pixels = fit_image(image, spec)
    return Prepared(pixels, normalise(pixels[None], spec))
