"""Literal figures of attacks and reference rows, as reports hold them."""

from collections.abc import Mapping, Sequence
from typing import Any


def scores(
    mean: float, per_image: Sequence[float] | None = None, worst: float | None = None
) -> dict[str, Any]:
    values = list(per_image or [mean] * 4)
    psnr = {
        "mean": mean,
        "median": mean,
        "p95": mean,
        "p99": mean,
        "max": max(values),
        "ci95": [mean - 0.1, mean + 0.1],
        "worst_5pct_mean": mean,
        "worst_1pct_mean": mean if worst is None else worst,
    }
    ssim = {**psnr, "mean": 0.5}
    return {
        "standard": {"mse": {"mean": 0.1, "ci95": [0.1, 0.1]}, "psnr_db": psnr, "ssim": ssim},
        "paper": None,
        "retrieval_rank1": 0.5,
        "pictures": len(values),
        "psnr_db_per_image": values,
    }


def attack(
    mean: float,
    *,
    label: str = "An attack",
    access: str = "black-box",
    as_the_paper: bool = False,
    frames: int = 1,
    per_image: Sequence[float] | None = None,
    fit: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "label": label,
        "access": access,
        "kind": "optimisation" if access == "white-box" else "inverter",
        "as_the_paper": as_the_paper,
        "frames": frames,
        "fit": dict(fit or {}),
        "details": dict(details or {}),
        "scores": scores(mean, per_image),
    }


def references(mean_image: float = 12.0, small: float = 17.0, large: float = 21.0) -> dict[str, Any]:
    return {
        "mean_image": scores(mean_image),
        "thumbnail_4x4": scores(small),
        "thumbnail_8x8": scores(large),
    }
