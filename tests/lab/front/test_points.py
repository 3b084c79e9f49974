"""The front's file: statistics with literal answers, merging, and files that are refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.front.points import (
    FrontError,
    find_point,
    kind_of_codec,
    pack_answers,
    put_point,
    read_front,
    unpack_answers,
    write_front,
)
from tests.lab.front.fronts import codec_point, leakage, made_up_front


@given(st.lists(st.booleans(), min_size=1, max_size=70))
def test_answers_come_back_as_they_were_packed(right: list[bool]) -> None:
    assert unpack_answers(pack_answers(np.array(right)), len(right)).tolist() == right


@pytest.mark.parametrize(
    ("codec", "defence", "kind"),
    [
        ("r1", "siftfunnel-rate", "rate-trained"),
        ("q4", "siftfunnel-rate", "post-training"),
        ("r1", "siftfunnel", "post-training"),
        ("raw", "siftfunnel-rate", "post-training"),
    ],
)
def test_a_codec_is_rate_trained_by_its_name_and_its_bundles_defence(
    codec: str, defence: str, kind: str
) -> None:
    assert kind_of_codec(codec, defence) == kind


def test_a_point_measured_anew_keeps_the_leakage_of_the_same_bundle_only() -> None:
    front = made_up_front()
    put_point(front, codec_point("funnel", "q4", 280, 150))
    same = find_point(front, "funnel", "q4")
    assert same is not None
    assert (same["payload_bytes_mean"], same["leakage"]) == (280.0, leakage(15.9))
    put_point(front, codec_point("funnel", "q4", 280, 150, digest="f" * 64))
    other = find_point(front, "funnel", "q4")
    assert other is not None
    assert other["leakage"] is None
    assert len(front["points"]) == len(made_up_front()["points"])


def test_a_front_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_front(tmp_path / "rates" / "front.json", made_up_front())
    assert read_front(tmp_path / "rates" / "front.json") == made_up_front()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "is not a front"),
        ('{"kind": "row", "schema": 1}', "is not a front"),
        ('{"kind": "front", "schema": 2}', "schema 2"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "front.json"
    path.write_text(text)
    with pytest.raises(FrontError, match=message):
        read_front(path)
