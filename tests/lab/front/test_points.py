"""The front's file: statistics with literal answers, merging, and files that are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.lab.front.points import (
    FrontError,
    find_point,
    kind_of_codec,
    last_doubling,
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


def attacked(psnr_db_per_image: list[float], start: str = "") -> dict[str, Any]:
    return {
        "psnr_db_per_image": psnr_db_per_image,
        "attacked_sha256": "a" * 64,
        "budget": {"start": {"name": start}},
    }


def test_a_doubling_says_whether_more_training_would_help() -> None:
    start = attacked([20.0, 22.0, 24.0, 26.0])
    little = last_doubling({"residual": start, "doubled": attacked([20.05, 22.05, 24.05, 26.05], "residual")})
    much = last_doubling({"residual": start, "doubled": attacked([20.4, 22.4, 24.4, 26.4], "residual")})
    unsure = last_doubling({"residual": start, "doubled": attacked([20.3, 21.8, 24.3, 25.8], "residual")})
    assert little is not None
    assert much is not None
    assert unsure is not None
    assert little["gain_db"] == pytest.approx(0.05)
    assert [one["more_helps"] for one in (little, much, unsure)] == [False, True, True]
    assert last_doubling({"residual": start}) is None
    assert last_doubling({"doubled": attacked([20.0], "residual")}) is None
