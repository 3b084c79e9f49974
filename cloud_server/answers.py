"""From what the cloud half gives, or from a failure, to the bytes of one `Reply`: no state, no clock."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from siftfunnel.cloud_server.pieces import Outputs
from siftfunnel.shared.call_metadata import MAX_OUTPUT_BYTES
from siftfunnel.shared.output_tensors import add_tensor
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tensors import OutputSpec

_UINT32_MAX = 2**32 - 1

Ranking = tuple[list[int], list[float]]
"""Class indices and their scores, best first."""

Tensors = list[tuple[int, NDArray[np.generic]]]
"""Outputs of one frame, each with its position in the manifest's list."""


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
    """The best classes of each row of logits and their softmax probabilities, best first.

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
    with np.errstate(invalid="ignore", divide="ignore"):
        return _best(logits_NK, powers / np.asarray(totals, powers.dtype)[:, None], top_k)


def rank_probabilities(scores_NK: NDArray[np.float32], top_k: int) -> list[Ranking | None]:
    """`rank` for scores that are probabilities already: they are told as they are.

    >>> rank_probabilities(np.array([[0.25, 0.75]], np.float32), 1)
    [([1], [0.75])]
    """
    return _best(scores_NK, scores_NK, top_k)


def _best(by_NK: NDArray[np.float32], scores_NK: NDArray[np.float32], top_k: int) -> list[Ranking | None]:
    order_NK = np.argsort(-by_NK, axis=1, kind="stable")[:, :top_k]
    rows = zip(order_NK.tolist(), np.take_along_axis(scores_NK, order_NK, axis=1).tolist(), strict=True)
    finite: Any = np.isfinite(scores_NK).all(axis=1).tolist()
    return [ranking if sound else None for ranking, sound in zip(rows, finite, strict=True)]


class OutputsTooLargeError(ValueError):
    """The outputs of a frame are larger than a reply may be; the text says by how much, and what to do."""


class Reading:
    """What the outputs of one bundle mean, and how large a reply may get.

    Args:
        given: `Manifest.given`.
        max_output_bytes: what the outputs of one reply take at most together.
    """

    def __init__(self, given: Sequence[OutputSpec], max_output_bytes: int = MAX_OUTPUT_BYTES) -> None:
        self._given = given
        self._max_output_bytes = max_output_bytes
        self._scores = next((place for place, output in enumerate(given) if output.is_scores), None)
        if self._scores is not None:
            self._rank = rank if given[self._scores].kind == "logits" else rank_probabilities

    def rank(self, outputs: Outputs, top_k: int) -> list[Ranking | None]:
        """The best classes of each frame, none where there are none; None where scores are not finite."""
        if self._scores is None:
            return [([], []) for _ in range(len(outputs[0]))]
        return self._rank(np.asarray(outputs[self._scores], np.float32), top_k)

    def tensors(self, outputs: Outputs, row: int, positions: Iterable[int]) -> Tensors:
        """Some outputs of one frame.

        Raises:
            OutputsTooLargeError: together they are larger than a reply may be.
        """
        tensors = [(position, np.asarray(outputs[position][row])) for position in positions]
        if (total := sum(array.nbytes for _, array in tensors)) > self._max_output_bytes:
            parts = ", ".join(f"{self._given[place].name} {array.nbytes}" for place, array in tensors)
            raise OutputsTooLargeError(
                f"the outputs of this frame are {total} bytes ({parts}), a reply takes "
                f"{self._max_output_bytes}: ask for fewer outputs by name, or let the server send more "
                "(--max-output-bytes)"
            )
        return tensors


def prediction(
    sequence: int, classes: list[int], scores: list[float], times: ServerTimes, tensors: Tensors | None = None
) -> bytes:
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
    for position, array in tensors or ():
        add_tensor(answer, position, array)
    return reply.SerializeToString()


def failure(sequence: int, code: pb.FrameError.Code, message: str, retry_after_ms: int = 0) -> bytes:
    """A serialised reply that says why this frame got no prediction."""
    error = pb.FrameError(code=code, message=message, retry_after_ms=retry_after_ms)
    return pb.Reply(sequence=sequence, error=error).SerializeToString()


def _microseconds(seconds: float) -> int:
    return min(max(round(seconds * 1e6), 0), _UINT32_MAX)
