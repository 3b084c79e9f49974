"""Figures of a run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.edge_client.outcome import FrameFailure
from siftfunnel.edge_client.summary import Sample, Summary, process_age_s, write_summary
from tests.edge_client.test_outputs import ANSWER, FAILURE, SUPERSEDED


def test_percentiles_are_interpolated() -> None:
    sample = Sample()
    assert sample.percentile(50) is None
    assert sample.mean() is None
    for value in (4.0, 1.0, 3.0, 2.0):
        sample.add(value)
    assert (sample.percentile(0), sample.percentile(50), sample.percentile(100)) == (1.0, 2.5, 4.0)
    assert sample.mean() == 2.5


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_a_percentile_lies_between_the_values(values: list[float]) -> None:
    sample = Sample()
    for value in values:
        sample.add(value)
    median = sample.percentile(50)
    assert median is not None
    assert min(values) <= median <= max(values)


def test_memory_does_not_grow_with_the_run() -> None:
    sample = Sample(size=100)
    for value in range(10_000):
        sample.add(float(value))
    assert len(sample._kept) == 100
    assert sample.mean() == 4999.5
    assert sample.percentile(50) == pytest.approx(5000, abs=1500)


def test_everything_is_counted_once() -> None:
    summary = Summary("tiny", "q4", ("cat", "dog"))
    summary.add(ANSWER)
    summary.add(replace(ANSWER, label="dog", sends=1))
    summary.add(replace(ANSWER, label="horse", sends=1))
    summary.add(replace(ANSWER, label=None, sends=1))
    summary.add(FAILURE)
    summary.add(SUPERSEDED)
    summary.add(FrameFailure(None, "bad.png", None, "IMAGE", "does not decode"))
    figures = summary.as_json(6)
    assert figures["frames_sent"] == 6
    assert figures["frames_answered"] + figures["frame_errors"] + figures["frames_superseded"] == 6
    assert (figures["frames_resent"], figures["images_skipped"]) == (1, 1)
    assert figures["accuracy"] == 0.5
    assert (summary.foreign_labels, summary.foreign_label) == (1, "horse")
    assert (figures["edge_ms_p50"], figures["round_trip_ms_p99"]) == (1.5, 12.25)
    assert figures["payload_bytes_mean"] == 812
    assert "6 frames: 4 answered, 1 error, 1 superseded, 1 sent again, 1 picture skipped" in summary.as_text(
        6
    )


def test_without_labels_there_is_no_accuracy() -> None:
    summary = Summary("tiny", "q4", ("cat", "dog"))
    summary.add(replace(ANSWER, label=None))
    assert summary.as_json(1)["accuracy"] is None


def test_reasons_for_skipping_are_counted_in_kinds_and_bounded() -> None:
    summary = Summary("tiny", "q4", ("cat",))
    reasons = ["no such file", "does not decode (EOF)", "does not decode (OSError: 3)", "refused, 9x9 are 81"]
    for number, reason in enumerate(reasons):
        summary.add(FrameFailure(None, f"{number}.png", None, "IMAGE", f"{number}.png: {reason}"))
    assert summary.skipped_why == "does not decode 2, no such file 1, refused 1"
    for number in range(1000):
        summary.add(FrameFailure(None, "x.png", None, "IMAGE", f"x.png: has values up to {number}"))
    assert len(summary._skipped_why) <= 17
    assert summary._skipped_why.total() == 1004


def test_an_empty_run_has_figures_too() -> None:
    figures = Summary("tiny", "q4", ("cat",)).as_json(0)
    assert figures["edge_ms_p50"] is None
    assert figures["start_to_first_answer_ms"] is None
    json.dumps(figures, allow_nan=False)


def test_the_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_summary(path, {"frames_sent": 3})
    assert json.loads(path.read_text()) == {"frames_sent": 3}
    assert [each.name for each in tmp_path.iterdir()] == ["summary.json"]


def test_the_age_of_the_process_grows() -> None:
    first, second = process_age_s(), process_age_s()
    if first is None or second is None:
        pytest.skip("this system has no /proc")
    assert 0 < first <= second
