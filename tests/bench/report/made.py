"""Cells, fronts and inverter reports that were made up, for tests only: arithmetic, not measurements."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from siftfunnel.bench.cells.result import (
    BothWays,
    Cell,
    EarlyStopping,
    Latency,
    LayerBytes,
    Mode,
    Repeat,
    Scenario,
    Stages,
)
from siftfunnel.bench.links.probe import Calibration, Way
from siftfunnel.bench.links.profiles import PROFILES, LinkProfile

DIGESTS = {"drawnfaces-siftfunnel": "a" * 64, "drawnfaces-unprotected": "b" * 64}
PROVENANCE = {"commit": "0" * 40, "versions": {}, "machine": {"processor": "made up", "cores": 2}}

WAYS: tuple[tuple[str, Mode, str, float, float], ...] = (
    ("drawnfaces-siftfunnel", "edge-only", "", 0.0, 9.0),
    ("drawnfaces-siftfunnel", "raw-features", "fp32", 12_292.0, 5.0),
    ("drawnfaces-siftfunnel", "split", "q8", 1_291.0, 5.2),
    ("drawnfaces-siftfunnel", "split", "q4", 613.0, 5.2),
    ("drawnfaces-unprotected", "cloud-only", "jpeg-75", 1_507.0, 4.0),
)
"""Bundle, mode, codec, payload in bytes, computing in ms."""


def rate(kbit_s: float | None) -> float:
    return 400_000.0 if kbit_s is None else kbit_s * 0.96


def calibration(profile: LinkProfile) -> Calibration:
    ways = (Way(rate(way.rate_kbit_s), 1.0, 2.0, 0.0) for way in (profile.up, profile.down))
    return Calibration(profile.round_trip_ms + 0.2, *ways)


def network_ms(profile: LinkProfile, up_bytes: float, down_bytes: float) -> float:
    sending = 8 * up_bytes / rate(profile.up.rate_kbit_s) + 8 * down_bytes / rate(profile.down.rate_kbit_s)
    return profile.round_trip_ms + 0.2 + sending


def cell(
    bundle: str,
    mode: Mode,
    codec: str,
    payload_bytes: float,
    computing_ms: float,
    link: str = "wifi",
    scenario: Scenario = "SingleStream",
) -> Cell:
    profile = PROFILES[link]
    sent = mode != "edge-only"
    message = payload_bytes + 60 if sent else None
    wire = network_ms(profile, payload_bytes + 60, 80) if sent else None
    half = computing_ms / 2
    stages = Stages(0.0, 0.4, half, *((0.1, wire, 0.2, 0.1, half, 0.3) if sent else (None,) * 6))
    mean = stages.total_ms() + 0.1
    return Cell(
        bundle=bundle,
        digest=DIGESTS[bundle],
        defence=bundle.partition("-")[2],
        mode=mode,
        codec=codec,
        link=profile,
        emulation="tun",
        calibration=calibration(profile),
        scenario=scenario,
        settings={},
        frames=1_000,
        warm_up_frames=20,
        repeats=2,
        latency_ms=Latency(
            mean, mean, mean * 1.1, mean * 1.3, EarlyStopping(True, mean * 1.12, None, "enough queries")
        ),
        frames_per_s=1000 / mean,
        target_frames_per_s=None,
        overloaded=False,
        stages_ms=stages,
        stage_residual=0.1 / mean,
        bytes=BothWays(
            LayerBytes(payload_bytes if sent else None, message, message and message + 52, message),
            LayerBytes(40.0, 80.0, 132.0, 132.0) if sent else LayerBytes(None, None, None, None),
        ),
        correct=980,
        judged=1_000,
        errors={},
        frames_resent=0,
        late=None,
        per_repeat=(Repeat(1000 / mean, mean, mean, mean),) * 2,
    )


def cells(links: Sequence[str] = ("gprs", "good-3g", "lte", "wifi")) -> list[Cell]:
    return [cell(*way, link=link) for link in links for way in WAYS]


def overloaded(one: Cell) -> Cell:
    return replace(one, overloaded=True, errors={"DEADLINE_EXCEEDED": 7}, frames_resent=3)


def file_of(made: Sequence[Cell], skipped: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """JSON values of a results file."""
    return {
        "schema": 1,
        "provenance": PROVENANCE,
        "cells": [one.to_json() for one in made],
        "skipped": list(skipped),
    }


def leakage(psnr_db: float, attack: str = "residual") -> dict[str, Any]:
    around = [psnr_db - 0.3, psnr_db + 0.3]
    return {
        "attack": attack,
        "psnr_db": psnr_db,
        "psnr_interval": around,
        "ssim": 0.5,
        "mse": 0.01,
        "retrieved": 0.25,
        "pictures": 256,
        "all": {attack: {"psnr_db": psnr_db}},
    }


def point(
    kind: str, bundle: str | None, codec: str, payload: float, accuracy: float, psnr: float | None
) -> dict[str, Any]:
    return {
        "kind": kind,
        "bundle": bundle,
        "digest": None if bundle is None else DIGESTS[bundle],
        "defence": None if bundle is None else bundle.partition("-")[2],
        "codec": codec,
        "network": None if bundle else {"digest": DIGESTS["drawnfaces-unprotected"]},
        "payload_bytes_mean": payload,
        "payload_bytes_p99": round(payload * 1.2),
        "payload_bytes_max": round(payload * 1.4),
        "accuracy": accuracy,
        "accuracy_interval": [accuracy - 0.01, min(1.0, accuracy + 0.01)],
        "pictures": 1_000,
        "feature_bytes_fp32": 12_288 if bundle else None,
        "leakage": None if psnr is None else leakage(psnr, "residual" if bundle else "reading"),
    }


def front() -> dict[str, Any]:
    own, open_ = "drawnfaces-siftfunnel", "drawnfaces-unprotected"
    return {
        "schema": 1,
        "kind": "front",
        "provenance": PROVENANCE,
        "dataset": "drawnfaces",
        "points": [
            point("post-training", own, "q8", 1_291, 0.98, 17.2),
            point("post-training", own, "q4", 613, 0.97, 16.4),
            point("rate-trained", own, "r1", 150, 0.965, 15.9),
            point("rate-trained", own, "r2", 220, 0.975, None),
            point("post-training", open_, "q4", 5_949, 0.99, 30.0),
            point("jpeg", None, "jpeg-q75", 1_507, 0.985, 35.0),
            point("jpeg", None, "jpeg-q20", 700, 0.95, 28.0),
            point("webp", None, "webp-q75", 1_100, 0.985, 34.0),
            point("raw", None, "raw", 12_288, 0.99, None),
        ],
    }
