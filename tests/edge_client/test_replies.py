"""Whatever a server says becomes a prediction of this bundle's classes or a reason."""

from dataclasses import replace

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.edge_client.outcome import ClassScore, ServerTimings
from siftfunnel.edge_client.replies import Expected, Prediction, Rejection, read_reply
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tensors import OutputSpec

CLASSES = ("cat", "dog", "owl")
EXPECTED = Expected(CLASSES, CLASSES, (OutputSpec("logits", "logits", (3,)),))


def test_a_prediction_names_its_classes_best_first() -> None:
    timings = pb.Timings(queue_us=1, decode_us=2, compute_us=3, batch_size=4)
    reply = pb.Reply(
        sequence=7, prediction=pb.Prediction(class_index=[2, 0], score=[0.75, 0.25], timings=timings)
    )
    expected = (ClassScore("owl", 0.75), ClassScore("cat", 0.25))
    assert read_reply(reply, EXPECTED) == Prediction(expected, ServerTimings(1, 2, 3, 4))


def test_an_error_keeps_its_code_text_and_hint() -> None:
    error = pb.FrameError(code=pb.FrameError.RESOURCE_EXHAUSTED, message="full", retry_after_ms=20)
    assert read_reply(pb.Reply(error=error), EXPECTED) == Rejection("RESOURCE_EXHAUSTED", "full", 20)


def test_more_classes_than_there_are_is_no_prediction() -> None:
    reply = pb.Reply(prediction=pb.Prediction(class_index=[1] * 4, score=[0.25] * 4))
    assert read_reply(reply, EXPECTED) == Rejection("BAD_REPLY", "4 classes of a bundle that has 3")


def test_what_is_kept_of_a_servers_words_is_bounded() -> None:
    result = read_reply(pb.Reply(error=pb.FrameError(message="A" * 10**6)), EXPECTED)
    assert isinstance(result, Rejection)
    assert result.message == "A" * 1000


def test_every_code_of_the_wire_has_its_name() -> None:
    for name, number in pb.FrameError.Code.items():
        result = read_reply(pb.Reply(error=pb.FrameError(code=number)), EXPECTED)
        assert isinstance(result, Rejection)
        assert result.code == name


@given(
    st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 3), max_size=4),
    st.lists(st.floats(width=32) | st.floats(0, 1, width=32), max_size=4),
)
def test_any_prediction_is_sound_or_rejected(indices: list[int], scores: list[float]) -> None:
    reply = pb.Reply(prediction=pb.Prediction(class_index=indices, score=scores))
    result = read_reply(reply, EXPECTED)
    if isinstance(result, Prediction):
        assert {each.name for each in result.top} <= set(CLASSES)
        assert all(-0.001 <= each.score <= 1.001 for each in result.top)
        assert len(result.top) == len(indices)
    else:
        assert result.code == "BAD_REPLY"


@given(st.binary(max_size=64))
def test_any_bytes_that_parse_are_a_prediction_or_a_reason(data: bytes) -> None:
    try:
        reply = pb.Reply.FromString(data)
    except DecodeError:
        return
    assert isinstance(read_reply(reply, EXPECTED), (Prediction, Rejection))


GIVEN = (
    OutputSpec("probabilities", "probabilities", (3,)),
    OutputSpec("code", "embedding", (2,)),
    OutputSpec("boxes", "tensor", (None, 4), "float16"),
)
MANY = Expected(CLASSES, ("c1", "c2", "c3"), GIVEN, (1, 2), 64)
NO_CLASSES = Expected((), (), GIVEN[1:], (0,), 64)


def test_a_class_has_its_id_beside_its_name() -> None:
    prediction = pb.Prediction(class_index=[2], score=[0.5])
    result = read_reply(pb.Reply(prediction=prediction), replace(MANY, outputs=()))
    assert isinstance(result, Prediction)
    assert (result.top[0].name, result.top[0].id) == ("owl", "c3")


def test_what_was_asked_for_and_did_not_come_is_said() -> None:
    prediction = pb.Prediction(class_index=[2], score=[0.5])
    result = read_reply(pb.Reply(prediction=prediction), MANY)
    assert result == Rejection("BAD_REPLY", "no output code, boxes; an older server knows none")


def test_a_class_of_a_bundle_without_classes_is_no_prediction() -> None:
    prediction = pb.Prediction(class_index=[0], score=[0.5])
    result = read_reply(pb.Reply(prediction=prediction), NO_CLASSES)
    assert result == Rejection("BAD_REPLY", "1 classes of a bundle that has 0")


TENSORS = st.builds(
    pb.Tensor,
    output=st.integers(0, 3) | st.integers(0, 2**32 - 1),
    shape=st.lists(st.integers(0, 4) | st.integers(0, 2**32 - 1), max_size=7),
    data=st.sampled_from([b"", bytes(8), bytes(16), bytes(32)]) | st.binary(max_size=80),
)


@given(st.sampled_from([MANY, NO_CLASSES]), st.lists(TENSORS, max_size=3), st.booleans())
def test_any_outputs_are_those_of_the_manifest_or_rejected(
    expected: Expected, tensors: list[pb.Tensor], scored: bool
) -> None:
    prediction = pb.Prediction(outputs=tensors)
    if scored:
        prediction.class_index.append(1)
        prediction.score.append(0.5)
    result = read_reply(pb.Reply(prediction=prediction), expected)
    if isinstance(result, Rejection):
        assert result.code == "BAD_REPLY"
        assert len(result.message) <= 1000
        return
    wanted = [expected.given[position] for position in expected.outputs]
    assert list(result.outputs) == [output.name for output in wanted]
    assert all(output.fits(result.outputs[output.name].shape) for output in wanted)
    assert sum(array.nbytes for array in result.outputs.values()) <= 64
    assert bool(result.top) == bool(expected.classes)
