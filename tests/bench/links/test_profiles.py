import json
from typing import Any

import pytest

from siftfunnel.bench.links.probe import settled_rate_kbit_s
from siftfunnel.bench.links.profiles import PROFILES, Direction, LinkProfile, link_profile
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


def test_slow_start_is_left_out_of_the_rate() -> None:
    marks = [(0.0, 0), (1.0, 10), (2.0, 110), (3.0, 235), (4.0, 360)]
    assert settled_rate_kbit_s(marks) == pytest.approx(1.0)  # 125 bytes a second in the second half
    assert settled_rate_kbit_s([(1.0, 0)]) == 0
