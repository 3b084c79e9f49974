"""The window: every frame handed in is settled exactly once, whatever happens in between."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from siftfunnel.edge_client.frame import EncodedFrame
from siftfunnel.edge_client.settings import WindowPolicy
from siftfunnel.edge_client.window import Finish, InFlightWindow, Send, Stalled, Wait


def make_window(**limits: float) -> InFlightWindow:
    return InFlightWindow(WindowPolicy(**{"limit": 4, **limits}), lambda: 0.0)


def frame(sequence: int, deadline_s: float | None = None) -> EncodedFrame:
    return EncodedFrame(sequence, f"{sequence}.png", None, bytes([sequence]), deadline_s=deadline_s)


def sent(window: InFlightWindow, now_s: float = 0.0) -> list[int]:
    """Sequences that the window lets go now."""
    numbers = []
    while isinstance(step := window.next_step(now_s), Send):
        numbers.append(step.frame.sequence)
    return numbers


def failures(window: InFlightWindow) -> list[tuple[int, str]]:
    return [(failed.held.frame.sequence, failed.code) for failed in window.take_failed()]


def test_nothing_is_sent_before_the_server_agreed_to_the_stream() -> None:
    window = make_window()
    window.hand_in(frame(0))
    assert window.next_step(0.0) == Finish()
    window.connected(8, 0.0)
    assert sent(window) == [0]


def groups(window: InFlightWindow, most: int, now_s: float = 0.0) -> list[list[int]]:
    """Sequences of each message that the window lets go now."""
    found = []
    while isinstance(steps := window.next_steps(now_s, most), list):
        found.append([step.frame.sequence for step in steps])
    return found


def test_the_first_frame_goes_alone_and_the_next_ones_wait_for_company() -> None:
    window = make_window(limit=8)
    window.connected(8, 0.0)
    window.hand_in(frame(0))
    assert groups(window, 3) == [[0]]
    window.hand_in(frame(1))
    window.hand_in(frame(2))
    assert groups(window, 3) == []
    window.hand_in(frame(3))
    assert groups(window, 3) == [[1, 2, 3]]


def test_waiting_for_company_ends_with_the_last_reply_and_with_the_source() -> None:
    window = make_window(limit=8)
    window.connected(8, 0.0)
    for number in (0, 1):
        window.hand_in(frame(number))
        if number == 0:
            assert groups(window, 4) == [[0]]
    assert groups(window, 4) == []
    window.settle(0, 0.1)
    assert groups(window, 4) == [[1]]
    window.hand_in(frame(2))
    assert groups(window, 4) == []
    window.close()
    assert groups(window, 4) == [[2]]


@pytest.mark.parametrize(("server_window", "largest"), [(8, 4), (3, 1), (1, 1)])
def test_one_message_takes_half_of_the_window_at_most(server_window: int, largest: int) -> None:
    window = make_window(limit=8)
    window.connected(server_window, 0.0)
    for number in range(8):
        window.hand_in(frame(number))
    assert {len(group) for group in groups(window, 100)} == {largest}


def test_after_a_suspicion_frames_go_one_by_one() -> None:
    window = make_window(limit=8)
    window.connected(8, 0.0)
    window.hand_in(frame(0))
    assert groups(window, 4) == [[0]]
    window.disconnected(0.1, suspect=True)
    for number in (1, 2, 3):
        window.hand_in(frame(number))
    window.connected(8, 0.2)
    assert groups(window, 4) == [[0]]


def test_no_more_frames_are_in_flight_than_the_server_takes() -> None:
    window = make_window()
    for sequence in range(4):
        window.hand_in(frame(sequence))
    window.connected(2, 0.0)
    assert sent(window) == [0, 1]
    assert window.settle(0, 0.1) is not None
    assert sent(window) == [2]


def test_a_server_that_tells_no_window_gets_one_frame_at_a_time() -> None:
    window = make_window()
    window.hand_in(frame(0))
    window.hand_in(frame(1))
    window.connected(None, 0.0)
    assert sent(window) == [0]


def test_memory_is_bounded_by_the_limit() -> None:
    window = make_window(limit=2)
    window.hand_in(frame(0))
    assert window.has_room()
    assert not window.has_room(limit=1)
    window.hand_in(frame(1))
    assert not window.has_room()
    with pytest.raises(ValueError, match="full"):
        window.hand_in(frame(2))


def test_a_number_is_not_taken_twice() -> None:
    window = make_window()
    window.hand_in(frame(3))
    with pytest.raises(ValueError, match="already"):
        window.hand_in(frame(3))


def test_a_lost_connection_sends_everything_unanswered_again_in_order() -> None:
    window = make_window()
    for sequence in range(4):
        window.hand_in(frame(sequence))
    window.connected(8, 0.0)
    assert sent(window) == [0, 1, 2, 3]
    window.settle(1, 0.1)
    window.disconnected(0.2, suspect=False)
    window.connected(8, 0.3)
    assert sent(window) == [0, 2, 3]
    held = window.settle(0, 0.4)
    assert held is not None
    assert (held.sends, held.first_sent_s) == (2, 0.0)


def test_a_reply_for_a_frame_that_is_not_in_flight_settles_nothing() -> None:
    window = make_window()
    window.hand_in(frame(0))
    window.connected(8, 0.0)
    assert window.settle(0, 0.0) is None
    assert sent(window) == [0]
    assert window.settle(0, 0.1) is not None
    assert window.settle(0, 0.2) is None
    assert window.settle(99, 0.2) is None


def test_a_refused_frame_waits_as_long_as_the_server_says() -> None:
    window = make_window()
    window.hand_in(frame(0))
    window.connected(8, 0.0)
    sent(window)
    window.refused(0, 500, "queue full", 1.0)
    assert window.next_step(1.0) == Wait(1.5)
    assert sent(window, 1.49) == []
    assert sent(window, 1.5) == [0]


def test_waits_grow_when_the_server_goes_on_refusing_with_a_short_hint() -> None:
    window = make_window(retry_floor_ms=10.0, retry_ceiling_ms=30.0)
    window.hand_in(frame(0))
    window.connected(8, 0.0)
    waits = []
    for _ in range(4):
        assert sent(window, 100.0) == [0]
        window.refused(0, 1, "queue full", 0.0)
        step = window.next_step(0.0)
        assert isinstance(step, Wait)
        waits.append(step.until_s)
    assert waits == [0.01, 0.02, 0.03, 0.03]


def test_a_frame_refused_too_often_gets_the_servers_reason() -> None:
    window = make_window(refusals_max=3)
    window.hand_in(frame(0))
    window.connected(8, 0.0)
    for _ in range(3):
        assert sent(window, 100.0) == [0]
        window.refused(0, 1, "queue full", 0.0)
    (failed,) = window.take_failed()
    assert (failed.code, failed.message) == ("RESOURCE_EXHAUSTED", "refused 3 times, last: queue full")
    assert window.unanswered == 0


def test_a_draining_server_gets_no_more_frames_and_the_next_one_gets_them_all() -> None:
    window = make_window()
    for sequence in range(3):
        window.hand_in(frame(sequence))
    window.connected(2, 0.0)
    assert sent(window) == [0, 1]
    window.turned_away(0, 0.1)
    assert window.next_step(0.1) == Finish()
    assert window.settle(1, 0.2) is not None
    window.disconnected(0.3, suspect=False)
    window.connected(2, 0.4)
    assert sent(window) == [0, 2]


def test_a_budget_that_runs_out_before_sending_is_an_error_and_the_frame_is_not_sent() -> None:
    window = make_window()
    window.hand_in(frame(0, deadline_s=1.0))
    window.hand_in(frame(1))
    window.connected(8, 2.0)
    assert sent(window, 2.0) == [1]
    assert failures(window) == [(0, "BUDGET_EXCEEDED")]


def test_what_is_left_of_a_budget_travels_with_the_frame() -> None:
    window = make_window()
    window.hand_in(frame(0, deadline_s=10.0))
    window.connected(8, 9.75)
    assert window.next_step(9.75) == Send(frame(0, deadline_s=10.0), 250)


def test_the_last_millisecond_of_a_budget_is_not_sent_as_zero() -> None:
    window = make_window()
    window.hand_in(frame(0, deadline_s=10.0))
    window.connected(8, 9.9995)
    step = window.next_step(9.9995)
    assert isinstance(step, Send)
    assert step.budget_ms == 1


def test_a_server_that_stops_replying_is_noticed_only_while_it_owes_a_reply() -> None:
    window = make_window(reply_timeout_s=5.0)
    window.connected(8, 0.0)
    assert window.next_step(100.0) == Wait(None)
    window.hand_in(frame(0))
    assert isinstance(window.next_step(100.0), Send)
    assert window.next_step(104.0) == Wait(105.0)
    assert window.next_step(105.0) == Stalled("has answered nothing for 5.0 s; is it overloaded?")


def test_frames_that_may_have_ended_the_call_go_alone_until_the_guilty_one_is_found() -> None:
    window = make_window(suspicions_max=2)
    for sequence in range(3):
        window.hand_in(frame(sequence))
    window.connected(8, 0.0)
    assert sent(window) == [0, 1, 2]
    window.disconnected(0.1, suspect=True, message="INTERNAL: boom")
    window.connected(8, 0.2)
    assert sent(window) == [0]
    window.disconnected(0.3, suspect=True, message="INTERNAL: boom")
    assert failures(window) == []
    window.connected(8, 0.4)
    assert sent(window) == [0]
    window.disconnected(0.5, suspect=True, message="INTERNAL: boom")
    assert failures(window) == [(0, "REJECTED")]
    window.connected(8, 0.6)
    assert sent(window) == [1]
    window.settle(1, 0.7)
    assert sent(window) == [2]


def test_giving_up_settles_every_frame_wherever_it_is() -> None:
    window = make_window()
    for sequence in range(4):
        window.hand_in(frame(sequence))
    window.connected(2, 0.0)
    assert sent(window) == [0, 1]
    window.refused(0, 1000, "queue full", 0.0)
    window.abandon("CANCELLED", "stopped")
    assert failures(window) == [(number, "CANCELLED") for number in range(4)]
    assert window.done


class AnyInterleaving(RuleBasedStateMachine):
    """Drops, answers, refusals, drains and budgets in any order; the books must balance at the end."""

    @initialize(limit=st.integers(1, 6), refusals=st.integers(1, 4), suspicions=st.integers(1, 3))
    def begin(self, limit: int, refusals: int, suspicions: int) -> None:
        policy = WindowPolicy(limit=limit, refusals_max=refusals, suspicions_max=suspicions)
        self.window = InFlightWindow(policy, lambda: 0.5)
        self.now_s = 0.0
        self.handed_in: list[int] = []
        self.settled: list[int] = []
        self.wire: list[int] = []
        self.server_window = 0
        self.connected = False

    def collect(self) -> None:
        """Take what the window has failed; what waits no more in flight is off the wire."""
        self.settled += [failed.held.frame.sequence for failed in self.window.take_failed()]
        self.wire = [sequence for sequence in self.wire if self.window.payload_of(sequence) is not None]

    @rule(budget_s=st.none() | st.floats(0.001, 5.0))
    def hand_in(self, budget_s: float | None) -> None:
        if self.window.has_room():
            sequence = len(self.handed_in)
            self.window.hand_in(self.frame(sequence, budget_s))
            self.handed_in.append(sequence)

    def frame(self, sequence: int, budget_s: float | None) -> EncodedFrame:
        deadline_s = None if budget_s is None else self.now_s + budget_s
        return EncodedFrame(sequence, "x", None, b"x", deadline_s=deadline_s)

    @precondition(lambda self: not self.connected)
    @rule(server_window=st.none() | st.integers(0, 5))
    def connect(self, server_window: int | None) -> None:
        self.window.connected(server_window, self.now_s)
        self.server_window = max(1, server_window or 1)
        self.connected = True

    @precondition(lambda self: self.connected)
    @rule(suspect=st.booleans())
    def drop(self, suspect: bool) -> None:
        self.window.disconnected(self.now_s, suspect=suspect, message="gone")
        self.wire, self.connected = [], False
        self.collect()

    @precondition(lambda self: self.connected)
    @rule()
    def send(self) -> None:
        step = self.window.next_step(self.now_s)
        self.collect()
        if isinstance(step, Send):
            assert step.frame.sequence not in self.wire
            assert step.frame.sequence not in self.settled
            self.wire.append(step.frame.sequence)

    @precondition(lambda self: self.wire)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        sequence = self.wire.pop(data.draw(st.integers(0, len(self.wire) - 1)))
        assert self.window.settle(sequence, self.now_s) is not None
        self.settled.append(sequence)

    @precondition(lambda self: self.connected)
    @rule()
    def damaged_reply(self) -> None:
        self.window.damaged(self.now_s)
        self.collect()

    @precondition(lambda self: self.wire)
    @rule(hint_ms=st.integers(0, 3000))
    def refuse(self, hint_ms: int) -> None:
        self.window.refused(self.wire.pop(0), hint_ms, "full", self.now_s)
        self.collect()

    @precondition(lambda self: self.wire)
    @rule()
    def turn_away(self) -> None:
        self.window.turned_away(self.wire.pop(0), self.now_s)

    @rule(sequence=st.integers(0, 50))
    def stray_reply(self, sequence: int) -> None:
        if sequence not in self.wire:
            assert self.window.settle(sequence, self.now_s) is None

    @rule(seconds=st.floats(0.0, 3.0))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.window.expire(self.now_s)
        self.collect()

    @invariant()
    def limits_hold(self) -> None:
        assert len(self.wire) == self.window.in_flight <= self.server_window
        assert self.window.unanswered <= self.window.policy.limit
        assert self.window.unanswered == len(self.handed_in) - len(self.settled)

    def teardown(self) -> None:
        if not hasattr(self, "window"):
            return
        self.window.close()
        if self.connected:
            self.drop(False)
        rounds = 0
        while not self.window.done:
            rounds += 1
            assert rounds < 200, "the window does not run empty although every frame sent is answered"
            self.connect(4)
            while isinstance(step := self.window.next_step(self.now_s), Send):
                assert self.window.settle(step.frame.sequence, self.now_s) is not None
                self.settled.append(step.frame.sequence)
            self.collect()
            self.drop(False)
            self.now_s += 10.0
        assert sorted(self.settled) == self.handed_in


TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
