import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.attacker.ledger import (
    MAX_STRANGERS,
    OTHER_STRANGERS,
    BundleTally,
    Ledger,
    RunningMean,
    Similarity,
)

numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


@given(numbers)
def test_a_running_mean_is_the_mean_and_the_population_deviation(values: list[float]) -> None:
    mean = RunningMean()
    for value in values:
        mean.add(value)
    expected = math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum((value - expected) ** 2 for value in values) / len(values))
    assert mean.count == len(values)
    assert mean.mean == pytest.approx(expected, abs=1e-6)
    assert mean.deviation == pytest.approx(spread, abs=1e-4)


@given(numbers, st.floats(-1e6, 1e6))
def test_what_was_taken_back_out_leaves_the_mean_as_it_was(values: list[float], other: float) -> None:
    mean = RunningMean()
    for value in (*values, other):
        mean.add(value)
    mean.add(other, -1)
    assert mean.count == len(values)
    assert mean.mean == pytest.approx(math.fsum(values) / len(values), abs=1e-4)


def test_a_mean_of_nothing_is_null() -> None:
    tally = BundleTally().as_json()
    for name in (
        "mse_mean",
        "psnr_mean",
        "psnr_deviation",
        "ssim_mean",
        "wire_bytes_mean",
        "payload_bytes_mean",
        "jpeg_bytes_mean",
        "answers_accuracy",
    ):
        assert tally[name] is None
    assert tally["frames_intercepted"] == tally["frames_reconstructed"] == tally["frames_scored"] == 0


def test_the_summary_of_a_bundle_in_literal_figures() -> None:
    tally = BundleTally(frames_reconstructed=3, wire_bytes=3600)
    for size in (1000, 1100, 1200):
        tally.heard("relay", "q6", size)
    tally.scored("relay", "q6", Similarity(mse=0.01, psnr_db=20.0, ssim=0.5))
    tally.scored("relay", "q6", Similarity(mse=0.001, psnr_db=30.0, ssim=0.9))
    tally.answers_overheard = 3
    for correct in (True, True, False):
        tally.labelled(correct)
    tally.jpeg_bytes.add(1500)
    told = tally.as_json()
    assert told["frames_intercepted"] == 3
    assert told["frames_scored"] == 2
    assert told["mse_mean"] == pytest.approx(0.0055)
    assert told["psnr_mean"] == pytest.approx(25.0)
    assert told["psnr_deviation"] == pytest.approx(5.0)
    assert told["ssim_mean"] == pytest.approx(0.7)
    assert told["wire_bytes_mean"] == pytest.approx(1200.0)
    assert told["wire_bytes_total"] == 3600
    assert told["payload_bytes_mean"] == pytest.approx(1100.0)
    assert told["jpeg_bytes_mean"] == pytest.approx(1500.0)
    assert told["answers_accuracy"] == pytest.approx(2 / 3)
    assert told["codecs"] == {
        "q6": {
            "frames": 3,
            "frames_scored": 2,
            "payload_bytes_mean": pytest.approx(1100.0),
            "wire_bytes_mean": 0.0,
            "psnr_mean": pytest.approx(25.0),
            "ssim_mean": pytest.approx(0.7),
        }
    }


def test_codecs_of_a_bundle_are_told_apart() -> None:
    tally = BundleTally()
    tally.heard("relay", "q8", 900)
    tally.heard("relay", "q4", 400)
    tally.heard("relay", "q4", 500)
    tally.charge("relay", "q8", 1000)
    tally.charge("relay", "q4", 1200)
    tally.charge("relay", "q4", -100)
    told = tally.as_json()
    assert told["wire_bytes_total"] == 2100
    assert told["codecs"]["q8"]["wire_bytes_mean"] == 1000.0
    assert told["codecs"]["q4"]["wire_bytes_mean"] == 550.0
    assert told["codecs"]["q4"]["payload_bytes_mean"] == pytest.approx(450.0)
    assert told["codecs"]["q4"]["psnr_mean"] is None


