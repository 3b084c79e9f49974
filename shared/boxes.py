"""Boxes among a reply's tensors: which tensor they are, which of them count, where they lie on the picture.

No standard says how a detector writes its boxes. A tensor is taken for boxes by its name and its last axis;
its numbers for fractions of the input where they are that small, else for pixels; and two corners where each
box's second lies beyond its first, else centre and size.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_BOXES = 20
MAX_ROWS = 100_000
MAX_SCORES = 2**20
LEAST_SCORE = 0.3
MOST_OVERLAP = 0.45
_CANDIDATES = 200
_LARGEST_FRACTION = 2.0
_SCORE_WORDS = ("score", "conf", "prob")

Values = NDArray[np.float64]


def find_boxes(
    outputs: Mapping[str, NDArray[np.generic]], input_size: tuple[int, int]
) -> dict[str, list[dict[str, Any]]]:
    """The boxes of each output that holds some, best first, each object once.

    Args:
        outputs: a reply's tensors by name.
        input_size: height and width of the model's input, pixels.

    Returns:
        By the output's name: `at`, left, top, right and bottom as fractions of the input, within [0, 1];
        `score` in [0, 1]; `kind`, the class's position or None. None where it scores no boxes.
    """
    found = {}
    for name, values in outputs.items():
        if _may_be_boxes(name, values):
            rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
            judged = _scores(name, rows, outputs)
            if judged is not None:
                found[name] = _best(rows[:, :4], *judged, input_size)
    return found


def _may_be_boxes(name: str, values: NDArray[np.generic]) -> bool:
    if values.ndim < 2 or values.shape[-1] not in (4, 5, 6) or values.dtype == np.bool_:
        return False
    return "box" in name.lower() and values.size <= 6 * MAX_ROWS


def _scores(
    name: str, rows: Values, outputs: Mapping[str, NDArray[np.generic]]
) -> tuple[Values, NDArray[np.intp] | None] | None:
    """A score for each row and its class where there are several; None where nothing scores them."""
    if rows.shape[1] > 4:
        kinds = rows[:, 5] if rows.shape[1] == 6 else None
        return _as_shares(rows[:, 4]), None if kinds is None else np.nan_to_num(kinds).astype(np.intp)
    for other, values in outputs.items():
        if other != name and any(word in other.lower() for word in _SCORE_WORDS):
            by_row = _by_row(values, len(rows))
            if by_row is not None:
                return _of_classes(_as_shares(by_row))
    return None


def _by_row(values: NDArray[np.generic], rows: int) -> Values | None:
    """Scores as rows x classes, whichever axis came first; None where they are not of so many rows."""
    if not rows or not values.size or values.size % rows or values.size > MAX_SCORES:
        return None
    classes = values.size // rows
    if classes > 1 and values.shape[-1] != classes:
        return values.reshape(classes, rows).T.astype(np.float64) if values.shape[-1] == rows else None
    return values.reshape(rows, classes).astype(np.float64)


def _of_classes(shares: Values) -> tuple[Values, NDArray[np.intp] | None]:
    """The best class of each row. A first class that wins nearly everywhere is the background."""
    if shares.shape[1] == 1:
        return shares[:, 0], None
    background = np.allclose(shares.sum(axis=1), 1, atol=0.01) and np.mean(shares.argmax(axis=1) == 0) > 0.5
    first = int(background)
    kinds = shares[:, first:].argmax(axis=1) + first
    return shares[np.arange(len(shares)), kinds], kinds if shares.shape[1] > 1 + first else None


def _as_shares(values: Values) -> Values:
    values = np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0)
    if values.size and (values.min() < 0 or values.max() > 1):
        return np.asarray(1 / (1 + np.exp(-np.clip(values, -60, 60))))
    return values


def _best(
    rows: Values, scores: Values, kinds: NDArray[np.intp] | None, input_size: tuple[int, int]
) -> list[dict[str, Any]]:
    counts = np.isfinite(rows).all(axis=1) & (scores >= LEAST_SCORE)
    order = np.flatnonzero(counts)
    order = order[np.argsort(-scores[order], kind="stable")][:_CANDIDATES]
    corners = _corners(rows[order], input_size)
    return [
        {
            "at": [round(float(side), 4) for side in corners[place]],
            "score": round(float(scores[order[place]]), 4),
            "kind": None if kinds is None else int(kinds[order[place]]),
        }
        for place in _apart(corners)
    ]


def _corners(rows: Values, input_size: tuple[int, int]) -> Values:
    if not len(rows):
        return rows
    if not (rows[:, 2:] >= rows[:, :2]).all():
        centre, half = rows[:, :2], np.abs(rows[:, 2:]) / 2
        rows = np.concatenate([centre - half, centre + half], axis=1)
    if np.abs(rows).max() > _LARGEST_FRACTION:
        height, width = input_size
        rows = rows / (width, height, width, height)
    return np.clip(rows, 0, 1)


def _apart(corners: Values) -> list[int]:
    """Places of boxes of which none covers much of a better one (non-maximum suppression)."""
    chosen: list[int] = []
    for place in range(len(corners)):
        is_new = all(overlap(corners[place], corners[other]) <= MOST_OVERLAP for other in chosen)
        if is_new and len(chosen) < MAX_BOXES:
            chosen.append(place)
    return chosen


def overlap(one: Values, other: Values) -> float:
    """Intersection over union of two boxes: left, top, right, bottom each; 0 where both are empty."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    whole = float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - shared
    return shared / whole if whole > 0 else 0.0
