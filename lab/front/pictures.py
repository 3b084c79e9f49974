"""Points of sending the picture itself: JPEG and WebP at several qualities, and raw pixels.

The cloud then runs the whole unprotected network on the decoded picture. ``payload_bytes`` counts the file as
Pillow writes it. ``abbreviated_bytes`` counts what would be left if the two sides agreed on all that repeats:
for JPEG see ``siftfunnel.lab.front.jpeg_scan``; a WebP file loses its container (20 bytes, and one of
padding), start code and size (7 bytes). Neither carries a checksum, as our payloads do.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.lab.data.images import ImageSet
from siftfunnel.lab.front.coding import TIMED_FRAMES, Show
from siftfunnel.lab.front.halves import Halves
from siftfunnel.lab.front.jpeg_scan import SUBSAMPLING, shared_table_sizes
from siftfunnel.lab.front.points import Kind, Point, accuracy_fields, byte_fields
from siftfunnel.lab.front.timing import ROUNDS, Timed, interleaved_medians_us
from siftfunnel.lab.provenance import provenance

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

    kind: Kind
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


def picture_points(
    halves: Halves,
    images: ImageSet,
    show: Show,
    *,
    codings: Sequence[PictureCoding] = CODINGS,
    rounds: int = ROUNDS,
) -> list[Point]:
    """One point per way of sending the picture, over all ``images``.

    Args:
        halves: The unprotected bundle, both of whose halves the cloud runs.
        images: Pictures of its input size.
        show: Takes a line of progress.
        codings: Which ways.
        rounds: Timed frames per way.
    """
    times_us = _times_us(codings, images.images_NHWC, rounds)
    return [_point(coding, halves, images, times_us, show) for coding in codings]


def _point(
    coding: PictureCoding, halves: Halves, images: ImageSet, times_us: dict[str, float], show: Show
) -> Point:
    pixels = images.images_NHWC
    payloads = [coding.encode(picture) for picture in pixels]
    decoded = np.stack([coding.decode(payload, pixels.shape[1:]) for payload in payloads])
    manifest = halves.bundle.manifest
    point = {
        "kind": coding.kind,
        "bundle": None,
        "digest": None,
        "defence": None,
        "architecture": manifest.architecture,
        "codec": coding.name,
        "network": {"bundle": manifest.name, "digest": halves.bundle.digest},
        **byte_fields([len(payload) for payload in payloads]),
        **byte_fields(coding.abbreviated_sizes(pixels, payloads), "abbreviated_bytes"),
        **accuracy_fields(halves.right(halves.features(decoded), images.labels), images.labels),
        "feature_bytes_fp32": None,
        "encode_us": times_us[f"encode {coding.name}"],
        "decode_us": times_us[f"decode {coding.name}"],
        "edge_us": None,
        "leakage": None,
        "provenance": provenance(),
    }
    show(
        f"{coding.name}: {point['payload_bytes_mean']:.1f} bytes ({point['abbreviated_bytes_mean']:.1f} "
        f"abbreviated), accuracy {100 * point['accuracy']:.2f} %"
    )
    return point


def _times_us(
    codings: Sequence[PictureCoding], images_NHWC: NDArray[np.uint8], rounds: int
) -> dict[str, float]:
    frames = min(TIMED_FRAMES, len(images_NHWC))
    pictures = images_NHWC[np.linspace(0, len(images_NHWC) - 1, frames).astype(int)]
    calls = {name: call for coding in codings for name, call in _calls(coding, pictures)}
    return interleaved_medians_us(calls, frames=frames, rounds=rounds)


def _calls(coding: PictureCoding, pictures: NDArray[np.uint8]) -> Iterator[tuple[str, Timed]]:
    payloads = [coding.encode(picture) for picture in pictures]
    shape = pictures.shape[1:]
    yield f"encode {coding.name}", lambda frame: coding.encode(pictures[frame])
    yield f"decode {coding.name}", lambda frame: coding.decode(payloads[frame], shape)
