"""Choose steps and frequency tables from real features, once, when a bundle is exported."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.manifest import CodecKind, CodecSpec, FeatureSpec, TensorSpec
from siftfunnel.shared.wire.context_body import ContextBody
from siftfunnel.shared.wire.kinds import AFFINE_LEVELS, encode_array, make_body
from siftfunnel.shared.wire.quantiser import Quantiser
from siftfunnel.shared.wire.tables import PRECISION_BITS, counts_from_histogram

TABLE_BITS: Mapping[str, int] = MappingProxyType({"q8": 8, "q7": 7, "q6": 6, "q5": 5, "q4": 4})

# shares of the values that a range keeps, beside the whole range
_KEPT_SHARES = (0.9999, 0.999, 0.995, 0.99)
_VALUES_FOR_CHOICE = 16_384
_LEAST_RANGE = 1e-12

_Range = tuple[NDArray[np.float64], NDArray[np.float64]]


def calibrate(features_NCHW: NDArray[np.float32]) -> tuple[CodecSpec, ...]:
    """Codecs fp32, fp16, int8, q8, q7, q6, q5, q4 for features like these.

    Each step covers zero and the range of values, cut at the percentile that gives the least
    squared error; what lies outside saturates. Tables count levels over all given features.

    Args:
        features_NCHW: float32 features of some hundred pictures that the model was not trained on.

    Raises:
        ValueError: another rank or type, no features, NaN or infinity.
    """
    check_features(features_NCHW)
    channels = features_NCHW.shape[1]
    values = np.ascontiguousarray(features_NCHW.transpose(1, 0, 2, 3)).reshape(channels, -1)
    ranges = _candidate_ranges(values)
    tables = [_table_codec(name, values, ranges, 1 << bits) for name, bits in TABLE_BITS.items()]
    return (
        CodecSpec("fp32", "float", {"dtype": "float32"}),
        CodecSpec("fp16", "float", {"dtype": "float16"}),
        _affine_codec(values),
        *tables,
    )


def check_features(features_NCHW: NDArray[np.float32]) -> None:
    """Refuse what no codec can be calibrated on.

    Raises:
        ValueError: another rank or type, no features, NaN or infinity.
    """
    if features_NCHW.ndim != 4 or features_NCHW.dtype != np.float32 or features_NCHW.size == 0:
        raise ValueError(
            "expected float32 features of shape (N, C, H, W), "
            f"not {features_NCHW.dtype} {features_NCHW.shape}"
        )
    if not np.isfinite(features_NCHW).all():
        raise ValueError("features hold NaN or infinity; check the edge half")


def measured_codec(
    name: str,
    kind: CodecKind,
    parameters: dict[str, Any],
    features_NCHW: NDArray[np.float32],
    times: float,
    least_bytes: int,
) -> CodecSpec:
    """A codec that chooses tables by context, its mean payload on some features and its ceiling filled in.

    Args:
        name: of the codec.
        kind: "lattice" or "signed".
        parameters: all others of that kind.
        features_NCHW: some hundred, on which the tables were counted.
        times: the ceiling in mean payloads.
        least_bytes: what the ceiling is at least, unless a payload is never as long.
    """
    channels, height, width = features_NCHW.shape[1:]
    most_bytes = 4 * features_NCHW[0].size + 16
    unmeasured = CodecSpec(name, kind, {**parameters, "most_bytes": most_bytes, "mean_bytes": 0.0})
    body = make_body(unmeasured, FeatureSpec(channels, height, width))
    assert isinstance(body, ContextBody)
    mean_bytes = body.mean_bytes(features_NCHW.reshape(-1, channels, height * width))
    ceiling = min(most_bytes, max(int(times * mean_bytes), least_bytes))
    return CodecSpec(name, kind, {**parameters, "most_bytes": ceiling, "mean_bytes": round(mean_bytes, 2)})


def calibrate_tensors(
    values: Sequence[NDArray[np.float32]], sent: tuple[TensorSpec, ...]
) -> tuple[CodecSpec, ...]:
    """The codecs of `calibrate` for one or several tensors of any rank.

    Args:
        values: of each tensor, float32 (N, *shape).
        sent: the tensors, in the order in which they are packed.

    Raises:
        ValueError: as `calibrate`; the text names the tensor.
    """
    made = []
    for tensor, its in zip(sent, values, strict=True):
        if its.shape[1:] != tensor.shape:
            raise ValueError(f"tensor {tensor.name}: expected shape (N, {tensor.shape}), not {its.shape}")
        try:
            made.append(calibrate(np.ascontiguousarray(its.reshape(len(its), *tensor.as_feature.shape))))
        except ValueError as error:
            raise ValueError(f"tensor {tensor.name}: {error}") from None
    if len(made) == 1:
        return made[0]
    return tuple(packed(parts[0].name, parts) for parts in zip(*made, strict=True))


def packed(name: str, parts: Sequence[CodecSpec]) -> CodecSpec:
    """One codec for several tensors, from a codec of each in the order in which they are packed."""
    told = [{"kind": part.kind, "parameters": dict(part.parameters)} for part in parts]
    return CodecSpec(name, "packed", {"parts": told})


def _affine_codec(values: NDArray[np.float32]) -> CodecSpec:
    pooled = values.reshape(1, -1)
    quantiser = _choose_quantiser(pooled, _candidate_ranges(pooled), AFFINE_LEVELS)
    parameters = {"step": float(quantiser.steps[0]), "zero_level": int(quantiser.zero_levels[0])}
    return CodecSpec("int8", "affine", parameters)


def _table_codec(name: str, values: NDArray[np.float32], ranges: list[_Range], levels: int) -> CodecSpec:
    quantiser = _choose_quantiser(values, ranges, levels)
    symbols = quantiser.quantise(values)
    counts = [counts_from_histogram(np.bincount(row, minlength=levels)) for row in symbols]
    parameters: dict[str, Any] = {
        "levels": levels,
        "precision_bits": PRECISION_BITS,
        "steps": encode_array(quantiser.steps, "<f4"),
        "zero_levels": encode_array(quantiser.zero_levels, "u1"),
        "counts": encode_array(np.stack(counts), "<u2"),
    }
    return CodecSpec(name, "table", parameters)


def _sample(values: NDArray[np.float32]) -> NDArray[np.float32]:
    # an odd stride, so that it does not fall in with the width of a map
    stride = max(1, values.shape[1] // _VALUES_FOR_CHOICE) | 1
    return np.ascontiguousarray(values[:, ::stride])


def _candidate_ranges(values: NDArray[np.float32]) -> list[_Range]:
    """Ranges (low, high), each of shape (G,), widest first; zero lies in all of them."""
    tails = np.array([(1.0 - share) / 2 for share in _KEPT_SHARES])
    lows, highs = np.split(np.quantile(_sample(values), np.concatenate([tails, 1.0 - tails]), axis=1), 2)
    whole = (values.min(axis=1).astype(np.float64), values.max(axis=1).astype(np.float64))
    ranges = [whole, *zip(lows, highs, strict=True)]
    return [(np.minimum(low, 0.0), np.maximum(high, 0.0)) for low, high in ranges]


def _choose_quantiser(values: NDArray[np.float32], ranges: list[_Range], levels: int) -> Quantiser:
    """Per channel the candidate with the least squared error; the wider of equals."""
    sample = _sample(values)
    candidates = [_cover(low, high, levels) for low, high in ranges]
    errors = [_squared_errors(quantiser, sample) for quantiser in candidates]
    best = np.argmin(np.stack(errors), axis=0)
    channels = np.arange(len(sample))
    steps = np.stack([quantiser.steps for quantiser in candidates])[best, channels]
    zero_levels = np.stack([quantiser.zero_levels for quantiser in candidates])[best, channels]
    return Quantiser(levels, steps, zero_levels)


def _squared_errors(quantiser: Quantiser, sample: NDArray[np.float32]) -> NDArray[np.float64]:
    difference = quantiser.dequantise(quantiser.quantise(sample)) - sample
    return np.asarray(np.square(difference, dtype=np.float64).mean(axis=1))


def _cover(low: NDArray[np.float64], high: NDArray[np.float64], levels: int) -> Quantiser:
    """The quantiser whose levels reach from `low` to `high` in each channel, zero among them.

    A side shorter than half a step gets no level: its values round to zero. A channel that is
    always zero gets a step of 1.
    """
    width = high - low
    dead = width < _LEAST_RANGE
    below, width = np.where(dead, 0.0, -low), np.where(dead, levels - 1.0, width)
    zero_levels = np.rint(below / width * (levels - 1)).astype(np.int32)
    # rounding the zero level shortens one side: stretch the step until it is inside
    step_below = np.where(zero_levels > 0, below / np.maximum(zero_levels, 1), 0.0)
    levels_above = levels - 1 - zero_levels
    step_above = np.where(levels_above > 0, (width - below) / np.maximum(levels_above, 1), 0.0)
    return Quantiser(levels, np.maximum(step_below, step_above).astype(np.float32), zero_levels)
