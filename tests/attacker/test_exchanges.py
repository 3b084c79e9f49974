import pytest

from attacker.exchanges import Answer, Census, Exchange, Pairs, answer_of
from shared.rpc import split_inference_pb2 as pb

KEY = ("ab" * 32, 7, b"\x01\x02\x03\x04")


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


def test_a_reply_finds_its_frame_by_tap_connection_and_sequence() -> None:
    pairs = Pairs()
    asked = exchange()
    pairs.expect("relay", "c1", asked)
    assert pairs.take("relay", "c2", 7) is None
    assert pairs.take("cloud", "c1", 7) is None
    assert pairs.take("relay", "c1", 8) is None
    assert pairs.take("relay", "c1", 7) is asked
    assert pairs.take("relay", "c1", 7) is None


def test_pairs_forget_the_oldest_first() -> None:
    pairs = Pairs(capacity=1)
    pairs.expect("relay", "c1", exchange())
    pairs.expect("relay", "c2", exchange())
    assert pairs.take("relay", "c1", 7) is None


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (pb.Reply(prediction=pb.Prediction(class_index=[2, 1], score=[0.5, 0.25])), Answer(2, 0.5)),
        (pb.Reply(prediction=pb.Prediction(class_index=[2], score=[float("nan")])), Answer(2, 0.0)),
        (pb.Reply(prediction=pb.Prediction(class_index=[2], score=[7.0])), Answer(2, 1.0)),
        (pb.Reply(prediction=pb.Prediction(class_index=[2], score=[-7.0])), Answer(2, 0.0)),
        (pb.Reply(prediction=pb.Prediction()), None),
        (pb.Reply(prediction=pb.Prediction(class_index=[2])), None),
        (pb.Reply(error=pb.FrameError(code=pb.FrameError.INTERNAL)), None),
        (pb.Reply(), None),
    ],
)
def test_an_answer_is_the_first_class_of_a_prediction(reply: pb.Reply, answer: Answer | None) -> None:
    assert answer_of(reply) == answer
