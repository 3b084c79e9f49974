"""Backoff grows, is spread, and ends."""

import pytest

from siftfunnel.edge_client.reconnection import Reconnection
from siftfunnel.edge_client.settings import ReconnectPolicy

POLICY = ReconnectPolicy(initial_ms=100, factor=2, ceiling_ms=400, connect_timeout_s=10)


def test_waits_double_up_to_the_ceiling() -> None:
    reconnection = Reconnection(POLICY, lambda: 1.0)
    assert [reconnection.lost(0.0) for _ in range(4)] == [0.1, 0.2, 0.4, 0.4]


def test_jitter_halves_the_wait_at_most() -> None:
    assert Reconnection(POLICY, lambda: 0.0).lost(0.0) == 0.05


def test_it_gives_up_when_the_time_without_a_server_is_over() -> None:
    reconnection = Reconnection(POLICY, lambda: 1.0)
    reconnection.dialling(100.0)
    assert reconnection.lost(109.9) == pytest.approx(0.1)
    assert reconnection.lost(110.0) is None


def test_the_last_wait_is_cut_so_that_one_more_attempt_falls_into_the_time() -> None:
    reconnection = Reconnection(POLICY, lambda: 1.0)
    reconnection.dialling(0.0)
    assert reconnection.lost(9.95) == pytest.approx(0.05)


def test_an_answer_ends_the_outage() -> None:
    reconnection = Reconnection(POLICY, lambda: 1.0)
    reconnection.dialling(0.0)
    assert reconnection.lost(9.0) == 0.1
    reconnection.answered()
    assert reconnection.lost(11.0) == 0.1
    assert reconnection.lost(20.0) == 0.2


def test_time_spent_connected_does_not_count_but_does_not_end_the_outage_either() -> None:
    reconnection = Reconnection(POLICY, lambda: 1.0)
    reconnection.dialling(0.0)
    reconnection.opened(6.0)
    assert reconnection.lost(1000.0) is not None
    assert reconnection.lost(1003.9) is not None
    assert reconnection.lost(1004.0) is None


def test_a_server_that_falls_silent_again_and_again_is_given_up() -> None:
    reconnection = Reconnection(POLICY, lambda: 1.0)
    assert reconnection.lost(0.0, stalled=True) is not None
    reconnection.opened(0.1)
    assert reconnection.lost(60.0, stalled=True) is None


def test_no_patience_means_one_attempt() -> None:
    assert Reconnection(ReconnectPolicy(connect_timeout_s=0), lambda: 1.0).lost(0.0) is None


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="ceiling_ms must be at least initial_ms"):
        ReconnectPolicy(ceiling_ms=1)
