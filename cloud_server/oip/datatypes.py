"""The protocol's datatypes: their names, numpy's, and how values stand in a message; nothing is trusted."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BYTES = "BYTES"

DATATYPES: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {
        "FP32": ("<f4", "fp32_contents"),
        "FP16": ("<f2", None),
        "FP64": ("<f8", "fp64_contents"),
        "INT64": ("<i8", "int64_contents"),
        "INT32": ("<i4", "int_contents"),
        "UINT8": ("u1", "uint_contents"),
        "BOOL": ("?", "bool_contents"),
    }
)
"""The protocol's name of a type -> numpy's, and where values stand that are not sent raw."""

DATATYPE_OF = {np.dtype(of_numpy).name: datatype for datatype, (of_numpy, _) in DATATYPES.items()}
"""Numpy's name of a type -> the protocol's."""

Values = NDArray[np.generic] | list[bytes]
"""Values of a tensor; a list where the datatype is BYTES."""

_LENGTH = struct.Struct("<I")


class TensorSpec(NamedTuple):
    """An input or output of a model.

    Attributes:
        name: what requests call it.
        datatype: the protocol's name.
        dims: without the axis of the batch; -1 is any size.
    """

    name: str
    datatype: str
    dims: tuple[int, ...]

    def told(self) -> dict[str, Any]:
        """As metadata tell it."""
        return {"name": self.name, "datatype": self.datatype, "shape": [-1, *self.dims]}

    def configured(self) -> dict[str, Any]:
        """As Triton's model configuration tells it."""
        kind = "STRING" if self.datatype == BYTES else self.datatype
        return {"name": self.name, "data_type": f"TYPE_{kind}", "dims": list(self.dims)}


def from_raw(data: bytes, datatype: str, count: int) -> Values:
    """Values that were sent as they lie in memory.

    Args:
        data: little endian, or each of BYTES behind its length of four bytes.
        datatype: one of `DATATYPES`, or BYTES.
        count: values wanted, already within bounds.

    Raises:
        ValueError: another number of values; says how many bytes there are.
    """
    if datatype == BYTES:
        return _split(data, count)
    dtype = np.dtype(DATATYPES[datatype][0])
    if len(data) != count * dtype.itemsize:
        raise ValueError(f"{len(data)} bytes; {count} values of {datatype} are {count * dtype.itemsize}")
    values: NDArray[np.generic] = np.frombuffer(data, dtype)
    return values


def to_raw(values: Values) -> bytes:
    """What `from_raw` reads."""
    if isinstance(values, list):
        return b"".join(_LENGTH.pack(len(value)) + value for value in values)
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def from_contents(told: Sequence[Any], datatype: str, count: int) -> Values:
    """Values that were sent one by one, in protobuf's typed contents or in JSON.

    Raises:
        ValueError: another number of values, or one that is not of the datatype.
    """
    if len(told) != count:
        raise ValueError(f"{len(told)} values; {count} are needed")
    if datatype == BYTES:
        return [value.encode() if isinstance(value, str) else _bytes(value) for value in told]
    dtype = np.dtype(DATATYPES[datatype][0])
    kinds = {"b": (bool, np.bool_), "f": (int, float)}.get(dtype.kind, (int,))
    if not all(isinstance(value, kinds) and (dtype.kind == "b" or type(value) is not bool) for value in told):
        raise ValueError(f"a value is not {datatype}")
    try:
        with np.errstate(over="ignore"):
            return np.array(told, dtype)
    except (OverflowError, ValueError, TypeError) as error:
        raise ValueError(f"a value is not {datatype}") from error


def flatten(data: Any, most: int) -> list[Any]:
    """JSON's values of a tensor, flat or nested, row by row.

    Args:
        data: whatever stood there.
        most: values that are taken.

    Raises:
        ValueError: more values than that, or no list.
    """
    if not isinstance(data, list):
        raise ValueError("data must be a list")
    flat: list[Any] = []
    waiting: list[Iterable[Any]] = [iter(data)]
    while waiting:
        for each in waiting[-1]:
            if isinstance(each, list):
                waiting.append(iter(each))
                break
            flat.append(each)
            if len(flat) > most:
                raise ValueError(f"more than {most} values")
        else:
            waiting.pop()
    return flat


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a value is not BYTES")
    return value


def _split(data: bytes, count: int) -> list[bytes]:
    values: list[bytes] = []
    at = 0
    while at < len(data) and len(values) <= count:
        if at + _LENGTH.size > len(data):
            raise ValueError(f"{len(data) - at} bytes are left where a length of {_LENGTH.size} is due")
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if length > len(data) - at:
            raise ValueError(f"a value of {length} bytes is told, {len(data) - at} are left")
        values.append(data[at : at + length])
        at += length
    if len(values) != count:
        raise ValueError(f"{len(values)} values, {count} are needed")
    return values
