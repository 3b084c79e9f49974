"""What cloud-only sends: the picture at the model's size, as JPEG or WebP of a stated quality."""

import io
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.shared.preprocess import ImageError, InputSpec, normalise, open_image
from siftfunnel.shared.wire import CodecError

_NAME = re.compile(r"(jpeg|webp)-(\d{1,3})")
_HEADROOM_BYTES = 8192


@dataclass(frozen=True)
class PictureCodec:
    """Pixels to a picture file and back to the model's input.

    Attributes:
        name: "jpeg-75", "webp-50".
        index: Its position on the wire.
        spec: The bundle's input.

    Raises:
        ValueError: no such format, or a quality outside 1 to 100.

    Example:
        >>> codec = PictureCodec("webp-75", 0, InputSpec(32, 32))
        >>> codec.decode(codec.encode(np.zeros((32, 32, 3), np.uint8))).shape
        (3, 32, 32)
    """

    name: str
    index: int
    spec: InputSpec

    def __post_init__(self) -> None:
        kind_and_quality(self.name)

    @property
    def max_payload_bytes(self) -> int:
        """Above what either format makes of noise at quality 100."""
        return self.spec.height * self.spec.width * 3 * 2 + _HEADROOM_BYTES

    def encode(self, pixels_HWC: NDArray[np.uint8]) -> bytes:
        """The picture file."""
        return as_file(Image.fromarray(pixels_HWC), self.name)

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        """The model's input, float32 CHW, normalised.

        Raises:
            CodecError: not a picture, or of another size.
        """
        if len(payload) > self.max_payload_bytes:
            raise CodecError(f"codec {self.name}: {len(payload)} bytes, more than {self.max_payload_bytes}")
        try:
            # cut and resized it was before it was encoded
            pixels_HWC = np.array(open_image(payload))
        except ImageError as error:
            raise CodecError(f"codec {self.name}: {error}") from None
        if pixels_HWC.shape[:2] != (self.spec.height, self.spec.width):
            raise CodecError(
                f"codec {self.name}: a picture of {pixels_HWC.shape[1]}x{pixels_HWC.shape[0]} pixels"
            )
        picture_CHW: NDArray[np.float32] = normalise(pixels_HWC[None], self.spec)[0]
        return picture_CHW


def kind_and_quality(name: str) -> tuple[str, int]:
    """Pillow's name of the format, and the quality.

    Raises:
        ValueError: no such format, or a quality outside 1 to 100.
    """
    found = _NAME.fullmatch(name)
    if not found or not 1 <= int(found[2]) <= 100:
        raise ValueError(f"a picture is sent as jpeg-QUALITY or webp-QUALITY, 1 to 100, not {name!r}")
    return found[1].upper(), int(found[2])


def as_file(picture: Image.Image, name: str) -> bytes:
    """A picture as cloud-only sends it, with Pillow's defaults apart from the quality.

    JPEG is written with Huffman tables of its own (`optimize`), which at these sizes saves a fifth.
    """
    kind, quality = kind_and_quality(name)
    stored = io.BytesIO()
    picture.save(stored, kind, quality=quality, optimize=True)
    return stored.getvalue()


def is_picture_codec(name: str) -> bool:
    """Whether a codec's name is one of these and not one of a bundle's.

    Example:
        >>> is_picture_codec("jpeg-75"), is_picture_codec("q4")
        (True, False)
    """
    return _NAME.fullmatch(name) is not None
