"""Logits and failures as reply bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from siftfunnel.cloud_server import answers
from siftfunnel.cloud_server.answers import Ranking, ServerTimes
from siftfunnel.shared.rpc import split_inference_pb2 as pb


def best(logits: list[float], top_k: int) -> Ranking:
    (ranking,) = answers.rank(np.array([logits], np.float32), top_k)
    assert ranking is not None
    return ranking


def test_the_best_classes_come_first_with_their_softmax_probabilities() -> None:
    classes, scores = best(np.log([1.0, 6.0, 3.0]).tolist(), top_k=2)
    assert classes == [1, 2]
    assert scores == pytest.approx([0.6, 0.3], abs=1e-6)
    assert best(np.log([1.0, 6.0, 3.0]).tolist(), top_k=1) == ([1], pytest.approx([0.6], abs=1e-6))


def test_equal_logits_keep_the_order_of_the_classes() -> None:
    assert best([2.0, 5.0, 5.0, 2.0], 4)[0] == [1, 2, 0, 3]
    assert best([2.0, 5.0, 5.0, 2.0], 1)[0] == [1]


def test_more_classes_than_there_are_means_all_of_them() -> None:
    assert len(best([0.0, 0.0, 0.0], 10)[0]) == 3


@pytest.mark.parametrize("top_k", [1, 3])
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_row_without_a_meaning_is_told_apart_from_its_neighbours(broken: float, top_k: int) -> None:
    rankings = answers.rank(np.array([[0.0, 1.0], [0.0, broken], [2.0, 1.0]], np.float32), top_k)
    assert [ranking and ranking[0][0] for ranking in rankings] == [1, None, 0]


@given(arrays(np.float32, (3, 5), elements=st.floats(-(2.0**127), 2.0**127, width=32)), st.integers(1, 6))
def test_scores_are_probabilities_in_falling_order_however_large_the_logits(
    logits: np.ndarray, top_k: int
) -> None:
    for row, ranking in zip(logits, answers.rank(logits, top_k), strict=True):
        assert ranking is not None
        classes, scores = ranking
        assert all(0 <= score <= 1 for score in scores)
        assert scores == sorted(scores, reverse=True)
        assert classes[0] == row.argmax()
        assert len(classes) == len(scores) == min(top_k, 5)


def test_a_prediction_carries_its_sequence_and_where_the_time_went() -> None:
    times = ServerTimes(queue_s=0.001, decode_s=0.00025, compute_s=0.004, batch_size=3)
    reply = pb.Reply.FromString(answers.prediction(2**40, [7, 1], [0.75, 0.25], times))
    assert reply.sequence == 2**40
    assert list(reply.prediction.class_index) == [7, 1]
    assert list(reply.prediction.score) == [0.75, 0.25]
    assert reply.prediction.timings == pb.Timings(queue_us=1000, decode_us=250, compute_us=4000, batch_size=3)


def test_a_time_beyond_its_field_is_cut_instead_of_failing_the_answer() -> None:
    times = ServerTimes(queue_s=1e6, decode_s=-1e-9, compute_s=0.0, batch_size=1)
    timings = pb.Reply.FromString(answers.prediction(0, [0], [1.0], times)).prediction.timings
    assert (timings.queue_us, timings.decode_us) == (2**32 - 1, 0)


def test_a_failure_carries_code_text_and_when_to_try_again() -> None:
    reply = pb.Reply.FromString(answers.failure(5, pb.FrameError.RESOURCE_EXHAUSTED, "full", 20))
    assert reply == pb.Reply(
        sequence=5,
        error=pb.FrameError(code=pb.FrameError.RESOURCE_EXHAUSTED, message="full", retry_after_ms=20),
    )
