"""Outputs beside classes for machines that read JSON, and for people."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_VALUES = 1024
"""Values of an output that a line of JSON holds; `--output npz:DIR` saves larger ones."""


def output_as_json(array: NDArray[Any]) -> dict[str, Any]:
    """Type, shape and values as nested lists; null for what is no number, and for too many of them.

    >>> output_as_json(np.array([[1.5, np.nan]], np.float32))
    {'dtype': 'float32', 'shape': [1, 2], 'values': [[1.5, None]]}
    """
    told = {"dtype": str(array.dtype), "shape": list(array.shape)}
    if array.size > MOST_VALUES:
        return {**told, "values": None, "saved_by": "--output npz:DIR"}
    values = array.astype(object)
    values[~np.isfinite(array)] = None
    return {**told, "values": values.tolist()}


def output_in_words(array: NDArray[Any]) -> str:
    """Shape and range.

    >>> [output_in_words(each) for each in (np.array([[0.0, 2.5]]), np.zeros((0, 4)), np.array(7))]
    ['1x2 in [0, 2.5]', '0x4', '7']
    """
    shape = "x".join(map(str, array.shape))
    finite = array[np.isfinite(array)]
    if not finite.size:
        return f"{shape} without a finite value" if array.size else shape
    if array.size == 1:
        return f"{finite[0]:.4g}"
    low, high = float(finite.min()), float(finite.max())
    return f"{shape} in [{low:.4g}, {high:.4g}]"
