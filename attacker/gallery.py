"""Pictures that the attacker knows, by the embeddings that were overheard for them: who looks like whom.

The pictures come from the preview, never from the wire: they stand for photos that an eavesdropper may have.
"""

import zlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.attacker.pictures import address, rgb_picture
from siftfunnel.attacker.preview import Truth

MAX_KNOWN = 256
MAX_NETWORKS = 16
MAX_VALUES = 16_384
NEAREST = 3
THUMBNAIL_PIXELS = 64

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class _Known:
    direction: Vector
    label: str | None
    thumbnail: str


class Gallery:
    """The latest known pictures of each network's embedding; bounded."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], OrderedDict[int, _Known]] = OrderedDict()

    def learn(self, digest: str, output: str, embedding: NDArray[np.generic], truth: Truth) -> None:
        """From now on the picture is known by its embedding.

        Args:
            digest: of the bundle; embeddings of different networks have nothing to do with each other.
            output: the embedding's name.
            embedding: a vector.
            truth: the picture that it was made of.
        """
        direction = _direction(embedding)
        if direction is not None:
            album, picture = self._album(digest, output), _picture(truth)
            before = album.pop(picture, None)
            album[picture] = _Known(direction, truth.label, before.thumbnail if before else _thumbnail(truth))
            if len(album) > MAX_KNOWN:
                album.popitem(last=False)

    def nearest(
        self, digest: str, output: str, embedding: NDArray[np.generic], truth: Truth | None
    ) -> dict[str, Any]:
        """The known pictures nearest to an embedding, other than its own; arguments as of `learn`.

        Returns:
            `known`, how many pictures were compared, and `nearest`, the closest first: `similarity` (cosine),
            `label`, `picture`.
        """
        own = None if truth is None else _picture(truth)
        album = self._known.get((digest, output))
        others = [known for picture, known in (album or {}).items() if picture != own]
        direction = _direction(embedding)
        if direction is None or not others:
            return {"known": 0, "nearest": []}
        cosines = np.stack([known.direction for known in others]) @ direction
        best = np.argsort(-cosines, kind="stable")[:NEAREST]
        return {"known": len(others), "nearest": [_told(others[at], float(cosines[at])) for at in best]}

    def _album(self, digest: str, output: str) -> OrderedDict[int, _Known]:
        album = self._known.setdefault((digest, output), OrderedDict())
        self._known.move_to_end((digest, output))
        if len(self._known) > MAX_NETWORKS:
            self._known.popitem(last=False)
        return album


def _picture(truth: Truth) -> int:
    return zlib.crc32(truth.pixels_HWC.tobytes())


def _direction(embedding: NDArray[np.generic]) -> Vector | None:
    """The vector at length 1; None where it has none, or too many values to be kept for many pictures."""
    if embedding.size > MAX_VALUES:
        return None
    values = embedding.reshape(-1).astype(np.float64)
    length = float(np.linalg.norm(values))
    return (values / length).astype(np.float32) if np.isfinite(length) and length > 0 else None


def _thumbnail(truth: Truth) -> str:
    picture = rgb_picture(truth.pixels_HWC)
    picture.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    return address(picture)


def _told(known: _Known, cosine: float) -> dict[str, Any]:
    return {"similarity": round(cosine, 4), "label": known.label, "picture": known.thumbnail}
