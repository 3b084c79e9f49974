"""What the page is told of one frame and of one camera picture, as JSON values."""

import math
from typing import Any

from siftfunnel.attacker.exchanges import Exchange
from siftfunnel.attacker.gallery import Gallery
from siftfunnel.attacker.ledger import Similarity
from siftfunnel.attacker.outputs import outputs_view
from siftfunnel.attacker.pictures import (
    MAX_TILES,
    address,
    jpeg_bytes,
    noise_picture,
    rgb_picture,
    tensor_picture,
)
from siftfunnel.attacker.preview import Truth
from siftfunnel.attacker.tap.events import Opaque
from siftfunnel.attacker.targets import Target
from siftfunnel.shared.tensors import TensorSpec, unpack_array

MAX_GROUPS = 4


def exchange_view(
    exchange: Exchange,
    target: Target,
    truth: Truth | None,
    similarity: Similarity | None,
    gallery: Gallery,
) -> dict[str, Any]:
    """One frame from camera to overheard answer, with pictures where it was picked for them."""
    manifest = target.bundle.manifest
    return {
        "id": exchange.number,
        "tap": exchange.tap,
        "connection": exchange.connection,
        "time_s": exchange.time_s,
        "bundle": target.name,
        "digest": exchange.digest,
        "defended": manifest.defence != "none",
        "sequence": exchange.sequence,
        "codec": target.codec_name(exchange.codec),
        "payload_bytes": len(exchange.payload),
        "jpeg_bytes": jpeg_bytes(truth.pixels_HWC) if truth else None,
        "original_size": list(truth.pixels_HWC.shape[:2]) if truth else None,
        "label": truth.label if truth else None,
        "answer": _answer(exchange, target, truth),
        "outputs": _outputs(exchange, target, truth, gallery) if exchange.pictured else None,
        "similarity": _similarity(similarity),
        "pictures": _pictures(exchange, manifest.sent, truth) if exchange.pictured else None,
    }


def camera_view(truth: Truth) -> dict[str, Any]:
    """The model's latest input, for when nothing on the wire goes with it."""
    return {
        "digest": truth.digest,
        "sequence": truth.sequence,
        "label": truth.label,
        "original": address(rgb_picture(truth.pixels_HWC)),
    }


def ciphertext_view(tap: str, record: Opaque) -> dict[str, Any]:
    """An encrypted record as it looks to whoever has no key."""
    side = max(8, min(64, math.isqrt(len(record.sample))))
    return {
        "tap": tap,
        "byte_count": record.byte_count,
        "hex": record.sample[:12].hex(" "),
        "picture": address(noise_picture(record.sample, side)),
    }


def _answer(exchange: Exchange, target: Target, truth: Truth | None) -> dict[str, Any] | None:
    """The class that was answered; without one, an answer that was heard is an object of nulls."""
    answer = exchange.answer
    if answer is None:
        return None
    return {
        "class": None if answer.class_index is None else target.class_name(answer.class_index),
        "score": round(answer.score, 4),
        "correct": target.is_right(answer, truth.label if truth else None),
    }


def _outputs(
    exchange: Exchange, target: Target, truth: Truth | None, gallery: Gallery
) -> list[dict[str, Any]] | None:
    """What the answer's tensors say; None where they are not what the bundle says."""
    if exchange.outputs is None:
        return None
    manifest = target.bundle.manifest
    size = manifest.input.height, manifest.input.width
    return outputs_view(exchange.outputs, manifest.given, size, exchange.digest, truth, gallery)


def _similarity(similarity: Similarity | None) -> dict[str, float] | None:
    if similarity is None:
        return None
    return {"mse": similarity.mse, "psnr": round(similarity.psnr_db, 3), "ssim": round(similarity.ssim, 4)}


def _pictures(exchange: Exchange, sent: tuple[TensorSpec, ...], truth: Truth | None) -> dict[str, Any]:
    rebuilt = exchange.reconstruction_HWC
    return {
        "original": address(rgb_picture(truth.pixels_HWC)) if truth else None,
        "features": _features(exchange, sent),
        "reconstruction": address(rgb_picture(rebuilt)) if rebuilt is not None else None,
    }


def _features(exchange: Exchange, sent: tuple[TensorSpec, ...]) -> list[dict[str, Any]]:
    """The tensors that crossed the wire, each as a picture; of more than `MAX_GROUPS`, the first ones."""
    features_CHW = exchange.features_CHW
    if features_CHW is None:
        return []
    tensors = unpack_array(features_CHW[None], sent)[:MAX_GROUPS]
    most = MAX_TILES // len(tensors)
    return [
        {"name": spec.name, "shape": list(spec.shape), "picture": address(tensor_picture(values[0], most))}
        for spec, values in zip(sent, tensors, strict=False)
    ]
