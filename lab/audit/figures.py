"""Accuracy, bytes per frame and information: what is measured without an attack."""

import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from siftfunnel.lab.attacks.victim import at_once, to_floats
from siftfunnel.lab.audit.budgets import Budget
from siftfunnel.lab.audit.subject import Subject
from siftfunnel.lab.data import ImageSet
from siftfunnel.lab.metrics.information import effective_information_mean, entropy_coded_bits, info_nce
from siftfunnel.lab.metrics.intervals import accuracy_interval
from siftfunnel.lab.metrics.references import reference_pictures
from siftfunnel.lab.study.measure import REFERENCE_SEED
from siftfunnel.shared.manifest import FeatureSpec
from siftfunnel.shared.preprocess import normalise
from siftfunnel.shared.wire import SealedCodec, calibrate

CALIBRATION_PICTURES = 500
CODED_PICTURES = 500
JPEG_QUALITY = 75

# sizes and values of a payload do not depend on the digest that seals it
_NO_DIGEST = "0" * 64


def sent_features(subject: Subject, images: ImageSet) -> Tensor:
    """What the device sends of pictures, as maps, on the CPU; a stochastic stage draws its noise."""
    victim = subject.target.victim
    with torch.no_grad():
        return torch.cat(
            [
                victim.observe(to_floats(part.to(victim.device))).cpu()
                for part in torch.split(torch.from_numpy(images.images_NHWC), at_once(victim.image_shape))
            ]
        )


class Judge:
    """The cloud half's answers against the data set's labels, where both speak of the same classes."""

    def __init__(self, subject: Subject, positions: NDArray[np.int64]) -> None:
        assert subject.target.logits is not None
        self._logits, self._layout, self._positions = subject.target.logits, subject.target.layout, positions

    def right(self, maps_NCHW: Tensor, labels_N: NDArray[np.int64]) -> NDArray[np.float64]:
        """1 for each right answer, else 0."""
        own = self._layout.to_own(maps_NCHW).contiguous().numpy()
        answers: NDArray[np.float64] = (self._logits(own).argmax(1) == self._positions[labels_N]).astype(
            float
        )
        return answers


def make_judge(subject: Subject) -> Judge | str:
    """The judge, or why accuracy cannot be measured."""
    target = subject.target
    if target.logits is None:
        return "there is no cloud half"
    names = subject.measured.classes
    if target.classes is None:
        return Judge(subject, np.arange(len(names), dtype=np.int64))
    missing = [name for name in names if name not in target.classes]
    if missing:
        return f"the network does not know the data set's class {missing[0]!r}"
    return Judge(subject, np.array([target.classes.index(name) for name in names], dtype=np.int64))


def accuracy_figures(subject: Subject) -> dict[str, Any]:
    """Accuracy on the measured pictures with an interval over pictures, or the reason why there is none."""
    judge = make_judge(subject)
    if isinstance(judge, str):
        return {"measured": False, "reason": judge}
    right_N = judge.right(sent_features(subject, subject.measured), subject.measured.labels)
    return {
        "measured": True,
        "mean": float(right_N.mean()),
        "ci95": accuracy_interval(int(right_N.sum()), len(right_N)),
        "pictures": len(right_N),
    }


def wire_figures(subject: Subject) -> dict[str, Any]:
    """Mean payload and accuracy of every codec, and of sending the picture as JPEG instead."""
    judge = make_judge(subject)
    images = subject.measured.spread(min(CODED_PICTURES, len(subject.measured)))
    maps = sent_features(subject, images)
    codecs, origin = _codecs(subject)
    values = subject.target.layout.to_own(maps).numpy().reshape(len(maps), *_as_three(subject))
    figures = {}
    for codec in codecs:
        payloads = [codec.encode(np.ascontiguousarray(feature)) for feature in values]
        entry: dict[str, Any] = {"payload_bytes_mean": float(np.mean([len(payload) for payload in payloads]))}
        if isinstance(judge, Judge):
            restored = np.stack([codec.decode(payload) for payload in payloads])
            own = torch.from_numpy(restored.reshape(len(restored), *subject.target.layout.own))
            entry["accuracy"] = float(judge.right(subject.target.layout.to_maps(own), images.labels).mean())
        figures[codec.name] = entry
    return {
        "codecs": figures,
        "origin": origin,
        "default": subject.target.default_codec,
        "pictures": len(images),
        f"jpeg_quality_{JPEG_QUALITY}": _jpeg(subject, images, judge),
    }


