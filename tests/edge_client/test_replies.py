"""Whatever a server says becomes a prediction of this bundle's classes or a reason."""

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.edge_client.expected import Expected
from siftfunnel.edge_client.outcome import ClassScore, ServerTimings
from siftfunnel.edge_client.replies import Prediction, Rejection, read_reply
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
