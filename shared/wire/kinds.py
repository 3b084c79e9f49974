"""The kinds of codecs, by what their parameters in the manifest say.

A payload ends in its checksum. Those of "lattice" and "signed" have it inside; of "packed" each part has one.

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
    "signed"   parameters {"levels": L, "precision_bits": 16, "step": number, "tables": T,
               "bounds": integers[B], "activities": integers[3][A - 1], "flags": base64 uint8[C],
               "kinds": base64 uint8[C], "choices": base64 uint8[K][A][B + 2], "counts": base64 uint16[T][L],
               "mask_tables": S, "mask_choices": base64 uint8[K][2][A], "mask_counts": base64 uint16[S][256],
               "most_bytes": integer, "mean_bytes": number}, little endian
               signed levels under one step for all channels, entropy coded with tables chosen by context
               (`siftfunnel.shared.wire.signed`)
    "packed"   parameters {"parts": [{"kind": ..., "parameters": {...}}, one for each tensor]}
               for each tensor the length of its payload, 4 bytes, little endian, and the payload,
               sealed with its place
"""

import base64
import binascii
import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.json_fields import FieldError, Fields
from siftfunnel.shared.manifest import BundleError, CodecSpec, FeatureSpec, Manifest, TensorSpec
from siftfunnel.shared.wire.bodies import AffineBody, Body, FloatBody, TableBody
from siftfunnel.shared.wire.context_body import ContextBody
from siftfunnel.shared.wire.context_tables import MAX_TABLES, ContextTables
from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.lattice import FIRST, Contexts
from siftfunnel.shared.wire.lattice_levels import lattice_levels
from siftfunnel.shared.wire.quantiser import MAX_LEVELS, Quantiser
from siftfunnel.shared.wire.seal import Seal
from siftfunnel.shared.wire.signed import LIMIT, MASKS, MOST_KINDS, SignedContexts
from siftfunnel.shared.wire.signed_levels import signed_levels
from siftfunnel.shared.wire.tables import check_counts

AFFINE_LEVELS = 256
_LENGTH = struct.Struct("<I")


class PackedBody:
    """Several tensors, each with a payload of its own; see `Body`.

    Args:
        parts: the shape and body of each tensor, in the order in which they are packed.
    """

    def __init__(self, parts: tuple[tuple[FeatureSpec, Body], ...]) -> None:
        self._parts = parts
        bodies = [body for _, body in parts]
        lengths = _LENGTH.size * len(parts)
        self.least_bytes = lengths + sum(body.least_bytes for body in bodies)
        self.most_bytes = lengths + sum(body.most_bytes for body in bodies)

    def write(self, features: NDArray[np.float32], seal: Seal) -> bytes:
        """See `Body`."""
        values, start, written = features.ravel(), 0, []
        for place, (feature, body) in enumerate(self._parts):
            rows = values[start : start + feature.size].reshape(feature.channels, -1)
            payload = body.write(rows, seal.at(place))
            written += [_LENGTH.pack(len(payload)), payload]
            start += feature.size
        return b"".join(written)

    def read(self, payload: bytes, seal: Seal) -> NDArray[np.float32]:
        """See `Body`; the error says which part it is."""
        start, values = 0, []
        for place, (_, body) in enumerate(self._parts):
            if len(payload) - start < _LENGTH.size:
                raise CodecError(f"part {place}: its length is missing: truncated")
            (length,) = _LENGTH.unpack_from(payload, start)
            start += _LENGTH.size
            if not body.least_bytes <= length <= min(body.most_bytes, len(payload) - start):
                raise CodecError(
                    f"part {place}: says {length} bytes, expected {body.least_bytes} to {body.most_bytes} "
                    f"and {len(payload) - start} are left"
                )
            try:
                values.append(body.read(payload[start : start + length], seal.at(place)).ravel())
            except CodecError as error:
                raise CodecError(f"part {place}: {error}") from None
            start += length
        if start != len(payload):
            raise CodecError(f"{len(payload) - start} bytes are left after the last part")
        return np.concatenate(values)[:, None]


def make_body(spec: CodecSpec, feature: FeatureSpec, sent: tuple[TensorSpec, ...] = ()) -> Body:
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
            body: Body = _packed_body(fields, spec.name, sent)
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


def _lattice_body(fields: Fields, feature: FeatureSpec) -> Body:
    channels = feature.channels
    steps = _array(fields, "steps", "<f4", channels).astype(np.float32)
    contexts = _contexts(fields)
    precision_bits = fields.integer("precision_bits", 1, 24)
    tables = _tables(fields, feature, np.arange(channels), (channels, *contexts.shape), precision_bits)
    levels = lattice_levels(feature, steps, contexts, tables)
    return ContextBody(feature, levels, tables.symbols - 1, tables)


def _signed_body(fields: Fields, feature: FeatureSpec) -> Body:
    contexts = SignedContexts(_bounds(fields, "bounds"), _lists_of_bounds(fields, "activities"))
    kinds = _array(fields, "kinds", "u1", feature.channels).astype(np.intp)
    count = int(kinds.max()) + 1
    if count > MOST_KINDS:
        raise fields.error("kinds", f"tells {count} kinds apart, {MOST_KINDS} are the most")
    precision_bits, shape = fields.integer("precision_bits", 1, 24), (count, *contexts.of_masks)
    step = np.float32(fields.number("step"))
    tables = _tables(fields, feature, kinds, (count, *contexts.of_levels), precision_bits)
    mask_choices = _array(fields, "mask_choices", "u1", math.prod(shape)).reshape(shape)
    mask_counts = _counts(fields, "mask_", MASKS, precision_bits)
    if mask_choices.max() >= len(mask_counts):
        raise ValueError(f"mask_choices name table {mask_choices.max()}; there are {len(mask_counts)}")
    levels = signed_levels(feature, step, contexts, tables, mask_choices)
    return ContextBody(feature, levels, LIMIT, tables, mask_counts)


def _counts(fields: Fields, prefix: str, symbols: int, precision_bits: int) -> NDArray[np.uint16]:
    tables = fields.integer(f"{prefix}tables", 1, MAX_TABLES)
    counts = _array(fields, f"{prefix}counts", "<u2", tables * symbols).reshape(tables, symbols)
    check_counts(counts, precision_bits)
    return counts.astype(np.uint16)


def _tables(
    fields: Fields, feature: FeatureSpec, kinds: NDArray[np.intp], shape: tuple[int, ...], precision_bits: int
) -> ContextTables:
    # for who reads the manifest; nothing is decoded by it
    fields.number("mean_bytes")
    return ContextTables(
        flags=_array(fields, "flags", "u1", feature.channels),
        kinds=kinds,
        choices=_array(fields, "choices", "u1", math.prod(shape)).reshape(shape),
        counts=_counts(fields, "", fields.integer("levels", 2, MAX_LEVELS), precision_bits),
        most_bytes=fields.integer("most_bytes", 1, 4 * feature.size + 16),
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


_MAKERS: dict[str, Callable[[Fields, FeatureSpec], Body]] = {
    "float": _float_body,
    "affine": _affine_body,
    "table": _table_body,
    "lattice": _lattice_body,
    "signed": _signed_body,
}
