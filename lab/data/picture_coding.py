"""Sending the picture itself: JPEG and WebP at several qualities, and raw pixels.

``abbreviated_sizes`` counts what would be left of a file if the two sides agreed on all that repeats: for
JPEG see ``siftfunnel.lab.data.jpeg_scan``; a WebP file loses its container (20 bytes, and one of padding),
start code and size (7 bytes). Neither carries a checksum, as our payloads do.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.lab.data.jpeg_scan import SUBSAMPLING, shared_table_sizes

QUALITIES = (5, 10, 20, 35, 50, 75, 90)
WEBP_METHOD = 6
_WEBP_SIZE_AT, _WEBP_FIXED_BYTES = 16, 7


@dataclass(frozen=True)
class PictureCoding:
    """One way to send a picture.

    Attributes:
        kind: ``jpeg``, ``webp`` or ``raw``.
        quality: Of the encoder; None for raw pixels.
    """

    kind: Literal["jpeg", "webp", "raw"]
    quality: int | None = None

    @property
    def name(self) -> str:
        """Name of the point: ``jpeg-q50``."""
        return self.kind if self.quality is None else f"{self.kind}-q{self.quality}"

    def encode(self, pixels_HWC: NDArray[np.uint8]) -> bytes:
        """A picture as a file, or as its pixels."""
        if self.kind == "raw":
            return pixels_HWC.tobytes()
        stored = io.BytesIO()
        Image.fromarray(pixels_HWC).save(stored, format=self.kind.upper(), **self._options())
        return stored.getvalue()

    def decode(self, payload: bytes, shape_HWC: tuple[int, ...]) -> NDArray[np.uint8]:
        """The picture that arrives."""
        if self.kind == "raw":
            return np.frombuffer(payload, dtype=np.uint8).reshape(shape_HWC)
        with Image.open(io.BytesIO(payload), formats=(self.kind.upper(),)) as opened:
            return np.asarray(opened.convert("RGB"))

    def abbreviated_sizes(self, images_NHWC: NDArray[np.uint8], payloads: Sequence[bytes]) -> list[int]:
        """Bytes of each picture without what both sides could agree on."""
        if self.kind == "jpeg":
            assert self.quality is not None
            return shared_table_sizes(images_NHWC, self.quality)
        if self.kind == "webp":
            return [_webp_frame_bytes(payload) for payload in payloads]
        return [len(payload) for payload in payloads]

    def _options(self) -> dict[str, Any]:
        if self.kind == "jpeg":
            return {"quality": self.quality, "optimize": True, "subsampling": SUBSAMPLING}
        return {"quality": self.quality, "method": WEBP_METHOD}


CODINGS: tuple[PictureCoding, ...] = (
    *(PictureCoding("jpeg", quality) for quality in QUALITIES),
    *(PictureCoding("webp", quality) for quality in QUALITIES),
    PictureCoding("raw"),
)


def _webp_frame_bytes(file: bytes) -> int:
    """Length of the VP8 frame, less start code and size of the picture."""
    assert file[12:16] == b"VP8 ", file[:16]
    return int.from_bytes(file[_WEBP_SIZE_AT : _WEBP_SIZE_AT + 4], "little") - _WEBP_FIXED_BYTES
