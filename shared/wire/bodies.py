"""What stands in a payload before its checksum, one class per kind of codec.

"lattice" and "signed" are the exception: their body has the checksum inside and is the whole payload.

"float"    parameters {"dtype": "float32" | "float16"}
           the values, little endian; float16 saturates at +-65504
"affine"   parameters {"step": number, "zero_level": 0..255}
           one byte per value: its level under one step for the whole tensor
"table"    parameters {"levels": L, "precision_bits": 14, "steps": base64 float32[C],
           "zero_levels": base64 uint8[C], "counts": base64 uint16[C][L]}, little endian
           levels under one step per channel, entropy coded with the channel's table
"lattice"  parameters {"levels": L, "precision_bits": 14, "steps": base64 float32[C], "tables": T,
           "bounds": integers[B], "places": P, "flags": base64 uint8[C],
           "choices": base64 uint8[C][3][P][B + 1], "counts": base64 uint16[T][L],
           "most_bytes": integer, "mean_bytes": number}, little endian
           levels from zero under one step per channel, entropy coded with tables chosen by context
           (`siftfunnel.shared.wire.lattice`); without "bounds" and "places" they are its `FIRST`
"signed"   parameters {"levels": L, "precision_bits": 16, "step": number, "tables": T, "bounds": integers[B],
           "activities": integers[3][A - 1], "flags": base64 uint8[C], "kinds": base64 uint8[C],
           "choices": base64 uint8[K][A][B + 2], "counts": base64 uint16[T][L], "mask_tables": S,
           "mask_choices": base64 uint8[K][2][A], "mask_counts": base64 uint16[S][256],
           "most_bytes": integer, "mean_bytes": number}, little endian
           signed levels under one step for all channels, entropy coded with tables chosen by context
           (`siftfunnel.shared.wire.signed`)
"packed"   parameters {"parts": [{"kind": ..., "parameters": {...}}, one for each tensor]}
           the payloads of several tensors, each sealed with its place (`siftfunnel.shared.wire.sealing`)
"""

import base64
import binascii
import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.json_fields import FieldError, Fields
from siftfunnel.shared.manifest import BundleError, CodecSpec, FeatureSpec, Manifest, TensorSpec
from siftfunnel.shared.wire.entropy import make_tables
from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.lattice import FIRST, Contexts
from siftfunnel.shared.wire.lattice_body import (
    MAX_TABLES,
    LatticeBody,
    LatticeTables,
    lattice_body,
    signed_body,
)
from siftfunnel.shared.wire.quantiser import MAX_LEVELS, Quantiser
from siftfunnel.shared.wire.signed import MASKS, MOST_KINDS, SignedContexts
from siftfunnel.shared.wire.tables import check_counts, entropy_bits

HALF_MAX = 65504.0
AFFINE_LEVELS = 256


class Body(Protocol):
    """Feature tensor to bytes and back, without checksum; the shape is known beforehand."""

    @property
    def least_bytes(self) -> int:
        """The shortest body that can be right."""

    @property
    def most_bytes(self) -> int:
        """The longest body that can be right."""

    @property
    def expected_bytes(self) -> float:
        """The mean length on features like those it was calibrated on."""

    @property
    def precision(self) -> str:
        """What a value becomes, for people."""

    def write(self, features: NDArray[np.float32]) -> bytes:
        """Encode finite float32 values, shape (channels, height * width)."""

    def read(self, body: bytes) -> NDArray[np.float32]:
        """Decode, same shape; the caller has checked the length.

        Raises:
            CodecError: not a body that `write` makes.
        """


class FloatBody:
    """The values themselves, as float32 or float16."""

    def __init__(self, feature: FeatureSpec, dtype: str) -> None:
        self._feature = feature
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self.least_bytes = self.most_bytes = feature.size * self._dtype.itemsize
        self.expected_bytes = float(self.most_bytes)
        self.precision = dtype

    def write(self, features: NDArray[np.float32]) -> bytes:
        """See `Body`; float16 saturates instead of overflowing to infinity."""
        if self._dtype.itemsize == 2:
            features = np.clip(features, -HALF_MAX, HALF_MAX)
        return features.astype(self._dtype).tobytes()

    def read(self, body: bytes) -> NDArray[np.float32]:
        """See `Body`; NaN and infinity are refused here as they are when writing."""
        values = np.frombuffer(body, dtype=self._dtype).astype(np.float32)
        if not np.isfinite(values).all():
            raise CodecError("body holds NaN or infinity")
        return values.reshape(self._feature.channels, -1)


class AffineBody:
    """One byte per value under one step for the whole tensor."""

    def __init__(self, feature: FeatureSpec, quantiser: Quantiser) -> None:
        self._feature = feature
        self.quantiser = quantiser
        self.least_bytes = self.most_bytes = feature.size
        self.expected_bytes = float(feature.size)
        self.precision = f"{quantiser.levels} levels, one step for all channels"

    def write(self, features: NDArray[np.float32]) -> bytes:
        """See `Body`."""
        return self.quantiser.quantise(features).astype(np.uint8).tobytes()

    def read(self, body: bytes) -> NDArray[np.float32]:
        """See `Body`; every byte is a level."""
        levels = np.frombuffer(body, dtype=np.uint8).astype(np.int32)
        return self.quantiser.dequantise(levels.reshape(self._feature.channels, -1))


