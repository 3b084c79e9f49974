"""Accuracy, bytes per frame and information: what is measured without an attack."""

import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.audit.budgets import Budget
from siftfunnel.lab.audit.judging import Judge, make_judge
from siftfunnel.lab.audit.lengths import length_figures
from siftfunnel.lab.audit.risks import risk_figures
from siftfunnel.lab.audit.subject import AuditSubject
from siftfunnel.lab.data.images import ImageSet
from siftfunnel.lab.evaluation.information import information_of
from siftfunnel.lab.evaluation.subject import observed
from siftfunnel.lab.graphs.graph_input import is_plain
from siftfunnel.shared.preprocess import normalise
from siftfunnel.shared.tensors import TensorSpec, pack
from siftfunnel.shared.wire import SealedCodec, calibrate_tensors

CALIBRATION_PICTURES = 500
CODED_PICTURES = 500
CONTROL_PICTURES = 1_000
JPEG_QUALITY = 75
FULL_PIXELS = 64 * 64
CRITIC_SIDE = 64
REFERENCE_VALUES = 60_000_000

# sizes and values of a payload do not depend on the digest that seals it
_NO_DIGEST = "0" * 64


def accuracy_figures(subject: AuditSubject) -> dict[str, Any]:
    """Accuracy or agreement on the measured pictures with an interval, or the reason why there is none."""
    judge = make_judge(subject)
    if isinstance(judge, str):
        return {"measured": False, "reason": judge}
    return judge.figures(observed(subject.target.victim, subject.measured), subject.measured)


def wire_figures(subject: AuditSubject) -> dict[str, Any]:
    """Mean payload of every codec and how good the answers are, and of the picture as JPEG instead."""
    judge = make_judge(subject)
    images = subject.measured.spread(min(CODED_PICTURES, len(subject.measured)))
    maps = observed(subject.target.sender, images)
    codecs, origin = _codecs(subject)
    values = subject.target.layout.to_own(maps).numpy().reshape(len(maps), *_as_three(subject))
    figures = {}
    for codec in codecs:
        payloads = [codec.encode(np.ascontiguousarray(feature)) for feature in values]
        entry: dict[str, Any] = {"payload_bytes_mean": float(np.mean([len(payload) for payload in payloads]))}
        if not isinstance(judge, str):
            restored = np.stack([codec.decode(payload) for payload in payloads])
            own = torch.from_numpy(restored.reshape(len(restored), *subject.target.layout.own))
            entry |= judge.entry(subject.target.layout.to_maps(own), images)
        figures[codec.name] = entry
    return {
        "codecs": figures,
        "origin": origin,
        "default": subject.target.default_codec,
        "pictures": len(images),
        f"jpeg_quality_{JPEG_QUALITY}": _jpeg(subject, images, judge),
    }


def sizes_of_frames(subject: AuditSubject, wire: Mapping[str, Any]) -> dict[str, Any]:
    """What the lengths of frames tell an observer, with and without padding; see ``length_figures``."""
    images = subject.measured.spread(min(CODED_PICTURES, len(subject.measured)))
    name = subject.target.heard or default_codec(wire)
    codec = next(each for each in _codecs(subject)[0] if each.name == name)
    maps = observed(subject.target.sender, images)
    values = subject.target.layout.to_own(maps).numpy().reshape(len(maps), *_as_three(subject))
    sizes_N = np.array([len(codec.encode(np.ascontiguousarray(feature))) for feature in values])
    classes_N = images.labels if subject.is_labelled else None
    return {"codec": name, "pictures": len(images), "paddings": length_figures(sizes_N, classes_N)}


def answers_of(subject: AuditSubject, images: ImageSet) -> NDArray[np.int64] | None:
    """What the network answers to what is overheard of pictures; None where it gives no class scores."""
    if subject.target.logits is None:
        return None
    own = subject.target.layout.to_own(observed(subject.target.victim, images)).contiguous().numpy()
    return np.asarray(subject.target.logits(own).argmax(1), dtype=np.int64)


def risks_of(subject: AuditSubject, restored_NCHW: Tensor) -> dict[str, Any]:
    """The risks of what an attack restored, ``uint8``; see ``risk_figures``."""
    own = subject.auxiliary.spread(min(CONTROL_PICTURES, len(subject.auxiliary)))
    assert subject.judge is not None
    is_person = subject.target.label_kind == "identity" and subject.is_labelled
    return risk_figures(
        subject.x_NCHW,
        restored_NCHW.float() / 255,
        to_floats(torch.from_numpy(own.images_NHWC)),
        subject.judge,
        answers_N=answers_of(subject, subject.attacked),
        own_answers_N=answers_of(subject, own),
        people_N=subject.attacked.labels if is_person else None,
    )


