"""A made-up front for the tests of table and drawing."""

from typing import Any

import numpy as np

from siftfunnel.lab.front.points import Front, Point, accuracy_fields, byte_fields

PICTURES = 200


def leakage(psnr_db: float, attack: str = "residual") -> dict[str, Any]:
    """What one attack found."""
    entry = {
        "label": "Residual inverter",
        "access": "black-box",
        "psnr_db": psnr_db,
        "psnr_interval": [psnr_db - 0.5, psnr_db + 0.5],
        "ssim": 0.5,
        "mse": 0.02,
        "retrieved": 0.9,
        "pictures": 3,
        "psnr_db_per_image": [psnr_db - 1, psnr_db, psnr_db + 1],
        "attacked_sha256": "a" * 64,
        "auxiliary_pictures": 40,
    }
    told = ("psnr_db", "psnr_interval", "ssim", "mse", "retrieved", "pictures")
    return {"attack": attack, **{key: entry[key] for key in told}, "all": {attack: entry}}


def answers(right: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The first ``right`` of all pictures are answered rightly."""
    return np.arange(PICTURES) < right


def codec_point(bundle: str, codec: str, size: int, right: int, **change: Any) -> Point:
    """A point of a bundle."""
    return {
        "kind": "post-training",
        "bundle": bundle,
        "digest": "d" * 64,
        "defence": "siftfunnel",
        "architecture": "tiny",
        "codec": codec,
        **byte_fields([size - 2, size, size + 2]),
        "payload_bytes_ceiling": 1000,
        **accuracy_fields(answers(right), np.zeros(PICTURES, dtype=np.int64)),
        "feature_bytes_fp32": 3072,
        "encode_us": 40.0,
        "decode_us": 60.0,
        "edge_us": 1000.0,
        "leakage": None,
        **change,
    }


def picture_point(kind: str, quality: int | None, size: int, right: int, psnr_db: float) -> Point:
    """A point of sending the picture."""
    point = codec_point("", kind if quality is None else f"{kind}-q{quality}", size, right)
    none = {"bundle": None, "digest": None, "defence": None, "feature_bytes_fp32": None, "edge_us": None}
    return {
        **point,
        **none,
        "kind": kind,
        "network": {"bundle": "tiny-unprotected", "digest": "e" * 64},
        **byte_fields([size // 2], "abbreviated_bytes"),
        "leakage": leakage(psnr_db, "reading"),
    }


def made_up_front() -> Front:
    """A rate-trained bundle beside a funnel, and pictures."""
    rate = {"kind": "rate-trained", "defence": "siftfunnel-rate"}
    return {
        "schema": 1,
        "kind": "front",
        "dataset": "cifar10",
        "picture_shape": [32, 32, 3],
        "pictures": PICTURES,
        "pictures_sha256": "b" * 64,
        "points": [
            codec_point("funnel", "fp32", 3076, 160, leakage=leakage(16.0)),
            codec_point("funnel", "q4", 276, 158, leakage=leakage(15.9)),
            codec_point("rate", "r1", 60, 159, leakage=leakage(15.0), **rate),
            codec_point("rate", "r2", 90, 161, **rate),
            picture_point("jpeg", 20, 412, 158, 26.0),
            picture_point("jpeg", 75, 604, 165, 81.0),
            picture_point("webp", 20, 187, 158, 27.0),
            picture_point("raw", None, 3072, 166, 100.0),
        ],
    }
