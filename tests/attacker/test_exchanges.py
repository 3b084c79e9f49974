import numpy as np
import pytest

from siftfunnel.attacker.exchanges import (
    EXCHANGE_BYTES,
    Answer,
    Census,
    Exchange,
    Heard,
    Pairs,
    Tensors,
    answer_of,
    frame_key,
)
from siftfunnel.shared.rpc import split_inference_pb2 as pb

KEY = frame_key("ab" * 32, 7, b"payload")
CALL = ("relay", "c1", 1)
HEARD = Heard(Answer(2, 0.5), 1.0, 20)


def exchange(tap: str = "relay", number: int = 0) -> Exchange:
    return Exchange(number, tap, "c1", 0.0, KEY[0], KEY[1], 5, b"payload")


def meet(census: Census, tap: str, now_s: float, known: Exchange | None = None) -> Exchange:
    found, place = census.find(tap, KEY, now_s)
    kept = found or known or exchange(tap)
    census.note(tap, KEY, place, kept)
    return kept


def test_an_unanswered_frame_that_comes_again_is_the_same_however_late() -> None:
    census = Census(grace_s=5.0)
    first = meet(census, "relay", 0.0)
    assert meet(census, "relay", 1000.0) is first


def test_an_answered_frame_is_the_same_within_the_grace_and_a_new_one_after_it() -> None:
    census = Census(grace_s=5.0)
    first = meet(census, "relay", 0.0)
    first.answered_s = 1.0
    assert meet(census, "relay", 6.0) is first
    second = meet(census, "relay", 6.1)
    assert second is not first
    assert meet(census, "relay", 7.0) is second


def test_two_taps_that_hear_one_frame_mean_one_exchange_whichever_is_first() -> None:
    census = Census()
    first = meet(census, "relay", 0.0)
    assert meet(census, "cloud", 0.1) is first


def test_the_second_round_of_an_edge_pairs_across_taps_too() -> None:
    census = Census(grace_s=5.0)
    first = meet(census, "relay", 0.0)
    first.answered_s = 0.1
    second = meet(census, "relay", 100.0)
    assert second is not first
    assert meet(census, "cloud", 100.1) is first
    assert meet(census, "cloud", 100.2) is second


def test_a_census_forgets_the_oldest_frames_first() -> None:
    census = Census(capacity=2)
    for sequence in range(3):
        key = (KEY[0], sequence, KEY[2])
        census.note("relay", key, 0, exchange())
    assert census.find("relay", (KEY[0], 0, KEY[2]), 0.0) == (None, 0)
    assert census.find("relay", (KEY[0], 2, KEY[2]), 0.0)[0] is not None


def test_a_settled_exchange_holds_no_tensor_and_no_payload() -> None:
    settled = exchange()
    settled.settle("ada")
    assert (settled.payload, settled.features_CHW, settled.reconstruction_HWC) == (b"", None, None)
    assert (settled.settled, settled.label) == (True, "ada")


def test_a_reply_finds_its_frame_by_tap_connection_stream_and_sequence() -> None:
    pairs = Pairs()
    asked = exchange()
    assert pairs.expect(CALL, asked) is None
    assert pairs.take(("relay", "c2", 1), 7, HEARD) is None
    assert pairs.take(("cloud", "c1", 1), 7, HEARD) is None
    assert pairs.take(("relay", "c1", 3), 7, HEARD) is None
    assert pairs.take(CALL, 8, HEARD) is None
    assert pairs.take(CALL, 7, HEARD) is asked
    assert pairs.take(CALL, 7, HEARD) is None


def test_pairs_forget_the_oldest_first() -> None:
    pairs = Pairs(capacity=1)
    pairs.expect(CALL, exchange())
    pairs.expect(("relay", "c2", 1), exchange())
    assert pairs.take(CALL, 7, HEARD) is None
    assert pairs.take(CALL, 8, HEARD) is None
    assert pairs.expect(CALL, exchange()) is None


def test_a_reply_that_was_heard_before_its_frame_is_kept_for_it() -> None:
    pairs = Pairs()
    assert pairs.take(CALL, 7, HEARD) is None
    assert pairs.expect(CALL, exchange()) == HEARD
    assert pairs.expect(CALL, exchange()) is None


def test_behind_an_early_error_an_answer_is_still_expected() -> None:
    pairs, asked = Pairs(), exchange()
    refused = Heard(None, 1.0, 20)
    pairs.take(CALL, 7, refused)
    assert pairs.expect(CALL, asked) == refused
    assert pairs.take(CALL, 7, HEARD) is asked


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (pb.Reply(prediction=pb.Prediction(class_index=[2, 1], score=[0.5, 0.25])), Answer(2, 0.5)),
        (pb.Reply(prediction=pb.Prediction(class_index=[2], score=[float("nan")])), Answer(2, 0.0)),
        (pb.Reply(prediction=pb.Prediction(class_index=[2], score=[7.0])), Answer(2, 1.0)),
        (pb.Reply(prediction=pb.Prediction(class_index=[2], score=[-7.0])), Answer(2, 0.0)),
        (pb.Reply(prediction=pb.Prediction()), Answer()),
        (pb.Reply(prediction=pb.Prediction(class_index=[2])), Answer()),
        (pb.Reply(error=pb.FrameError(code=pb.FrameError.INTERNAL)), None),
        (pb.Reply(), None),
    ],
)
def test_an_answer_is_the_first_class_of_a_prediction(reply: pb.Reply, answer: Answer | None) -> None:
    assert answer_of(reply) == answer


def test_an_early_reply_is_kept_without_its_tensors() -> None:
    pairs = Pairs()
    pairs.take(CALL, 7, Heard(Answer(), 1.0, 20, [pb.Tensor(data=bytes(1000))]))
    assert pairs.expect(CALL, exchange()) == Heard(Answer(), 1.0, 20)


def test_tensors_that_wait_are_bounded_and_the_oldest_are_let_go() -> None:
    tensors = Tensors(limit_bytes=1000 + 2 * EXCHANGE_BYTES)
    waiting = [exchange(number=number) for number in range(4)]
    for each in waiting:
        tensors.keep(each, {"embedding": np.zeros(100, np.float32)})
    assert [bool(each.outputs) for each in waiting] == [False, False, True, True]
    tensors.keep(waiting[0], {"large": np.zeros(10_000, np.float32)})
    assert [bool(each.outputs) for each in waiting] == [True, False, False, False]
    waiting[0].settle(None)
    assert waiting[0].outputs == {}


def test_of_many_small_answers_no_more_are_held_than_their_exchanges_allow() -> None:
    tensors = Tensors(limit_bytes=10 * EXCHANGE_BYTES)
    waiting = [exchange(number=number) for number in range(100)]
    for each in waiting:
        tensors.keep(each, {"embedding": np.zeros(1, np.float32)})
    assert sum(bool(each.outputs) for each in waiting) < 10