class TableBody:
    """Levels under one step per channel, entropy coded with static tables."""

    def __init__(
        self, feature: FeatureSpec, quantiser: Quantiser, counts: NDArray[np.uint16], precision_bits: int
    ) -> None:
        self._symbols_per_channel = feature.height * feature.width
        self.quantiser = quantiser
        self._tables = make_tables(list(counts))
        self.least_bytes = 0
        # a level costs precision_bits at most, the coder loses less than one more, and ends in two words
        self.most_bytes = 4 * -(-feature.size * (precision_bits + 1) // 32) + 16
        self._bits_per_channel = entropy_bits(counts)
        self.precision = f"{quantiser.levels} levels, one step and one table per channel, ANS"

    @property
    def expected_bytes(self) -> float:
        """See `Body`: the tables' entropy, and half a word lost at the end."""
        return float(self._bits_per_channel.sum()) * self._symbols_per_channel / 8 + 2

    def write(self, features: NDArray[np.float32]) -> bytes:
        """See `Body`."""
        return self._tables.encode(self.quantiser.quantise(features))

    def read(self, body: bytes) -> NDArray[np.float32]:
        """See `Body`."""
        return self.quantiser.dequantise(self._tables.decode(body, self._symbols_per_channel))


class PackedBody:
    """Several tensors, each with a body of its own; `siftfunnel.shared.wire.sealing` puts them together.

    Attributes:
        parts: the shape and body of each tensor, in the order in which they are packed.
        precision: what a value becomes, for people.
    """

    def __init__(self, parts: tuple[tuple[FeatureSpec, Body | LatticeBody], ...]) -> None:
        self.parts = parts
        self.precision = "; ".join(body.precision for _, body in parts)


AnyBody = Body | LatticeBody | PackedBody


def make_body(spec: CodecSpec, feature: FeatureSpec, sent: tuple[TensorSpec, ...] = ()) -> AnyBody:
    """The body coder that a codec's parameters describe.

    Args:
        spec: from the manifest.
        feature: what goes in and comes out.
        sent: the tensors that it is packed of; none where it is one tensor of this shape.

    Raises:
        BundleError: a parameter is missing, unknown or wrong; the text names codec and parameter.
    """
    fields = Fields(spec.parameters, f"codec {spec.name}")
    try:
        if spec.kind == "packed":
            body: AnyBody = _packed_body(fields, spec.name, sent)
        elif len(sent) > 1:
            raise ValueError(f"is of kind {spec.kind}; several tensors in a frame need one of kind packed")
        else:
            body = _MAKERS[spec.kind](fields, feature)
        fields.finish()
    except FieldError as error:
        raise BundleError(str(error)) from None
    except BundleError:
        raise
    except ValueError as error:
        raise BundleError(f"codec {spec.name}: {error}") from None
    return body


def check_codecs(manifest: Manifest) -> None:
    """Check the parameters of every codec of a manifest, tables included.

    Raises:
        BundleError: see `make_body`.
    """
    for spec in manifest.codecs:
        make_body(spec, manifest.feature, manifest.tensors)


def _packed_body(fields: Fields, name: str, sent: tuple[TensorSpec, ...]) -> PackedBody:
    told = fields.nested_list("parts")
    if not sent or len(told) != len(sent):
        raise fields.error("parts", f"are {len(told)}, but the tensors between the halves are {len(sent)}")
    parts = []
    for place, (part, tensor) in enumerate(zip(told, sent, strict=True)):
        kind, parameters = part.text("kind"), part.mapping("parameters")
        part.finish()
        if kind not in _MAKERS:
            raise fields.error("parts", f"[{place}] is of kind {kind!r}; known: {', '.join(_MAKERS)}")
        spec = CodecSpec(f"{name}.{place}", kind, parameters)  # type: ignore[arg-type]  # checked above
        body = make_body(spec, tensor.as_feature)
        assert not isinstance(body, PackedBody)
        parts.append((tensor.as_feature, body))
    return PackedBody(tuple(parts))


def _float_body(fields: Fields, feature: FeatureSpec) -> Body:
    dtype = fields.text("dtype")
    if dtype not in {"float32", "float16"}:
        raise fields.error("dtype", f"must be 'float32' or 'float16', not {dtype!r}")
    return FloatBody(feature, dtype)


def _affine_body(fields: Fields, feature: FeatureSpec) -> Body:
    step, zero_level = fields.number("step"), fields.integer("zero_level", 0, AFFINE_LEVELS - 1)
    if not 1e-30 <= step <= 1e30:
        raise fields.error("step", f"must lie in [1e-30, 1e30], not {step}")
    steps, zero_levels = np.array([step], dtype=np.float32), np.array([zero_level], dtype=np.int32)
    return AffineBody(feature, Quantiser(AFFINE_LEVELS, steps, zero_levels))


def _table_body(fields: Fields, feature: FeatureSpec) -> Body:
    levels = fields.integer("levels", 2, MAX_LEVELS)
    precision_bits = fields.integer("precision_bits", 1, 24)
    channels = feature.channels
    quantiser = Quantiser(
        levels,
        steps=_array(fields, "steps", "<f4", channels).astype(np.float32),
        zero_levels=_array(fields, "zero_levels", "u1", channels).astype(np.int32),
    )
    counts = _array(fields, "counts", "<u2", channels * levels).astype(np.uint16).reshape(channels, levels)
    check_counts(counts, precision_bits)
    return TableBody(feature, quantiser, counts, precision_bits)


def _lattice_body(fields: Fields, feature: FeatureSpec) -> LatticeBody:
    channels = feature.channels
    steps = _array(fields, "steps", "<f4", channels).astype(np.float32)
    contexts = _contexts(fields)
    precision_bits = fields.integer("precision_bits", 1, 24)
    tables = _tables(fields, feature, np.arange(channels), (channels, *contexts.shape), precision_bits)
    quantiser = Quantiser(tables.counts.shape[1], steps, np.zeros(channels, np.int32))
    return lattice_body(feature, quantiser, contexts, tables)


def _signed_body(fields: Fields, feature: FeatureSpec) -> LatticeBody:
    contexts = SignedContexts(_bounds(fields, "bounds"), _lists_of_bounds(fields, "activities"))
    kinds = _array(fields, "kinds", "u1", feature.channels).astype(np.intp)
    count = int(kinds.max()) + 1
    if count > MOST_KINDS:
        raise fields.error("kinds", f"tells {count} kinds apart, {MOST_KINDS} are the most")
    precision_bits, shape = fields.integer("precision_bits", 1, 24), (count, *contexts.of_masks)
    return signed_body(
        feature,
        np.float32(fields.number("step")),
        contexts,
        _tables(fields, feature, kinds, (count, *contexts.of_levels), precision_bits),
        _array(fields, "mask_choices", "u1", math.prod(shape)).reshape(shape),
        _counts(fields, "mask_", MASKS, precision_bits),
    )


def _counts(fields: Fields, prefix: str, symbols: int, precision_bits: int) -> NDArray[np.uint16]:
    tables = fields.integer(f"{prefix}tables", 1, MAX_TABLES)
    counts = _array(fields, f"{prefix}counts", "<u2", tables * symbols).reshape(tables, symbols)
    check_counts(counts, precision_bits)
    return counts.astype(np.uint16)


def _tables(
    fields: Fields, feature: FeatureSpec, kinds: NDArray[np.intp], shape: tuple[int, ...], precision_bits: int
) -> LatticeTables:
    return LatticeTables(
        flags=_array(fields, "flags", "u1", feature.channels),
        kinds=kinds,
        choices=_array(fields, "choices", "u1", math.prod(shape)).reshape(shape),
        counts=_counts(fields, "", fields.integer("levels", 2, MAX_LEVELS), precision_bits),
        most_bytes=fields.integer("most_bytes", 1, 4 * feature.size + 16),
        mean_bytes=fields.number("mean_bytes"),
    )


def _bounds(fields: Fields, name: str) -> tuple[int, ...]:
    bounds = fields.items(name)
    if not all(type(bound) is int for bound in bounds):
        raise fields.error(name, "must be integers")
    return tuple(bounds)


def _lists_of_bounds(fields: Fields, name: str) -> tuple[tuple[int, ...], ...]:
    lists = fields.items(name)
    if not all(isinstance(bounds, list) and all(type(bound) is int for bound in bounds) for bounds in lists):
        raise fields.error(name, "must be lists of integers")
    return tuple(tuple(bounds) for bounds in lists)


def _contexts(fields: Fields) -> Contexts:
    if not {"bounds", "places"} & set(fields.names()):
        return FIRST
    return Contexts(_bounds(fields, "bounds"), fields.integer("places", 1, 2))


def encode_array(array: NDArray[Any], dtype: str) -> str:
    """An array as a manifest holds it: base64 of its values, what `make_body` reads back."""
    return base64.b64encode(array.astype(dtype).tobytes()).decode("ascii")


def _array(fields: Fields, name: str, dtype: str, length: int) -> NDArray[Any]:
    try:
        data = base64.b64decode(fields.text(name), validate=True)
    except binascii.Error as error:
        raise fields.error(name, f"is not base64 ({error})") from None
    wanted_bytes = length * np.dtype(dtype).itemsize
    if len(data) != wanted_bytes:
        raise fields.error(name, f"holds {len(data)} bytes, not the {wanted_bytes} that the feature needs")
    return np.frombuffer(data, dtype=dtype)


_MAKERS: dict[str, Callable[[Fields, FeatureSpec], Body | LatticeBody]] = {
    "float": _float_body,
    "affine": _affine_body,
    "table": _table_body,
    "lattice": _lattice_body,
    "signed": _signed_body,
}
