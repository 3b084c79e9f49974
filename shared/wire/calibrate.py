"""Choose steps and frequency tables from real features, once, when a bundle is exported."""

import base64
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.manifest import CodecSpec
from shared.wire.quantiser import Quantiser
from shared.wire.tables import PRECISION_BITS, counts_from_histogram

TABLE_BITS: Mapping[str, int] = MappingProxyType({"q8": 8, "q7": 7, "q6": 6, "q5": 5, "q4": 4})

# shares of the values that the range keeps; the one with the least squared error is taken
_KEPT_SHARES = (1.0, 0.9999, 0.999, 0.995, 0.99)
_VALUES_FOR_CHOICE = 16_384
_LEAST_RANGE = 1e-12


def calibrate(features_NCHW: NDArray[np.float32]) -> tuple[CodecSpec, ...]:
    """Codecs fp32, fp16, int8, q8, q7, q6, q5, q4 for features like these.

    Each step covers zero and the range of values, cut at the percentile that gives the least
    squared error; what lies outside saturates. Tables count levels over all given features.

    Args:
        features_NCHW: float32 features of some hundred pictures that the model was not trained on.

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
    channels = features_NCHW.shape[1]
    values = np.ascontiguousarray(features_NCHW.transpose(1, 0, 2, 3)).reshape(channels, -1)
    tables = [_table_codec(name, values, 1 << bits) for name, bits in TABLE_BITS.items()]
    return (
        CodecSpec("fp32", "float", {"dtype": "float32"}),
        CodecSpec("fp16", "float", {"dtype": "float16"}),
        _affine_codec(values),
        *tables,
    )


def _affine_codec(values: NDArray[np.float32]) -> CodecSpec:
    step, zero_level = _choose_step(values.reshape(-1), levels=256)
    return CodecSpec("int8", "affine", {"step": step, "zero_level": zero_level})


def _table_codec(name: str, values: NDArray[np.float32], levels: int) -> CodecSpec:
    chosen = [_choose_step(channel, levels) for channel in values]
    steps = np.array([step for step, _ in chosen], dtype=np.float32)
    zero_levels = np.array([zero_level for _, zero_level in chosen], dtype=np.int32)
    symbols = Quantiser(levels, steps, zero_levels).quantise(values)
    counts = [counts_from_histogram(np.bincount(row, minlength=levels)) for row in symbols]
    parameters: dict[str, Any] = {
        "levels": levels,
        "precision_bits": PRECISION_BITS,
        "steps": _base64(steps, "<f4"),
        "zero_levels": _base64(zero_levels, "u1"),
        "counts": _base64(np.stack(counts), "<u2"),
    }
    return CodecSpec(name, "table", parameters)


def _choose_step(values: NDArray[np.float32], levels: int) -> tuple[float, int]:
    """Step (exactly a float32) and zero level with the least squared error among the candidates."""
    # an odd stride, so that it does not fall in with the width of a map
    stride = (max(1, values.size // _VALUES_FOR_CHOICE)) | 1
    sample = values[::stride]
    candidates = []
    for share in _KEPT_SHARES:
        low, high = _range(values if share == 1.0 else sample, share)
        step, zero_level = _cover(low, high, levels)
        quantiser = Quantiser(levels, np.array([step], np.float32), np.array([zero_level], np.int32))
        restored = quantiser.dequantise(quantiser.quantise(sample[None]))[0]
        error = float(np.mean((restored.astype(np.float64) - sample) ** 2))
        candidates.append((error, step, zero_level))
    # min takes the first of equals: the widest range
    _, step, zero_level = min(candidates, key=lambda candidate: candidate[0])
    return step, zero_level


def _range(values: NDArray[np.float32], share: float) -> tuple[float, float]:
    tail = (1.0 - share) / 2
    low, high = (values.min(), values.max()) if share == 1.0 else np.quantile(values, [tail, 1.0 - tail])
    return min(float(low), 0.0), max(float(high), 0.0)


def _cover(low: float, high: float, levels: int) -> tuple[float, int]:
    """The step and zero level with which `levels` levels reach from `low` to `high`, zero among them.

    A side shorter than half a step gets no level: its values round to zero.
    """
    if high - low < _LEAST_RANGE:
        return 1.0, 0
    zero_level = round(-low / (high - low) * (levels - 1))
    # rounding the zero level shortens one side: stretch the step until it is inside
    below = -low / zero_level if zero_level else 0.0
    above = high / (levels - 1 - zero_level) if zero_level < levels - 1 else 0.0
    step = np.float32(max(below, above))
    return float(step), zero_level


def _base64(array: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(array.astype(dtype).tobytes()).decode("ascii")
