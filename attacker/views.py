"""What the page is told of one frame and of one camera picture, as JSON values."""

import math
from typing import Any

import numpy as np

from siftfunnel.attacker.exchanges import Exchange
from siftfunnel.attacker.knowledge import Target
from siftfunnel.attacker.ledger import Similarity
from siftfunnel.attacker.pictures import (
    MAX_TILES,
    feature_picture,
    jpeg_bytes,
    noise_picture,
    png_address,
    rgb_picture,
)
from siftfunnel.attacker.preview import Truth
from siftfunnel.attacker.tap.events import Opaque


def exchange_view(
    exchange: Exchange,
    target: Target,
    truth: Truth | None,
    similarity: Similarity | None,
    with_pictures: bool,
) -> dict[str, Any]:
    """One frame from camera to overheard answer; pictures only where asked for, they cost time and bytes."""
    return {
        "id": exchange.number,
        "tap": exchange.tap,
        "connection": exchange.connection,
        "time_s": exchange.time_s,
        "bundle": target.name,
        "digest": exchange.digest,
        "defended": target.bundle.manifest.defence != "none",
        "sequence": exchange.sequence,
        "codec": target.codec_name(exchange.codec),
        "payload_bytes": len(exchange.payload),
        "jpeg_bytes": jpeg_bytes(truth.pixels_HWC) if truth else None,
        "original_size": list(truth.pixels_HWC.shape[:2]) if truth else None,
        "label": truth.label if truth else None,
        "answer": _answer(exchange, target, truth),
        "similarity": _similarity(similarity),
        "feature": _feature(exchange),
        "pictures": _pictures(exchange, truth) if with_pictures else None,
    }


def camera_view(truth: Truth) -> dict[str, Any]:
    """The model's latest input, for when nothing on the wire goes with it."""
    return {
        "digest": truth.digest,
        "sequence": truth.sequence,
        "label": truth.label,
        "original": png_address(rgb_picture(truth.pixels_HWC)),
    }


def ciphertext_view(tap: str, record: Opaque) -> dict[str, Any]:
    """An encrypted record as it looks to whoever has no key."""
    side = max(8, min(64, math.isqrt(len(record.sample))))
    return {
        "tap": tap,
        "byte_count": record.byte_count,
        "hex": record.sample[:12].hex(" "),
        "picture": png_address(noise_picture(record.sample, side)),
    }


def _answer(exchange: Exchange, target: Target, truth: Truth | None) -> dict[str, Any] | None:
    if exchange.answer is None:
        return None
    place = exchange.answer.class_index
    label = None if truth is None or place is None else truth.label
    return {
        "class": target.class_name(place),
        "score": round(exchange.answer.score, 4),
        "correct": None if label is None or place is None else target.is_right(place, label),
    }


def _similarity(similarity: Similarity | None) -> dict[str, float] | None:
    if similarity is None:
        return None
    return {"mse": similarity.mse, "psnr": round(similarity.psnr_db, 3), "ssim": round(similarity.ssim, 4)}


def _feature(exchange: Exchange) -> dict[str, Any] | None:
    features_CHW = exchange.features_CHW
    if features_CHW is None:
        return None
    return {
        "shape": list(features_CHW.shape),
        "tiles": min(MAX_TILES, features_CHW.shape[0]),
        "zero_share": round(float(np.mean(features_CHW == 0)), 3),
    }


def _pictures(exchange: Exchange, truth: Truth | None) -> dict[str, str | None]:
    features, rebuilt = exchange.features_CHW, exchange.reconstruction_HWC
    return {
        "original": png_address(rgb_picture(truth.pixels_HWC)) if truth else None,
        "feature": png_address(feature_picture(features)) if features is not None else None,
        "reconstruction": png_address(rgb_picture(rebuilt)) if rebuilt is not None else None,
    }
