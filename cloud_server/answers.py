"""From logits, or from a failure, to the bytes of one `Reply`: pure functions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.rpc import split_inference_pb2 as pb

_UINT32_MAX = 2**32 - 1


@dataclass(frozen=True)
class ServerTimes:
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


def rank(logits_NK: NDArray[np.float32], top_k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The best classes of each row and their softmax probabilities, best first.

    Equal logits keep the order of the classes. More classes than there are means all of them.

    Args:
        logits_NK: finite, one row per frame.
        top_k: classes wanted, at least 1.

    Returns:
        Class indices and scores in [0, 1], both [N, min(top_k, K)].

    Example:
        >>> rank(np.array([[0.0, 0.0, 100.0]], np.float32), 2)[0].tolist()
        [[2, 0]]
    """
    powers = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    scores = powers / powers.sum(axis=1, keepdims=True)
    if top_k == 1:
        order = logits_NK.argmax(axis=1)[:, np.newaxis]
    else:
        order = np.argsort(-logits_NK, axis=1, kind="stable")[:, :top_k]
    return order, np.take_along_axis(scores, order, axis=1)


def prediction(sequence: int, classes: list[int], scores: list[float], times: ServerTimes) -> bytes:
    """A serialised reply that answers."""
    timings = pb.Timings(
        queue_us=_microseconds(times.queue_s),
        decode_us=_microseconds(times.decode_s),
        compute_us=_microseconds(times.compute_s),
        batch_size=times.batch_size,
    )
    answer = pb.Prediction(class_index=classes, score=scores, timings=timings)
    return pb.Reply(sequence=sequence, prediction=answer).SerializeToString()


def failure(sequence: int, code: pb.FrameError.Code, message: str, retry_after_ms: int = 0) -> bytes:
    """A serialised reply that says why this frame got no prediction."""
    error = pb.FrameError(code=code, message=message, retry_after_ms=retry_after_ms)
    return pb.Reply(sequence=sequence, error=error).SerializeToString()


def _microseconds(seconds: float) -> int:
    return min(max(round(seconds * 1e6), 0), _UINT32_MAX)
