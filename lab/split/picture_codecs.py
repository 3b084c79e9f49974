"""What JPEG and WebP need for the same agreement: the uncut network on decoded pictures."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from siftfunnel.lab.attacks.chunks import write_json
from siftfunnel.lab.front.pictures import PictureCoding
from siftfunnel.lab.split.features import Ends, Say, Seen
from siftfunnel.shared.input_spec import InputSpec

QUALITIES = (95, 90, 80, 75, 65, 50, 35, 20, 8)
KINDS = ("jpeg", "webp")
MOST_PICTURES = 300


@dataclass(frozen=True)
class Quality:
    """A picture codec at one quality.

    Attributes:
        quality: Of the encoder.
        mean_bytes: Of a picture's file.
        agreement: Of the uncut network on what is decoded with itself on the picture.
    """

    quality: int
    mean_bytes: float
    agreement: float


@dataclass(frozen=True)
class Curve:
    """A picture codec at all qualities, the finest first.

    Attributes:
        kind: ``jpeg`` or ``webp``.
        qualities: Of it.
    """

    kind: str
    qualities: tuple[Quality, ...]

    def bytes_for(self, agreement: float) -> float | None:
        """Mean bytes at which it agrees as much, between two qualities by a straight line; None: at none.

        Agreement is first made to fall with bytes: of two qualities the cheaper one that agrees more counts.
        """
        agreements = np.maximum.accumulate([q.agreement for q in self.qualities][::-1])
        sizes = [q.mean_bytes for q in self.qualities][::-1]
        if agreement > agreements[-1]:
            return None
        first = int(np.argmax(agreements >= agreement))
        if first == 0:
            return float(sizes[0])
        low, high = float(agreements[first - 1]), float(agreements[first])
        part = (agreement - low) / (high - low)
        return float(sizes[first - 1] + part * (sizes[first] - sizes[first - 1]))

    def as_json(self) -> list[dict[str, float]]:
        """For a report."""
        return [
            {
                "quality": q.quality,
                "bytes_mean": round(q.mean_bytes, 1),
                "agreement": round(q.agreement, 4),
            }
            for q in self.qualities
        ]


def picture_curves(
    ends: Ends, pixels_NHWC: NDArray[np.uint8], spec: InputSpec, seen: Seen, say: Say, folder: Path
) -> tuple[Curve, ...]:
    """Measure picture codecs on pictures that the network has seen uncoded, once for each network and input.

    Args:
        ends: The cut network; both halves one after the other are the uncut one.
        pixels_NHWC: The pictures as the network sees them.
        spec: Its input.
        seen: The same pictures.
        say: Shows progress.
        folder: Where curves are kept; another network, input, pictures or encoder is measured anew.
    """
    file = folder / f"{_key(ends, pixels_NHWC, spec, seen.likeness.measure)}.json"
    if not file.is_file():
        curves = [_measured(kind, ends, pixels_NHWC, spec, seen, say) for kind in KINDS]
        folder.mkdir(parents=True, exist_ok=True)
        write_json(file, {curve.kind: [asdict(quality) for quality in curve.qualities] for curve in curves})
    stored: dict[str, list[dict[str, Any]]] = json.loads(file.read_text())
    return tuple(Curve(kind, tuple(Quality(**each) for each in stored[kind])) for kind in KINDS)


def _key(ends: Ends, pixels_NHWC: NDArray[np.uint8], spec: InputSpec, measure: str) -> str:
    """Of everything that a curve depends on."""
    words = (spec, ends.halves.outputs, measure, QUALITIES, pixels_NHWC.shape, PIL.__version__)
    digest = sha256(repr(words).encode())
    for graph in (ends.halves.edge, ends.halves.cloud):
        digest.update(graph.SerializeToString(deterministic=True))
    digest.update(np.ascontiguousarray(pixels_NHWC).tobytes())
    return digest.hexdigest()[:16]


def _measured(
    kind: str, ends: Ends, pixels_NHWC: NDArray[np.uint8], spec: InputSpec, seen: Seen, say: Say
) -> Curve:
    found: list[Quality] = []
    for quality in QUALITIES:
        coding = PictureCoding(kind, quality)  # type: ignore[arg-type]  # jpeg or webp
        files = [coding.encode(picture) for picture in pixels_NHWC]
        decoded = np.stack([coding.decode(file, pixels_NHWC.shape[1:]) for file in files])
        outputs: Sequence[NDArray[Any]] = ends.cloud(ends.edge(decoded, spec))
        agreement = float(seen.likeness.agreement_N(outputs).mean())
        found.append(Quality(quality, float(np.mean([len(file) for file in files])), agreement))
        say(f"{coding.name}: {found[-1].mean_bytes:.0f} bytes, agreement {agreement:.3f}")
        if agreement < 0.6 * found[0].agreement:
            break
    return Curve(kind, tuple(found))
