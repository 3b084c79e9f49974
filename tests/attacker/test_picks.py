from siftfunnel.attacker.pipeline import PICTURES_PER_S
from siftfunnel.attacker.workshop import MAX_PICKED, Picks


def test_a_sequence_is_shown_through_every_network_or_through_none() -> None:
    picks = Picks(per_s=2.0)
    first = {sequence: picks.wants(sequence, sequence / 10) for sequence in range(20)}
    second = {sequence: picks.wants(sequence, 2.0 + sequence / 10) for sequence in range(20)}
    assert first == second
    assert 2 <= sum(first.values()) <= 8


def test_of_a_few_pictures_that_come_in_turn_each_is_shown() -> None:
    for period in (2, 3, 4, 5, 8, 10):
        picks = Picks(PICTURES_PER_S)
        shown = {sequence % period for sequence in range(600) if picks.wants(sequence, sequence / 10)}
        assert shown == set(range(period))


def test_a_number_that_comes_again_much_later_is_decided_anew() -> None:
    picks = Picks(per_s=2.0)
    assert [picks.wants(1, 0.0), picks.wants(2, 0.1), picks.wants(2, 11.0)] == [True, False, True]


def test_what_was_decided_is_forgotten_in_time() -> None:
    picks = Picks(per_s=1.0)
    for sequence in range(10 * MAX_PICKED):
        picks.wants(sequence, 0.0)
    assert len(picks._decided) == MAX_PICKED
