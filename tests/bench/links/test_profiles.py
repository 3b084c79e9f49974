import json
from typing import Any

import pytest

from siftfunnel.bench.links.namespaces import netem_arguments
from siftfunnel.bench.links.probe import Bursts, settled_rate_kbit_s
from siftfunnel.bench.links.profiles import PROFILES, Direction, LinkProfile, link_profile
from siftfunnel.bench.links.relay import segments_at_most, without_loss
from siftfunnel.bench.stored import as_json, read


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_goes_to_another_process_and_back(name: str) -> None:
    profile = link_profile(name)
    assert profile.name == name
    assert profile.source
    assert read(LinkProfile, json.loads(json.dumps(as_json(profile))), "a link") == profile


def test_the_numbers_are_those_of_the_tables() -> None:
    assert str(link_profile("good-3g")) == "40 ms round trip, 750 kbit/s up, 1,500 kbit/s down"
    assert str(link_profile("5g-like")) == (
        "20 ms round trip, 30 Mbit/s up, 150 Mbit/s down, jitter 3 ms, loss 0.05%"
    )


def test_an_unknown_link_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown link '6g'; known: none, gprs, 2g, .*5g-like"):
        link_profile("6g")


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"rate_kbit_s": 0}, "rate must be above 0"),
        ({"rate_kbit_s": float("nan")}, "rate must be above 0"),
        ({"delay_ms": -1}, "between 0 and the delay"),
        ({"delay_ms": 5, "jitter_ms": 6}, "between 0 and the delay"),
        ({"loss": 1.0}, "share from 0 to below 1"),
        ({"queue_packets": 0}, "1 packet or more"),
    ],
)
def test_a_link_that_cannot_be_is_refused(figures: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Direction(**figures)


def test_the_kernel_is_told_the_same_figures() -> None:
    up = link_profile("5g-like").up
    assert netem_arguments(up) == [
        *("netem", "limit", "1000", "delay", "10ms", "3ms", "loss", "0.05%", "rate", "30000kbit"),
    ]
    assert netem_arguments(Direction()) == ["netem", "limit", "1000", "delay", "0ms"]


def test_a_relay_keeps_rate_and_delay_and_says_so_by_its_direction() -> None:
    up = link_profile("5g-like").up
    kept = without_loss(up)
    assert (kept.rate_kbit_s, kept.delay_ms, kept.jitter_ms, kept.loss) == (30_000, 10, 3, 0)
    assert segments_at_most(Direction(1_448, delay_ms=100)) == 37
    assert segments_at_most(Direction()) == 1000


def test_probing_packets_do_not_fill_a_slow_link() -> None:
    slow, fast = Bursts.for_rate(20), Bursts.for_rate(30_000)
    assert (slow.count, slow.interval_s) == (40, 0.256)  # 128 bytes every 256 ms: 4 of 20 kbit/s
    assert (fast.count, fast.interval_s) == (400, 0.005)


def test_slow_start_is_left_out_of_the_rate() -> None:
    marks = [(0.0, 0), (1.0, 10), (2.0, 110), (3.0, 235), (4.0, 360)]
    assert settled_rate_kbit_s(marks) == pytest.approx(1.0)  # 125 bytes a second in the second half
    assert settled_rate_kbit_s([(1.0, 0)]) == 0
