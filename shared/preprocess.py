"""From a picture of any size to the tensor a bundle's edge half expects.

The same function serves training and the device: a network that was trained on
pictures cut one way and is fed pictures cut another way loses accuracy without a word.

    file or bytes -> open_image (shared.pictures) -> fit_image -> normalise -> the graph's input
"""

from dataclasses import dataclass
from typing import Any

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
from siftfunnel.shared.placement import Placement, place
from siftfunnel.shared.placement import Transform as Transform
from siftfunnel.shared.sampling import sample

# ITU-R 601, in the 16-bit arithmetic of Pillow's "L", so that a picture that is grey keeps its values
_LUMA = np.array([19_595, 38_470, 7_471], np.uint32)


@dataclass(frozen=True)
class Prepared:
    """A picture ready for the edge half.

    Attributes:
        pixels_HWC: uint8 RGB, what the model sees before normalisation.
        tensor: what the graph takes: N = 1, then `InputSpec.tensor_shape`; of `InputSpec.dtype`.
        transform: from the input's pixels to the picture's, for boxes and points that come back.
    """

    pixels_HWC: NDArray[np.uint8]
    tensor: NDArray[Any]
    transform: Transform


def fit_image(image: Image.Image, spec: InputSpec) -> NDArray[np.uint8]:
    """Cut, resize and pad an RGB picture to the model's input size.

    Where what is kept has the right size already it passes through untouched.

    Returns:
        uint8 RGB pixels, shape (height, width, 3).
    """
    return _draw(image, place(image.size, spec), spec)


def _draw(image: Image.Image, placement: Placement, spec: InputSpec) -> NDArray[np.uint8]:
    size = (spec.width, spec.height)
    if image.size == size and placement.source == placement.target:
        return np.array(image)
    if spec.antialias:
        method = Image.Resampling[spec.filter.upper()]
        fitted = np.array(image.resize(placement.size, method, box=placement.source))
    else:
        fitted = sample(np.asarray(image), placement.source, placement.size, spec.filter)
    if placement.size == size:
        return fitted
    left, top, right, bottom = placement.target
    seen = fitted[max(0, -top) : spec.height - top, max(0, -left) : spec.width - left]
    drawn = np.full((spec.height, spec.width, 3), spec.padding, np.uint8)
    drawn[max(0, top) : bottom, max(0, left) : right] = seen
    return drawn


def normalise(pixels_NHWC: NDArray[np.uint8], spec: InputSpec) -> NDArray[Any]:
    """Pixels as numbers for the graph: (pixel * scale - mean) / std in its channels, layout and type.

    Args:
        pixels_NHWC: uint8 RGB, shape (N, height, width, 3).
        spec: the bundle's input.

    Returns:
        Shape (N, *spec.tensor_shape), of `spec.dtype`, contiguous; float16 is rounded from float32.

    Raises:
        ValueError: another shape or type.
    """
    if pixels_NHWC.dtype != np.uint8 or pixels_NHWC.shape[1:] != (spec.height, spec.width, 3):
        raise ValueError(
            f"expected uint8 pixels of shape (N, {spec.height}, {spec.width}, 3), "
            f"not {pixels_NHWC.dtype} {pixels_NHWC.shape}"
        )
    planes = _channels(pixels_NHWC, spec)
    if spec.layout == "NCHW":
        planes = planes.transpose(0, 3, 1, 2)
    if spec.dtype == "uint8":
        return np.ascontiguousarray(planes)
    # moving bytes to their planes before they become floats takes a quarter of the time; same values
    scaled = planes.astype(np.float32, order="C")
    # the inverse of 1 / 255 is 255 exactly
    gain = (1.0 / (1.0 / spec.scale * np.asarray(spec.std))).astype(np.float32)
    offset = (np.asarray(spec.mean) / np.asarray(spec.std)).astype(np.float32)
    per_channel = (-1, 1, 1) if spec.layout == "NCHW" else (-1,)
    scaled *= gain.reshape(per_channel)
    scaled -= offset.reshape(per_channel)
    return scaled if spec.dtype == "float32" else scaled.astype(spec.dtype)


def _channels(pixels_NHWC: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    if spec.colour == "grey":
        return ((pixels_NHWC @ _LUMA + 0x8000) >> 16).astype(np.uint8)[..., None]
    return pixels_NHWC if spec.colour == "RGB" else pixels_NHWC[..., ::-1]


def prepare(source: ImageSource | Image.Image, spec: InputSpec) -> Prepared:
    """Open, fit and normalise one picture.

    Raises:
        ImageError: see `siftfunnel.shared.pictures.open_image`.
    """
    image = upright_rgb(source) if isinstance(source, Image.Image) else open_image(source)
    placement = place(image.size, spec)
    pixels = _draw(image, placement, spec)
    return Prepared(pixels, normalise(pixels[None], spec), placement.transform)
