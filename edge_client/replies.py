"""What a reply says, checked against what it may say: a server's word is not taken for granted."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from siftfunnel.edge_client.outcome import BAD_REPLY, ClassScore, ServerTimings
from siftfunnel.edge_client.tensors import Outputs
from siftfunnel.shared.call_metadata import MAX_OUTPUT_BYTES
from siftfunnel.shared.manifest import Manifest
from siftfunnel.shared.output_tensors import choose, read_tensors
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tensors import OutputSpec


@dataclass(frozen=True)
class Expected:
    """What a reply is checked against.

    Attributes:
        classes: names, in the order of the scores.
        ids: what tells them apart, likewise.
        given: `Manifest.given`.
        outputs: positions of the outputs that are asked for.
        max_output_bytes: what they may take together.
    """

    classes: tuple[str, ...]
    ids: tuple[str, ...]
    given: tuple[OutputSpec, ...]
    outputs: tuple[int, ...] = ()
    max_output_bytes: int = MAX_OUTPUT_BYTES

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        outputs: Iterable[str] | None = None,
        max_output_bytes: int = MAX_OUTPUT_BYTES,
    ) -> Self:
        """For a bundle and the outputs that are asked for by name; None: all that are not scores.

        Raises:
            ValueError: the bundle has no such output; lists those that it has.
        """
        positions = choose(manifest.given, outputs)
        return cls(manifest.classes, manifest.ids, manifest.given, positions, max_output_bytes)


_ROUNDING = 1e-4
_MOST_TEXT = 1000
_NOTHING = "the reply holds no prediction; do device and server run the same version?"


@dataclass(frozen=True, slots=True)
class Prediction:
    """Best classes, best first, the server's timings, and the outputs that were asked for."""

    top: tuple[ClassScore, ...]
    timings: ServerTimings
    outputs: Outputs = field(default_factory=Outputs, compare=False)


@dataclass(frozen=True, slots=True)
class Rejection:
    """An error for one frame: code of the wire's FrameError, text, hint in milliseconds (0: no use)."""

    code: str
    message: str
    retry_after_ms: int = 0


def read_reply(reply: pb.Reply, expected: Expected) -> Prediction | Rejection:
    """Turn a reply into a prediction or the reason why there is none.

    A reply that breaks the contract (no outcome, a class the bundle does not have, a score outside [0, 1],
    outputs that are not those of the manifest) is a `Rejection` with the code BAD_REPLY.
    """
    kind = reply.WhichOneof("outcome")
    if kind == "error":
        # what is kept of a server's words is bounded: outcomes wait to be collected
        message = reply.error.message[:_MOST_TEXT]
        return Rejection(_code_name(reply.error.code), message, reply.error.retry_after_ms)
    if kind is None:
        return Rejection(BAD_REPLY, _NOTHING)
    prediction, timings = reply.prediction, reply.prediction.timings
    try:
        top = _classes(prediction, expected)
        arrays = read_tensors(prediction.outputs, expected.given, expected.outputs, expected.max_output_bytes)
    except ValueError as error:
        return Rejection(BAD_REPLY, str(error)[:_MOST_TEXT])
    return Prediction(
        top,
        ServerTimings(timings.queue_us, timings.decode_us, timings.compute_us, timings.batch_size),
        Outputs(arrays, expected.given),
    )


def _classes(prediction: pb.Prediction, expected: Expected) -> tuple[ClassScore, ...]:
    """The classes of a prediction.

    Raises:
        ValueError: not classes of this bundle, or scores that are none.
    """
    classes, indices = expected.classes, prediction.class_index
    if len(indices) != len(prediction.score) or (classes and not indices):
        raise ValueError(_NOTHING)
    if len(indices) > len(classes):
        raise ValueError(f"{len(indices)} classes of a bundle that has {len(classes)}")
    if indices and max(indices) >= len(classes):
        raise ValueError(f"class {max(indices)} of a bundle that has {len(classes)} classes")
    if not all(-_ROUNDING <= score <= 1 + _ROUNDING for score in prediction.score):
        raise ValueError("a score outside [0, 1]")
    pairs = zip(indices, prediction.score, strict=True)
    return tuple(ClassScore(classes[index], float(score), expected.ids[index]) for index, score in pairs)


def _code_name(code: int) -> str:
    try:
        return pb.FrameError.Code.Name(code)
    except ValueError:
        return f"CODE_{code}"
