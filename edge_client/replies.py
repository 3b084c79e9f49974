"""What a reply says, checked against the bundle: a server's word is not taken for granted."""

from collections.abc import Sequence
from dataclasses import dataclass

from siftfunnel.edge_client.outcome import BAD_REPLY, ClassScore, ServerTimings
from siftfunnel.shared.rpc import split_inference_pb2 as pb

_ROUNDING = 1e-4
_MOST_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Prediction:
    """Best classes, best first, and the server's timings."""

    top: tuple[ClassScore, ...]
    timings: ServerTimings


@dataclass(frozen=True, slots=True)
class Rejection:
    """An error for one frame: code of the wire's FrameError, text, hint in milliseconds (0: no use)."""

    code: str
    message: str
    retry_after_ms: int = 0


def read_reply(reply: pb.Reply, classes: Sequence[str]) -> Prediction | Rejection:
    """Turn a reply into a prediction or the reason why there is none.

    A reply that breaks the contract (no outcome, a class the bundle does not have, a score outside [0, 1])
    is a `Rejection` with the code BAD_REPLY.
    """
    kind = reply.WhichOneof("outcome")
    if kind == "error":
        # what is kept of a server's words is bounded: outcomes wait to be collected
        message = reply.error.message[:_MOST_TEXT]
        return Rejection(_code_name(reply.error.code), message, reply.error.retry_after_ms)
    prediction = reply.prediction
    if kind is None or not prediction.class_index or len(prediction.class_index) != len(prediction.score):
        return Rejection(
            BAD_REPLY, "the reply holds no prediction; do device and server run the same version?"
        )
    if len(prediction.class_index) > len(classes):
        return Rejection(
            BAD_REPLY, f"{len(prediction.class_index)} classes of a bundle that has {len(classes)}"
        )
    if max(prediction.class_index) >= len(classes):
        return Rejection(
            BAD_REPLY, f"class {max(prediction.class_index)} of a bundle that has {len(classes)} classes"
        )
    if not all(-_ROUNDING <= score <= 1 + _ROUNDING for score in prediction.score):
        return Rejection(BAD_REPLY, "a score outside [0, 1]")
    pairs = zip(prediction.class_index, prediction.score, strict=True)
    timings = prediction.timings
    return Prediction(
        tuple(ClassScore(classes[index], float(score)) for index, score in pairs),
        ServerTimings(timings.queue_us, timings.decode_us, timings.compute_us, timings.batch_size),
    )


def _code_name(code: int) -> str:
    try:
        return pb.FrameError.Code.Name(code)
    except ValueError:
        return f"CODE_{code}"
