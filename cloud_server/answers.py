"""From logits, or from a failure, to the bytes of one `Reply`: pure functions."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.rpc import split_inference_pb2 as pb

_UINT32_MAX = 2**32 - 1

Ranking = tuple[list[int], list[float]]
"""Class indices and their scores, best first."""


class ServerTimes(NamedTuple):
    """Where one frame's time went.

    Attributes:
        queue_s: from arrival until a batch took the frame, seconds.
        decode_s: payload to tensor, seconds.
        compute_s: the batch's run of the cloud half, seconds.
        batch_size: frames in that run.
    """

    queue_s: float
    decode_s: float
    compute_s: float
    batch_size: int


def rank(logits_NK: NDArray[np.float32], top_k: int) -> list[Ranking | None]:
    """The best classes of each row and their softmax probabilities, best first.

    Equal logits keep the order of the classes. More classes than there are means all of them.

    Args:
        logits_NK: one row per frame.
        top_k: classes wanted, at least 1.

    Returns:
        Per row min(top_k, K) class indices and as many scores in [0, 1]; None for NaN or infinity in a row.

    Example:
        >>> rank(np.array([[0.0, 0.0, 100.0]], np.float32), 2)
        [([2, 0], [1.0, 3.783505853677006e-44])]
    """
    # Few numpy calls on purpose: on one row each costs more than the arithmetic in it.
    with np.errstate(invalid="ignore", over="ignore"):
        powers = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    totals: list[float] = powers.sum(axis=1).tolist()
    if top_k == 1:
        best: list[int] = logits_NK.argmax(axis=1).tolist()
        return [
            ([place], [1 / total]) if math.isfinite(total) else None
            for place, total in zip(best, totals, strict=True)
        ]
    order_NK = np.argsort(-logits_NK, axis=1, kind="stable")[:, :top_k]
    classes: list[list[int]] = order_NK.tolist()
    with np.errstate(invalid="ignore", divide="ignore"):
        scores_NK = np.take_along_axis(powers, order_NK, axis=1) / np.asarray(totals, powers.dtype)[:, None]
    scores: list[list[float]] = scores_NK.tolist()
    return [
        ranking if math.isfinite(total) else None
        for ranking, total in zip(zip(classes, scores, strict=True), totals, strict=True)
    ]


def prediction(sequence: int, classes: list[int], scores: list[float], times: ServerTimes) -> bytes:
    """A serialised reply that answers."""
    # Filled in place: messages built from messages are copied into one another.
    reply = pb.Reply(sequence=sequence)
    answer = reply.prediction
    answer.class_index.extend(classes)
    answer.score.extend(scores)
    timings = answer.timings
    timings.queue_us = _microseconds(times.queue_s)
    timings.decode_us = _microseconds(times.decode_s)
    timings.compute_us = _microseconds(times.compute_s)
    timings.batch_size = times.batch_size
    return reply.SerializeToString()


def failure(sequence: int, code: pb.FrameError.Code, message: str, retry_after_ms: int = 0) -> bytes:
    """A serialised reply that says why this frame got no prediction."""
    error = pb.FrameError(code=code, message=message, retry_after_ms=retry_after_ms)
    return pb.Reply(sequence=sequence, error=error).SerializeToString()


def _microseconds(seconds: float) -> int:
    return min(max(round(seconds * 1e6), 0), _UINT32_MAX)
