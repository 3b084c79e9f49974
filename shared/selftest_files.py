"""Arrays of known names, types and shapes in a `.npz` file, read without trusting it.

What may lie in a file is known before it is opened, so nothing larger is ever unpacked: names, types and
shapes must be those that were asked for, and nothing is unpickled.
"""

import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from siftfunnel.shared.manifest_parts import BundleError
from siftfunnel.shared.tensors import MAX_FEATURE_VALUES

_HEADER_BYTES = 1024
"""Of one array, at most."""
_OVERHEAD_BYTES = 2 * _HEADER_BYTES
"""That and the zip file's own bytes."""
_AGAIN = "fetch the bundle again, or export it anew"


@dataclass(frozen=True)
class Form:
    """What an array must be.

    Attributes:
        dtype: its type's name.
        shape: None is an axis of any length.
        most_values: that an array with such an axis may have.
    """

    dtype: str
    shape: tuple[int | None, ...]
    most_values: int = MAX_FEATURE_VALUES

    @property
    def most_bytes(self) -> int:
        """No such array is longer."""
        known = [side for side in self.shape if side is not None]
        values = math.prod(known) if len(known) == len(self.shape) else self.most_values
        return values * np.dtype(self.dtype).itemsize

    def fits(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
        """Whether an array of that shape and type is what was asked for."""
        return (
            dtype == np.dtype(self.dtype)
            and len(shape) == len(self.shape)
            and all(wanted in (None, side) for wanted, side in zip(self.shape, shape, strict=True))
            and math.prod(shape) * dtype.itemsize <= self.most_bytes
        )


def limit_bytes(forms: Mapping[str, Form]) -> int:
    """No file of these arrays is longer: what deflate cannot shorten grows by less than a thousandth."""
    return sum(_OVERHEAD_BYTES + form.most_bytes + form.most_bytes // 1000 for form in forms.values())


def arrays_to_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The file; the same arrays give the same bytes."""
    file = io.BytesIO()
    in_order = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    np.savez_compressed(file, **in_order)  # type: ignore[arg-type]  # taken for its flag allow_pickle
    return file.getvalue()


def arrays_from_bytes(data: bytes, forms: Mapping[str, Form], place: str) -> dict[str, NDArray[Any]]:
    """Arrays by name.

    Args:
        data: the file.
        forms: what must be in it, neither less nor more.
        place: the file's name, for messages.

    Raises:
        BundleError: anything else is in it, or it is damaged.
    """
    if len(data) > limit_bytes(forms):
        raise BundleError(f"{place}: {len(data)} bytes, more than its arrays can need; {_AGAIN}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if (names := sorted(archive.namelist())) != sorted(f"{name}.npy" for name in forms):
                raise BundleError(f"{place}: holds {names[:8]}, not {sorted(forms)}; {_AGAIN}")
            return {name: _read(archive, f"{name}.npy", form, place) for name, form in forms.items()}
    except BundleError:
        raise
    except Exception as error:
        # by place, damage shows as BadZipFile, zlib.error, RuntimeError, NotImplementedError, ValueError, ...
        raise BundleError(f"{place}: does not read ({error}); {_AGAIN}") from error


def _read(archive: zipfile.ZipFile, name: str, form: Form, place: str) -> NDArray[Any]:
    entry = archive.getinfo(name)
    most = _HEADER_BYTES + form.most_bytes
    if entry.file_size > most:
        raise BundleError(
            f"{place}: {name} unpacks to {entry.file_size} bytes, its array needs at most {most}; {_AGAIN}"
        )
    with archive.open(entry) as packed:
        # no more than the size that was declared is ever unpacked
        stream = io.BytesIO(packed.read(entry.file_size))
    npy.read_magic(stream)
    shape, is_fortran, dtype = npy.read_array_header_1_0(stream, max_header_size=_HEADER_BYTES)
    if is_fortran or not form.fits(shape, dtype):
        raise BundleError(
            f"{place}: {name} is {dtype} {shape}, the manifest says {form.dtype} {form.shape}; {_AGAIN}"
        )
    values = stream.read()
    if len(values) != math.prod(shape) * dtype.itemsize:
        raise BundleError(f"{place}: {name} has {len(values)} bytes of values; {_AGAIN}")
    return np.frombuffer(values, dtype).reshape(shape)
