"""The batching policy with a clock of our own: when a batch starts, who is in it, who is too late."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.cloud_server.batching import BatchPolicy, BatchQueue, Poll


def queue_of(*names: str, policy: BatchPolicy, source: object = "s", now_s: float = 0.0) -> BatchQueue[str]:
    queue: BatchQueue[str] = BatchQueue(policy)
    for name in names:
        assert queue.offer(name, source, now_s) is None
    return queue


def test_an_idle_worker_starts_at_once_by_default() -> None:
    queue = queue_of("a", policy=BatchPolicy())
    assert queue.poll(0.0, sources_open=9) == Poll(["a"], [], None)


def test_an_empty_queue_says_to_sleep_until_a_frame_comes() -> None:
    queue: BatchQueue[str] = BatchQueue(BatchPolicy(max_wait_ms=5))
    assert queue.poll(0.0, sources_open=1) == Poll([], [], None)


def test_frames_that_gathered_while_workers_were_busy_leave_together_oldest_first() -> None:
    queue = queue_of("a", "b", "c", policy=BatchPolicy(max_batch_size=2))
    assert queue.poll(1.0, 1).batch == ["a", "b"]
    assert queue.poll(1.0, 1).batch == ["c"]


def test_a_lone_frame_is_held_back_until_its_wait_is_over() -> None:
    queue = queue_of("a", policy=BatchPolicy(max_wait_ms=4), now_s=1.0)
    held = queue.poll(1.001, sources_open=2)
    assert held.batch == []
    assert held.wait_s == pytest.approx(0.003)
    assert queue.poll(1.004, sources_open=2).batch == ["a"]


def test_waiting_ends_when_the_batch_is_full() -> None:
    queue = queue_of("a", "b", policy=BatchPolicy(max_batch_size=2, max_wait_ms=1000))
    assert queue.poll(0.0, sources_open=9).batch == ["a", "b"]


def test_waiting_ends_when_every_open_stream_has_a_frame_in_the_queue() -> None:
    queue = queue_of("a", policy=BatchPolicy(max_wait_ms=1000), source=1)
    assert queue.poll(0.0, sources_open=2).batch == []
    queue.offer("b", 2, 0.0)
    assert queue.poll(0.0, sources_open=2).batch == ["a", "b"]


def test_a_stream_that_is_alone_never_waits() -> None:
    queue = queue_of("a", policy=BatchPolicy(max_wait_ms=1000))
    assert queue.poll(0.0, sources_open=1).batch == ["a"]


def test_the_wait_takes_at_most_half_of_a_budget() -> None:
    queue: BatchQueue[str] = BatchQueue(BatchPolicy(max_wait_ms=1000))
    queue.offer("patient", 1, 0.0)
    queue.offer("urgent", 1, 0.0, budget_s=0.010)
    assert queue.poll(0.0, sources_open=2).wait_s == pytest.approx(0.005)
    assert queue.poll(0.005, sources_open=2).batch == ["patient", "urgent"]


def test_a_frame_over_its_budget_is_handed_back_and_takes_no_place_in_the_batch() -> None:
    queue: BatchQueue[str] = BatchQueue(BatchPolicy(max_batch_size=2))
    queue.offer("late", 1, 0.0, budget_s=0.010)
    queue.offer("a", 1, 0.0)
    queue.offer("b", 1, 0.0, budget_s=0.020)
    assert queue.poll(0.010, 1) == Poll(["a", "b"], ["late"], None)


def test_a_full_queue_refuses_and_takes_again_after_a_batch_left() -> None:
    queue = queue_of("a", "b", policy=BatchPolicy(max_batch_size=1, queue_limit_frames=2))
    assert queue.offer("c", "s", 0.0) == "c"
    assert queue.poll(0.0, 1).batch == ["a"]
    assert queue.offer("c", "s", 0.0) is None


def test_streams_take_turns_and_keep_their_own_order() -> None:
    queue = queue_of("a1", "a2", "a3", policy=BatchPolicy(max_batch_size=4), source="a")
    for name in ("b1", "b2"):
        queue.offer(name, "b", 0.0)
    assert list(queue.oldest(9)) == ["a1", "b1", "a2", "b2", "a3"]
    assert queue.poll(0.0, 2).batch == ["a1", "b1", "a2", "b2"]
    assert queue.poll(0.0, 2).batch == ["a3"]


def test_a_client_with_many_streams_has_one_turn_like_everybody() -> None:
    queue: BatchQueue[str] = BatchQueue(BatchPolicy(max_batch_size=4))
    for stream in "pqr":
        queue.offer(f"{stream}1", stream, 0.0, client="greedy")
        queue.offer(f"{stream}2", stream, 0.0, client="greedy")
    queue.offer("h1", "h", 0.0, client="honest")
    queue.offer("h2", "h", 0.0, client="honest")
    assert queue.poll(0.0, 9).batch == ["p1", "h1", "q1", "h2"]


def test_a_full_queue_makes_room_for_who_has_less_in_it() -> None:
    queue = queue_of("a1", "a2", "a3", policy=BatchPolicy(max_batch_size=1, queue_limit_frames=3), source="a")
    assert queue.offer("b1", "b", 0.0) == "a3"
    assert queue.offer("b2", "b", 0.0) == "b2"
    assert queue.offer("c1", "c", 0.0, client="another") == "a2"
    assert queue.clear() == ["a1", "c1", "b1"]


def test_budgets_that_ran_out_are_found_without_a_worker() -> None:
    queue: BatchQueue[str] = BatchQueue(BatchPolicy())
    assert queue.expires_s == math.inf
    queue.offer("patient", 1, 0.0)
    queue.offer("first", 1, 0.0, budget_s=0.010)
    queue.offer("second", 2, 0.0, budget_s=0.020)
    assert queue.expires_s == 0.010
    assert queue.expire(0.009) == []
    assert queue.expire(0.010) == ["first"]
    assert queue.expires_s == 0.020
    assert queue.expire(5.0) == ["second"]
    assert (queue.expires_s, queue.clear()) == (math.inf, ["patient"])


def test_a_source_that_went_away_takes_its_frames_with_it() -> None:
    queue = queue_of("a", policy=BatchPolicy(), source=1)
    queue.offer("b", 2, 0.0)
    queue.offer("c", 1, 0.0)
    assert queue.discard(1) == ["a", "c"]
    assert queue.discard(1) == []
    assert queue.poll(0.0, 1).batch == ["b"]


def test_clearing_gives_back_everything() -> None:
    queue = queue_of("a", "b", policy=BatchPolicy(max_wait_ms=5))
    assert queue.clear() == ["a", "b"]
    assert len(queue) == 0
    assert queue.poll(99.0, 1) == Poll([], [], None)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"max_batch_size": 0}, "max_batch_size must be at least 1, not 0"),
        (
            {"max_batch_size": 8, "queue_limit_frames": 7},
            "queue_limit_frames .7. must be at least max_batch_size",
        ),
        ({"max_wait_ms": -1.0}, "max_wait_ms must be at least 0"),
        ({"max_wait_ms": math.nan}, "max_wait_ms must be at least 0"),
    ],
)
def test_a_policy_out_of_range_is_refused(fields: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        BatchPolicy(**fields)


Step = tuple[str, int, int, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["offer", "poll", "leave"]), st.integers(0, 3), st.integers(0, 8), st.integers(0, 12)
    ),
    max_size=80,
)
policies = st.builds(
    lambda size, extra, wait: BatchPolicy(size, float(wait), size + extra),
    st.integers(1, 5),
    st.integers(0, 6),
    st.integers(0, 6),
)


@given(policies, steps)
def test_every_frame_comes_out_exactly_once_and_in_order_per_source(
    policy: BatchPolicy, plan: list[Step]
) -> None:
    queue: BatchQueue[tuple[int, int]] = BatchQueue(policy)
    now_s, taken = 0.0, 0
    offered: list[tuple[int, int]] = []
    refused: list[tuple[int, int]] = []
    batched: list[tuple[int, int]] = []
    expired: list[tuple[int, int]] = []
    gone: list[tuple[int, int]] = []
    for action, source, wait_ms, budget_ms in plan:
        now_s += wait_ms / 1000
        if action == "offer":
            frame = (source, taken)
            taken += 1
            budget_s = budget_ms / 1000 if budget_ms else None
            offered.append(frame)
            displaced = queue.offer(frame, source, now_s, budget_s, client=source % 2)
            if displaced is not None:
                refused.append(displaced)
        elif action == "poll":
            poll = queue.poll(now_s, sources_open=3)
            assert len(poll.batch) <= policy.max_batch_size
            assert poll.wait_s is None or 0 < poll.wait_s <= policy.max_wait_ms / 1000 + 1e-9
            batched += poll.batch
            expired += poll.expired
        else:
            gone += queue.discard(source)
        assert len(queue) <= policy.queue_limit_frames
    rest = queue.clear()
    assert sorted(batched + expired + gone + refused + rest) == sorted(offered)
    for source in range(4):
        ran = [number for owner, number in batched + rest if owner == source]
        assert ran == sorted(ran)


@given(policies, st.lists(st.integers(0, 3), min_size=1, max_size=20))
def test_a_frame_is_held_back_no_longer_than_the_policy_says(policy: BatchPolicy, sources: list[int]) -> None:
    queue: BatchQueue[int] = BatchQueue(policy)
    waiting = set(range(len(sources)))
    for number, source in enumerate(sources):
        waiting.discard(queue.offer(number, source, 0.0))
    out: list[int] = []
    while len(queue):
        out += queue.poll(policy.max_wait_ms / 1000, sources_open=99).batch
    assert sorted(out) == sorted(waiting)


def test_a_quiet_client_goes_before_a_greedy_one_with_no_more_than_a_batch() -> None:
    queue: BatchQueue[str] = BatchQueue(BatchPolicy(max_batch_size=4, queue_limit_frames=64))
    for number in range(40):
        queue.offer(f"g{number}", "greedy", 0.0, client="greedy")
    served: list[str] = []
    for _ in range(4):
        served += queue.poll(0.0, 2).batch
    assert len(served) == 16
    for number in range(8):
        queue.offer(f"h{number}", "honest", 0.1, client="honest")
    assert list(queue.oldest(6)) == ["h0", "h1", "h2", "h3", "h4", "g16"]
    mixed = queue.poll(0.1, 2).batch + queue.poll(0.1, 2).batch
    assert mixed == ["h0", "h1", "h2", "h3", "h4", "g16", "h5", "g17"]


def test_batches_are_small_while_several_clients_are_active_and_large_again_afterwards() -> None:
    queue: BatchQueue[int] = BatchQueue(BatchPolicy(max_batch_size=8, queue_limit_frames=64))
    asked: list[int] = []

    def most_of(clients: int) -> int:
        asked.append(clients)
        return 2 * clients

    queue.offer(-1, "honest", 0.0, client="honest")
    for number in range(40):
        queue.offer(number, "greedy", 0.0, client="greedy")
    assert len(queue.poll(0.0, 2, most_of).batch) == 4
    # the honest one has nothing waiting, and may have something at any moment
    assert len(queue.poll(0.5, 2, most_of).batch) == 4
    queue.offer(40, "greedy", 1.5, client="greedy")
    assert len(queue.poll(2.0, 2, most_of).batch) == 8
    assert asked == [2, 2]