def test_averages_of_one_codec_do_not_move_when_another_one_plays() -> None:
    tally = BundleTally()
    for codec, payload_bytes, psnr_db, frames in (("q4", 500, 20.0, 10), ("fp32", 12_000, 30.0, 600)):
        for _ in range(frames):
            tally.heard("relay", codec, payload_bytes)
            tally.charge("relay", codec, payload_bytes + 100)
            tally.scored("relay", codec, Similarity(mse=0.01, psnr_db=psnr_db, ssim=0.5))
    told = tally.as_json()["taps"]["relay"]["q4"]
    assert (told["frames"], told["frames_scored"]) == (10, 10)
    assert told["wire_bytes_mean"] == pytest.approx(600.0)
    assert told["psnr_mean"] == pytest.approx(20.0)


def test_figures_are_credited_to_the_tap_that_could_read_the_frame() -> None:
    tally = BundleTally()
    tally.heard("relay", "q4", 500)
    tally.charge("relay", "q4", 600)
    tally.heard("cloud", "q4", 700)
    tally.scored("cloud", "q4", Similarity(mse=0.01, psnr_db=20.0, ssim=0.5))
    told = tally.as_json()
    assert told["codecs"]["q4"]["frames"] == 2
    assert {tap: codecs["q4"]["frames"] for tap, codecs in told["taps"].items()} == {"relay": 1, "cloud": 1}
    assert told["taps"]["relay"]["q4"]["psnr_mean"] is None
    assert told["taps"]["cloud"]["q4"]["wire_bytes_mean"] == 0.0


def test_a_frame_that_another_tap_takes_over_is_credited_to_that_one_alone() -> None:
    tally = BundleTally()
    tally.heard("cloud", "q4", 500)
    tally.charge("cloud", "q4", 520)
    tally.charge("cloud", "q4", -520)
    tally.take_over("cloud", "relay", "q4", 500)
    tally.charge("relay", "q4", 600)
    told = tally.as_json()
    assert told["taps"]["cloud"] == {}
    assert told["taps"]["relay"]["q4"]["payload_bytes_mean"] == 500
    assert told["taps"]["relay"]["q4"]["wire_bytes_mean"] == told["wire_bytes_mean"] == 600


def test_digests_that_a_client_invents_do_not_fill_the_books() -> None:
    ledger = Ledger()
    for number in range(10_000):
        ledger.stranger(f"{number:064x}").frames += 1
    told = ledger.as_json()["unknown_bundles"]
    assert len(told) == MAX_STRANGERS + 1
    assert told[OTHER_STRANGERS]["frames_intercepted"] == 10_000 - MAX_STRANGERS


def test_two_bundles_of_one_name_are_told_apart() -> None:
    ledger = Ledger()
    first, second = ledger.bundle("faces", "ab" * 32), ledger.bundle("faces", "cd" * 32)
    assert first is not second
    assert ledger.bundle("faces", "ab" * 32) is first
    assert list(ledger.as_json()["bundles"]) == ["faces", "faces (cdcdcdcd)"]


def test_frames_of_strangers_are_counted_by_digest_or_as_unsettled() -> None:
    ledger = Ledger()
    for digest in ("ab" * 32, "ab" * 32, None):
        stranger = ledger.stranger(digest)
        stranger.frames += 1
        stranger.wire_bytes += 10
    told = json.loads(json.dumps(ledger.as_json()))
    assert told["unknown_bundles"] == {"ab" * 32: {"frames_intercepted": 2, "wire_bytes_total": 20}}
    assert told["unsettled"] == {"frames": 1, "wire_bytes": 10}


def test_every_figure_of_a_bundle_is_explained() -> None:
    explained = (Path(__file__).parents[2] / "attacker" / "README.md").read_text(encoding="utf-8")
    assert [name for name in BundleTally().as_json() if f"`{name}`" not in explained] == []