def _as_three(subject: Subject) -> tuple[int, int, int]:
    """The feature's own shape as channels, height, width, for codecs; tokens and vectors get sides of 1."""
    own = subject.target.layout.own
    return (own[0], own[1] if len(own) > 1 else 1, own[2] if len(own) > 2 else 1)


def _codecs(subject: Subject) -> tuple[tuple[SealedCodec, ...], str]:
    if subject.target.codecs:
        return subject.target.codecs, "the bundle's"
    few = subject.auxiliary.spread(min(CALIBRATION_PICTURES, len(subject.auxiliary)))
    own = subject.target.layout.to_own(sent_features(subject, few)).numpy()
    shape = _as_three(subject)
    specs = calibrate(np.ascontiguousarray(own.reshape(len(own), *shape), dtype=np.float32))
    made = tuple(
        SealedCodec(spec, index, FeatureSpec(*shape), _NO_DIGEST) for index, spec in enumerate(specs)
    )
    return made, "siftfunnel's, calibrated on the attacker's pictures"


def _jpeg(subject: Subject, images: ImageSet, judge: Judge | str) -> dict[str, Any]:
    sizes, restored = [], []
    for picture in images.images_NHWC:
        stored = io.BytesIO()
        Image.fromarray(picture).save(stored, format="JPEG", quality=JPEG_QUALITY)
        sizes.append(len(stored.getvalue()))
        restored.append(np.asarray(Image.open(stored).convert("RGB")))
    entry: dict[str, Any] = {"payload_bytes_mean": float(np.mean(sizes))}
    if isinstance(judge, Judge):
        again = ImageSet(np.stack(restored), images.labels, images.classes)
        entry["accuracy"] = float(judge.right(sent_features(subject, again), images.labels).mean())
    return entry


def reference_row(name: str, x_NCHW: Tensor, auxiliary: ImageSet) -> Tensor:
    """The "restored" pictures of a reference row, as ``siftfunnel.lab.study.measure`` scores them."""
    own = to_floats(torch.from_numpy(auxiliary.images_NHWC))
    return reference_pictures(name, x_NCHW, own, REFERENCE_SEED)


def information_figures(subject: Subject, budget: Budget, seed: int) -> dict[str, Any]:
    """What the feature says of the picture by measures that look at neither attack nor answer.

    The critic trains on the attacker's pictures and is judged on the attacked ones.
    """
    torch.manual_seed(seed)
    own = subject.auxiliary.spread(min(budget.information_pictures, len(subject.auxiliary)))
    z_own, z = sent_features(subject, own), sent_features(subject, subject.attacked)
    x_own, x = (
        torch.from_numpy(normalise(images.images_NHWC, subject.target.input))
        for images in (own, subject.attacked)
    )
    coded = entropy_coded_bits(*(_unmapped(subject, values) for values in (z_own, z)))
    contrast = info_nce(
        x_own, z_own, x, z, steps=budget.information_steps, seed=seed, device=subject.target.victim.device
    )
    return {
        "effective_information_mean": effective_information_mean(_unmapped(subject, z)),
        "feature_values": int(np.prod(subject.target.layout.own)),
        "info_nce": {"nats": contrast.nats, "ceiling_nats": contrast.ceiling_nats},
        "retrieval_rank1_from_feature": contrast.retrieval_rank1,
        "entropy_coded_bits": {"mean": coded.mean_bits, "p95": coded.p95_bits, "max": coded.max_bits},
        "picture_bits": int(subject.attacked.images_NHWC[0].size * 8),
        "pictures": len(subject.attacked),
    }


def _unmapped(subject: Subject, maps_NCHW: Tensor) -> Tensor:
    """Features with their own number of values, as N x C x H x W."""
    own = subject.target.layout.to_own(maps_NCHW)
    return own.reshape(len(own), *_as_three(subject)).contiguous()
