"""The parts of a certificate as figures: each of them one step of the run folder."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.certify.case import Case
from siftfunnel.lab.certify.distortion import channel_nats, distortion_of, payload_nats, upper_limit
from siftfunnel.lab.certify.identification import gallery_of, noisy_figures, payload_figures
from siftfunnel.lab.certify.opponent import error_figures
from siftfunnel.lab.certify.published import Known, live_values, published_figures
from siftfunnel.lab.certify.sender import Noise, own_features
from siftfunnel.lab.certify.van_trees import Sketch, sketch, van_trees

CONFIDENCE, ATTACKED, LIVE_OF = 0.95, 200, 200
BOTH = 1 - (1 - CONFIDENCE) / 2
"""Of each of two bounds of which the better is taken."""
FIT_PROBES, SCORE_PROBES = 4, 2
MOST_PIXELS = 64 * 64
"""Of larger pictures the backward passes would not fit into memory."""


def attack_figures(case: Case) -> dict[str, Any]:
    """The opponent, fitted for each number of frames."""
    return {"by_frames": {str(f): replace(case.opponent, frames=f).about() for f in case.frames}}


def errors_on(case: Case, x_NCHW: Tensor) -> dict[str, Any]:
    """Its errors on some pictures."""
    found = {frames: replace(case.opponent, frames=frames).errors(x_NCHW) for frames in case.frames}
    return {"by_frames": {str(frames): error_figures(errors) for frames, errors in found.items()}}


def errors_on_ruler(case: Case) -> dict[str, Any]:
    """Its errors on pictures of the ruler that no bound was taken on."""
    return errors_on(case, case.ruler.draw(ATTACKED, case.request.seed + 3))


def errors_on_pictures(case: Case) -> dict[str, Any]:
    """Its errors on real pictures, of which the ruler's bounds do not speak."""
    images = case.scene.certified.spread(ATTACKED).images_NHWC
    return errors_on(case, to_floats(torch.from_numpy(np.ascontiguousarray(images))))


def rate_figures(case: Case) -> dict[str, Any]:
    """What the bytes leave open, of the ruler's pictures; frames of a stochastic device add up."""
    half = case.request.ruler_pictures // 2
    lengths = [len(payload) for payload in case.sender.payloads(case.ruler_pixels(2 * half))]
    possible = (case.sender.codec.min_payload_bytes, case.sender.codec.max_payload_bytes)
    nats = upper_limit(payload_nats(lengths[:half], lengths[half:], possible), CONFIDENCE)
    spectrum = case.ruler.spectrum_d
    return {
        "payload_bytes_mean": float(np.mean(lengths[half:])),
        "nats_upper": nats,
        "confidence": CONFIDENCE,
        "pictures": half,
        "by_frames": {str(f): {"mse": distortion_of(f * nats, spectrum)} for f in case.frames},
    }


def noise_figures(case: Case, noise: Noise) -> dict[str, Any]:
    """What the noise leaves open: both bounds at each number of frames, and the better.

    Both are of pictures as the ruler has them: van Trees needs what is smooth, and 8 bits are not.
    """
    half = case.request.ruler_pictures // 2
    x_NCHW = case.ruler.draw(2 * half, case.request.seed + 2)
    features = own_features(case.target, case.bundle.manifest.feature.shape)
    with torch.no_grad():
        clean = torch.cat([features(part) for part in torch.split(x_NCHW, 100)]) / noise.deviations_CHW
    flat = clean.flatten(1).double().numpy()
    reason = _no_gradients(case)
    passes = None if reason else _sketches(case, noise, features, x_NCHW)
    by_frames = {}
    for frames in case.frames:
        case.steps.show(f"noise: bounds at {frames} frames")
        nats = upper_limit(channel_nats(frames**0.5 * flat[:half], frames**0.5 * flat[half:]), BOTH)
        found = {"rate_distortion": distortion_of(nats, case.ruler.spectrum_d)}
        if passes is not None:
            found["van_trees"] = van_trees(*passes, case.ruler, frames=frames, confidence=BOTH)
        by_frames[str(frames)] = {"nats_upper": nats, **found, "mse": max(found.values())}
    return {
        "confidence": CONFIDENCE,
        "confidence_of_each": BOTH,
        "pictures": half,
        "note": noise.note,
        "van_trees_reason": reason,
        "fisher_trace": None if passes is None else float(passes[1].squares_N.mean()),
        "by_frames": by_frames,
    }


def _no_gradients(case: Case) -> str:
    """Why van Trees cannot be had; empty where it can."""
    height, width = case.target.input.height, case.target.input.width
    if not case.target.victim.white_box:
        return f"van Trees needs gradients: {case.target.access}"
    if height * width > MOST_PIXELS:
        return f"van Trees takes pictures of up to {MOST_PIXELS:,} pixels, not {height}x{width}"
    return ""


def _sketches(
    case: Case, noise: Noise, features: Callable[[Tensor], Tensor], x_NCHW: Tensor
) -> tuple[Sketch, Sketch]:
    half = len(x_NCHW) // 2
    generator = torch.Generator().manual_seed(case.request.seed)
    parts = ((x_NCHW[:half], FIT_PROBES), (x_NCHW[half:], SCORE_PROBES))
    fitted, scored = (
        sketch(features, noise.deviations_CHW, case.ruler, x, probes, generator, case.steps.show)
        for x, probes in parts
    )
    return fitted, scored


def identification_figures(case: Case) -> dict[str, Any]:
    """Which picture of a gallery was sent."""
    gallery = gallery_of(case.scene.certified.images_NHWC, case.request.gallery)
    if case.noise == "":
        return payload_figures(case.sender, gallery)
    if isinstance(case.noise, str):
        return {"reason": case.noise}
    return noisy_figures(case.sender.features(gallery), case.noise, case.frames, case.request.seed)


def guarantees(case: Case, rate: Mapping[str, Any], noise: Mapping[str, Any]) -> dict[str, Any]:
    """What published guarantees are worth here."""
    images = case.scene.certified.spread(LIVE_OF).images_NHWC
    by_noise = noise.get("by_frames", {}).get("1", {}).get("nats_upper", np.inf)
    fisher = noise.get("fisher_trace", np.inf)
    nats, live = min(rate["nats_upper"], by_noise), live_values(case.sender.features(images))
    return {"guarantees": published_figures(Known(case.ruler, nats, fisher, live))}