def default_codec(wire: Mapping[str, Any]) -> str:
    """The recommended codec; for a network that has none, 8 bits per value."""
    return wire["default"] or "q8"


def _as_three(subject: AuditSubject) -> tuple[int, int, int]:
    """The feature's own shape as channels, height, width, for codecs; tokens and vectors get sides of 1."""
    own = subject.target.layout.own
    return (own[0], own[1] if len(own) > 1 else 1, own[2] if len(own) > 2 else 1)


def _codecs(subject: AuditSubject) -> tuple[tuple[SealedCodec, ...], str]:
    if subject.target.codecs:
        return subject.target.codecs, "the bundle's"
    few = subject.auxiliary.spread(min(CALIBRATION_PICTURES, len(subject.auxiliary)))
    tensors = [values.numpy() for values in _unmapped(subject, observed(subject.target.sender, few))]
    sent = tuple(TensorSpec(f"tensor {index}", values.shape[1:]) for index, values in enumerate(tensors))
    feature = pack(sent)
    packed = sent if len(sent) > 1 else ()
    made = tuple(
        SealedCodec(spec, index, feature, _NO_DIGEST, packed)
        for index, spec in enumerate(calibrate_tensors(tensors, sent))
    )
    return made, "siftfunnel's, calibrated on the attacker's pictures"


def _jpeg(subject: AuditSubject, images: ImageSet, judge: Judge | str) -> dict[str, Any]:
    sizes, restored = [], []
    for picture in images.images_NHWC:
        stored = io.BytesIO()
        Image.fromarray(picture).save(stored, format="JPEG", quality=JPEG_QUALITY)
        sizes.append(len(stored.getvalue()))
        restored.append(np.asarray(Image.open(stored).convert("RGB")))
    entry: dict[str, Any] = {"payload_bytes_mean": float(np.mean(sizes))}
    if not isinstance(judge, str):
        again = ImageSet(np.stack(restored), images.labels, images.classes)
        entry |= judge.entry(observed(subject.target.sender, again), images)
    return entry


def reference_auxiliary(subject: AuditSubject) -> ImageSet:
    """The attacker's pictures for the reference rows; of large ones as many as a search takes in memory."""
    height, width = subject.x_NCHW.shape[2:]
    if height * width <= FULL_PIXELS:
        return subject.auxiliary
    return subject.auxiliary.spread(max(1, REFERENCE_VALUES // (3 * height * width)))


def information_figures(subject: AuditSubject, budget: Budget) -> dict[str, Any]:
    """What the feature says of the picture by measures that look at neither attack nor answer.

    The critic trains on the attacker's pictures and is judged on the attacked ones.
    """
    torch.manual_seed(subject.seed)
    own = subject.auxiliary.spread(min(budget.information_pictures, len(subject.auxiliary)))
    known, attacked = (
        (_critic_pictures(subject, images), observed(subject.victim, images))
        for images in (own, subject.attacked)
    )
    return {
        **information_of(
            known,
            attacked,
            steps=budget.information_steps,
            seed=subject.seed,
            device=subject.victim.device,
            tensors=lambda maps_NCHW: _unmapped(subject, maps_NCHW),
        ),
        "picture_bits": int(subject.attacked.images_NHWC[0].size * 8),
        "pictures": len(subject.attacked),
    }


def _critic_pictures(subject: AuditSubject, images: ImageSet) -> Tensor:
    """Pictures for the critic; large ones shrunk, which can only lower its bound."""
    height, width = subject.x_NCHW.shape[2:]
    if is_plain(subject.target.input) and height * width <= FULL_PIXELS:
        return torch.from_numpy(normalise(images.images_NHWC, subject.target.input))
    x_NCHW = to_floats(torch.from_numpy(images.images_NHWC))
    if height * width <= FULL_PIXELS:
        return x_NCHW
    return functional.interpolate(x_NCHW, size=(CRITIC_SIDE, CRITIC_SIDE), mode="area")


def _unmapped(subject: AuditSubject, maps_NCHW: Tensor) -> list[Tensor]:
    """The tensors of a frame with their own number of values, each N x C x H x W; others get sides of 1."""
    layout = subject.target.layout
    rows = layout.to_own(maps_NCHW).flatten(1)
    shapes = layout.tensors if len(layout.tensors) > 1 else (_as_three(subject),)
    features = [TensorSpec("tensor", shape).as_feature.shape for shape in shapes]
    parts = torch.split(rows, [math.prod(shape) for shape in features], dim=1)
    return [part.reshape(len(part), *shape).contiguous() for part, shape in zip(parts, features, strict=True)]
