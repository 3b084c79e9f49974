"""What is in flight: its budget, its place in the order of replies, replies that cannot be trusted."""

from siftfunnel.edge_client.window import InFlightWindow, Stalled, Wait
from tests.edge_client.test_window import failures, frame, make_window, sent


def test_a_budget_that_runs_out_in_flight_settles_the_frame_and_an_answer_after_it_is_none() -> None:
    window = make_window()
    window.hand_in(frame(0, deadline_s=1.0))
    window.connected(8, 0.0)
    assert sent(window) == [0]
    assert window.next_step(0.5) == Wait(1.0)
    window.expire(1.0)
    assert failures(window) == [(0, "BUDGET_EXCEEDED")]
    assert window.settle(0, 1.1) is None


def test_a_frame_that_expired_in_flight_keeps_its_place_at_the_server_until_that_replies() -> None:
    window = make_window()
    window.connected(1, 0.0)
    window.hand_in(frame(0, deadline_s=1.0))
    assert sent(window) == [0]
    window.hand_in(frame(1))
    assert sent(window, 2.0) == []
    window.settle(0, 2.1)
    assert sent(window, 2.1) == [1]


def passing_over(window: InFlightWindow, sequence: int, now_s: float) -> list[int]:
    """What is sent later, when the server has answered everything in flight but one frame."""
    window.hand_in(frame(int(now_s) + 100))
    on_the_wire = sent(window, now_s)
    for other in on_the_wire:
        if other != sequence:
            assert window.settle(other, now_s) is not None
    return on_the_wire


def test_a_frame_that_the_server_passes_over_is_sent_again_and_then_fails_by_itself() -> None:
    window = make_window(losses_max=2, passed_over_s=4.0)
    window.connected(8, 0.0)
    window.hand_in(frame(3))
    assert passing_over(window, 3, 0.0) == [3, 100]
    assert sent(window, 3.9) == []
    assert passing_over(window, 3, 4.0) == [3, 104]
    assert window.next_step(5.0) == Wait(8.0)
    assert sent(window, 8.0) == []
    assert failures(window) == [(3, "NO_REPLY")]
    assert window.unanswered == 0


def test_a_frame_that_waits_for_its_turn_at_a_slow_server_is_not_passed_over() -> None:
    window = make_window(passed_over_s=1.0, reply_timeout_s=10.0)
    window.connected(8, 0.0)
    for sequence in range(4):
        window.hand_in(frame(sequence))
    assert sent(window) == [0, 1, 2, 3]
    for sequence in range(4):
        assert sent(window, 9.0 * sequence) == []
        held = window.settle(sequence, 9.0 * (sequence + 1))
        assert held is not None
        assert held.sends == 1


def test_replies_to_nothing_that_was_sent_are_no_sign_of_life() -> None:
    window = make_window(reply_timeout_s=5.0)
    window.connected(8, 0.0)
    window.hand_in(frame(0))
    sent(window)
    window.settle(99, 4.9)
    assert isinstance(window.next_step(5.0), Stalled)


def test_a_flood_of_replies_to_nothing_ends_the_connection_and_says_so() -> None:
    window = make_window(strays_max=10)
    window.connected(8, 0.0)
    window.hand_in(frame(0))
    sent(window)
    for sequence in range(50, 60):
        window.settle(sequence, 0.1)
    assert window.fault(0.1) is None
    window.settle(60, 0.1)
    step = window.next_step(0.1)
    assert isinstance(step, Stalled)
    assert "replies to frames that it was not sent, 11 since its last answer" in step.reason


def test_a_damaged_reply_is_the_oldest_frames_which_goes_again_up_to_a_limit() -> None:
    window = make_window(losses_max=2)
    window.connected(8, 0.0)
    for sequence in range(3):
        window.hand_in(frame(sequence))
    assert sent(window) == [0, 1, 2]
    window.damaged(0.1)
    assert sent(window, 0.1) == [0]
    for sequence in (1, 2):
        assert window.settle(sequence, 0.2) is not None
    window.damaged(0.3)
    assert failures(window) == [(0, "DAMAGED")]


def test_a_damaged_reply_where_none_is_owed_is_a_stray() -> None:
    window = make_window(strays_max=1)
    window.connected(8, 0.0)
    window.damaged(0.0)
    assert window.fault(0.0) is None
    window.damaged(0.0)
    assert window.fault(0.0) is not None


def test_a_hint_does_not_stretch_the_longest_wait() -> None:
    window = make_window(retry_ceiling_ms=2_000.0)
    window.hand_in(frame(0))
    window.connected(8, 0.0)
    sent(window)
    window.refused(0, 2**32 - 1, "queue full", 1.0)
    assert window.next_step(1.0) == Wait(3.0)
