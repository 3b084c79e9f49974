"""When a party that died comes back, and when it does not."""

from siftfunnel.demo.processes import Restarts


def test_a_dead_party_comes_back_once_after_its_pause() -> None:
    restarts = Restarts(pause_s=3.0)
    assert not restarts.away
    assert restarts.died(10.0)
    assert restarts.away
    assert [restarts.due(12.9), restarts.due(13.0), restarts.due(13.1)] == [False, True, False]
    assert not restarts.away


def test_too_many_deaths_in_a_while_are_too_many_and_old_ones_are_forgotten() -> None:
    restarts = Restarts(most=2, within_s=100.0)
    assert [restarts.died(at_s) for at_s in (0.0, 50.0, 99.0, 149.9, 250.0)] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_a_death_that_was_asked_for_does_not_count() -> None:
    restarts = Restarts(most=1)
    for at_s in range(5):
        restarts.killed()
        assert restarts.died(float(at_s))
    assert restarts.died(5.0)
    assert not restarts.died(6.0)
