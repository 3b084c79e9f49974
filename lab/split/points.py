"""Rate points: for each target a step, found by real payloads, the codec of it, and what that does."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.metrics.intervals import accuracy_interval, ci95_of_mean
from siftfunnel.lab.split.features import Arrays, Ends, Say, Seen
from siftfunnel.lab.split.fit_steps import Fitting
from siftfunnel.lab.split.funnel import Funnel, estimated_bytes, quantised, step_for
from siftfunnel.lab.split.settings import Target
from siftfunnel.shared.json_fields import Fields
from siftfunnel.shared.manifest import CodecSpec
from siftfunnel.shared.manifest_fields import as_json, read_codec
from siftfunnel.shared.tensors import TensorSpec, pack, pack_arrays, unpack_array
from siftfunnel.shared.wire import SealedCodec, calibrate_signed, packed

ROUNDS = 3
"""Of mending a step by real payloads; each brings it about ten times nearer."""
CLOSE = 0.01
_NO_DIGEST = "0" * 64
WORSE_OUTSIDE = 1.6
"""Times the divergence on pictures that were fitted to at which held-out ones say that those were too few."""


@dataclass(frozen=True)
class Point:
    """A rate point.

    Attributes:
        target: What it was to reach.
        step: Of all channels.
        spec: The codec.
    """

    target: Target
    step: float
    spec: CodecSpec


def codec_of(spec: CodecSpec, tensors: Sequence[TensorSpec]) -> SealedCodec:
    """A codec to measure with: sizes and values do not depend on the digest."""
    sent = tuple(tensors)
    return SealedCodec(spec, 0, pack(sent), _NO_DIGEST, sent)


def calibrated(name: str, z: Sequence[NDArray[np.float32]], step: float) -> CodecSpec:
    """The codec of a step: tables counted on these z, one array for each tensor."""
    # of several tensors one may be all zero at a step that suits the others
    specs = [calibrate_signed(name, values, min(step, float(np.abs(values).max()))) for values in z]
    return specs[0] if len(specs) == 1 else packed(name, specs)


def payloads(spec: CodecSpec, tensors: Sequence[TensorSpec], z: Arrays) -> list[bytes]:
    """Of frames."""
    codec = codec_of(spec, tensors)
    return [codec.encode(frame) for frame in pack_arrays(z, tuple(tensors))]


def through(spec: CodecSpec, tensors: Sequence[TensorSpec], z: Arrays) -> tuple[NDArray[np.int64], Arrays]:
    """Payload sizes of frames, and what arrives."""
    codec, sent = codec_of(spec, tensors), payloads(spec, tensors, z)
    arrived = np.stack([codec.decode(payload) for payload in sent])
    return np.array([len(payload) for payload in sent], np.int64), unpack_array(arrived, tuple(tensors))


def find_points(by: Fitting, funnel: Funnel, targets: Sequence[Target]) -> tuple[Funnel, tuple[Point, ...]]:
    """A step and a codec for each target, and the funnel with the channels that they need.

    Steps are found by estimates first, channels that are zero at the finest are dropped, then real payloads
    of held-out pictures mend the steps of byte targets. What is finished is kept, if there is where.
    """
    known, z = funnel.encode(by.fitted.tensors), funnel.encode(by.held_out.tensors)
    steps = []
    for target in targets:

        def find(target: Target = target) -> dict[str, Any]:
            return {"step": _first_step(by, funnel, known, z, target)}

        steps.append(float(by.keep.values(f"step-{target.name}", find)["step"]))
    # somewhat finer than the finest, so that mending a step needs no channel that was dropped
    small = funnel.without_unused(known, 0.85 * min(steps))
    known, z = small.encode(by.fitted.tensors), small.encode(by.held_out.tensors)
    tensors = [part.sent for part in small.parts]
    points = []
    for target, step in zip(targets, steps, strict=True):

        def mend(target: Target = target, step: float = step) -> dict[str, Any]:
            mended, spec = _mended(target, step, tensors, known, z)
            by.say(f"{target.name}: step {mended / funnel.unit:.3g} of a deviation")
            return {"step": mended, "codec": as_json(spec)}

        found = by.keep.values(f"point-{target.name}", mend)
        points.append(Point(target, found["step"], read_codec(Fields(dict(found["codec"]), "a kept step"))))
    return small, tuple(points)


def _first_step(by: Fitting, funnel: Funnel, known: Arrays, z: Arrays, target: Target) -> float:
    if target.bytes is not None:
        return step_for(lambda step: estimated_bytes(known, z, step), target.bytes, funnel.unit)
    assert target.agreement is not None

    def agreement(step: float) -> float:
        outputs = by.ends.cloud(funnel.decode(quantised(z, step)))
        return float(by.held_out.likeness.agreement_N(outputs).mean())

    return step_of_agreement(agreement, target.agreement, funnel.unit, by.say)


def step_of_agreement(
    agreement: Callable[[float], float], wanted: float, unit: float, say: Say, *, ratio: float = 1.25
) -> float:
    """The coarsest step of a ladder, joined by straight lines, at which agreement is what is wanted.

    Agreement of some hundred pictures wobbles: the mean of three neighbours on the ladder is looked at.

    Raises:
        ValueError: the finest step of the ladder gives less.
    """
    steps = [unit * ratio**n for n in (-1, 0, 1)]
    found = [agreement(step) for step in steps]
    while np.mean(found[:3]) < wanted and steps[0] > unit / 256:
        steps.insert(0, steps[0] / ratio)
        found.insert(0, agreement(steps[0]))
    while np.mean(found[-3:]) >= wanted and steps[-1] < unit * 256:
        steps.append(steps[-1] * ratio)
        found.append(agreement(steps[-1]))
    smooth = np.convolve(found, np.ones(3) / 3, mode="valid")
    falling = np.minimum.accumulate(smooth)
    say(
        "agreement "
        + ", ".join(f"{s / unit:.2g}: {a:.3f}" for s, a in zip(steps[1:-1], falling, strict=True))
    )
    if falling[0] < wanted:
        raise ValueError(
            f"agreement {wanted:.1%} is more than the finest step's {falling[0]:.1%}: ask for less, or cut "
            "elsewhere"
        )
    return float(math.exp(np.interp(-wanted, -falling, np.log(steps[1:-1]))))


def _mended(
    target: Target, step: float, tensors: Sequence[TensorSpec], known: Arrays, z: Arrays
) -> tuple[float, CodecSpec]:
    spec = calibrated(target.name, known, step)
    for _ in range(ROUNDS if target.bytes is not None else 0):
        assert target.bytes is not None
        excess = float(np.mean(list(map(len, payloads(spec, tensors, z))))) / target.bytes
        if abs(excess - 1) < CLOSE:
            break
        # bytes fall somewhat faster than steps grow
        step *= excess**0.8
        spec = calibrated(target.name, known, step)
    return step, spec


def figures(spec: CodecSpec, ends: Ends, funnel: Funnel | None, seen: Seen) -> tuple[dict[str, Any], Arrays]:
    """What a codec does on pictures, through real payloads, and the outputs for what arrived."""
    sent = [part.sent for part in funnel.parts] if funnel else ends.halves.tensors
    sizes, arrived = through(spec, sent, funnel.encode(seen.tensors) if funnel else seen.tensors)
    outputs = ends.cloud(funnel.decode(arrived) if funnel else arrived)
    told = {
        "payload_bytes_mean": round(float(sizes.mean()), 1),
        "payload_bytes_p95": round(float(np.percentile(sizes, 95)), 1),
        **agreement_figures(seen.likeness.agreement_N(outputs), seen.likeness.is_share),
    }
    return told, outputs


def told_points(by: Fitting, funnel: Funnel, points: Sequence[Point]) -> dict[str, Any]:
    """Figures of rate points on held-out pictures and, for the first, on as many that were fitted to."""
    ends, fitted, held_out, say = by.ends, by.fitted, by.held_out, by.say
    found = {point.target.name: _with_divergence(point.spec, ends, funnel, held_out) for point in points}
    for name, figure in found.items():
        low, high = figure["agreement_ci95"]
        say(
            f"{name}: {figure['payload_bytes_mean']:,.0f} bytes, agreement {figure['agreement']:.1%} "
            f"({low:.1%} to {high:.1%})"
        )
    first, constant = points[0], round(held_out.likeness.of_a_constant(), 4)
    inside = _with_divergence(first.spec, ends, funnel, fitted.take(slice(0, len(held_out)), ends))
    default = found[first.target.name]
    notes = too_few(inside, default, len(fitted)) + no_more_than(constant, first.target.name, default)
    for note in notes:
        say(note)
    return {
        "points": found,
        "first_point_on_fitted": inside,
        "agreement_is": held_out.likeness.measure,
        "agreement_of_a_constant_answer": constant,
        "importance": funnel.importance,
        "sides": [part.side for part in funnel.parts],
        "channels": [part.channels for part in funnel.parts],
        "notes": notes,
    }


def _with_divergence(spec: CodecSpec, ends: Ends, funnel: Funnel, seen: Seen) -> dict[str, Any]:
    told, outputs = figures(spec, ends, funnel, seen)
    return {**told, "divergence_mean": round(float(seen.likeness.divergence_N(outputs).mean()), 5)}


def too_few(inside: Mapping[str, Any], outside: Mapping[str, Any], fitted: int) -> list[str]:
    """Whether pictures that were fitted to fare so much better that more of them are wanted.

    >>> figure = {"divergence_mean": 0.1, "payload_bytes_mean": 1000.0}
    >>> too_few(figure, figure, 300)
    []
    """
    # bytes are a part of the price: divergence falls with their power of about 1.5
    excess = (outside["payload_bytes_mean"] / inside["payload_bytes_mean"]) ** 1.5
    times = excess * (outside["divergence_mean"] + 1e-9) / (inside["divergence_mean"] + 1e-9)
    if times < WORSE_OUTSIDE:
        return []
    return [
        f"{fitted} pictures are too few for this cut: at equal bytes held-out ones diverge {times:.1f} times "
        "as much as those that were fitted to; add pictures, some hundred say more, or cut where tensors are "
        "smaller"
    ]


def no_more_than(constant: float, codec: str, figure: Mapping[str, Any]) -> list[str]:
    """Whether an answer that never changes may agree as well as a codec, so that pictures do not tell.

    >>> no_more_than(0.1, "l60", {"agreement": 0.9, "agreement_ci95": [0.85, 0.95]})
    []
    """
    if figure["agreement_ci95"][0] > constant:
        return []
    return [
        f"an answer that never changes has an agreement of {constant:.1%} on these pictures, {codec} "
        f"{figure['agreement']:.1%}: they do not show what the funnel keeps; take others, which the network "
        "answers differently, or more of them"
    ]


def agreement_figures(agreement_N: NDArray[Any], is_share: bool) -> dict[str, Any]:
    """Mean agreement with its 95 % interval: Wilson's of a share, the bootstrap's of a mean."""
    mean = float(agreement_N.mean())
    interval = (
        accuracy_interval(round(float(agreement_N.sum())), len(agreement_N))
        if is_share
        else ci95_of_mean(agreement_N)
    )
    return {"agreement": round(mean, 4), "agreement_ci95": [round(end, 4) for end in interval]}
