"""The demo's books: outcomes in, figures out."""

import json
from pathlib import Path
from typing import Any

import pytest

from siftfunnel.demo.conductor import is_settled
from siftfunnel.demo.playing import OutcomeReader
from siftfunnel.demo.tally import Skipped, Tally, overheard, shortfalls, since, violations


def answer(label: str | None, best: str, edge_ms: float = 2.0, round_trip_ms: float = 5.0) -> dict[str, Any]:
    return {
        "outcome": "answer",
        "label": label,
        "top": [{"class": best, "score": 0.9}],
        "edge_ms": edge_ms,
        "round_trip_ms": round_trip_ms,
        "payload_bytes": 100,
        "error": None,
    }


def tally_of(*outcomes: dict[str, Any], sent: int | None = None) -> Tally:
    tally = Tally(frozenset({"cat", "dog"}), frames_sent=len(outcomes) if sent is None else sent)
    for index, outcome in enumerate(outcomes):
        tally.add(outcome, now_s=index / 10)
    return tally


def test_accuracy_counts_labels_that_are_classes() -> None:
    tally = tally_of(
        answer("cat", "cat"), answer("dog", "cat"), answer("holiday", "cat"), answer(None, "dog")
    )
    assert tally.accuracy == 0.5


def test_without_labels_is_told_what_was_answered_and_with_them_how_often_it_was_right() -> None:
    answers = [answer(None, "cat"), answer(None, "dog"), answer(None, "cat")]
    assert tally_of(*answers).in_words() == "cat (2), dog (1)"
    assert tally_of(answer("cat", "cat")).in_words() is None
    assert tally_of().in_words() is None


def test_accuracy_without_labels_is_none() -> None:
    assert tally_of(answer(None, "cat"), answer("holiday", "cat")).accuracy is None


def test_every_outcome_is_counted_once() -> None:
    error = {"outcome": "error", "error": "RESOURCE_EXHAUSTED", "label": "cat"}
    tally = tally_of(answer("cat", "cat"), error, {"outcome": "superseded"}, {"outcome": "superseded"})
    assert (tally.answered, tally.errors, tally.superseded, tally.outcomes) == (1, 1, 2, 4)
    assert tally.last_error == "RESOURCE_EXHAUSTED"


def test_rate_is_over_the_last_seconds() -> None:
    tally = tally_of(*[answer(None, "cat") for _ in range(100)])
    assert tally.rate_fps(now_s=10.0) == pytest.approx(10.0)
    assert tally.rate_fps(now_s=100.0) == 0.0


def test_a_burst_at_the_start_is_no_rate() -> None:
    tally = tally_of()
    tally.begin_turn(100.0)
    for _ in range(20):  # what two seconds at 10/s handed to an edge that was still starting
        tally.add(answer(None, "cat"), now_s=101.9)
    assert tally.rate_fps(now_s=102.0) == pytest.approx(10.0)
    assert tally.rate_fps(now_s=102.0) <= tally.rate_fps(now_s=101.95) <= 10.5


def test_the_summary_has_exactly_the_keys_it_promises() -> None:
    books = {
        "frames_intercepted": 2,
        "frames_reconstructed": 2,
        "mse_mean": 0.01,
        "psnr_mean": 20.0,
        "ssim_mean": 0.9,
        "wire_bytes_mean": 180.5,
        "frames_resent": 0,
    }
    summary = tally_of(answer("cat", "cat", 1.0, 3.0), answer("dog", "dog", 2.0, 5.0)).as_json(books)
    assert summary == {
        "frames_sent": 2,
        "frames_answered": 2,
        "frame_errors": 0,
        "frames_superseded": 0,
        "frames_lost": 0,
        "images_skipped": 0,
        "accuracy": 1.0,
        "classes": {"cat": 1, "dog": 1},
        "outputs": {},
        "edge_ms_p50": 1.5,
        "round_trip_ms_p50": 4.0,
        "round_trip_ms_p99": pytest.approx(4.98),
        "payload_bytes_mean": 100.0,
        "wire_bytes_mean": 180.5,
        "attacker": {
            "frames_intercepted": 2,
            "frames_reconstructed": 2,
            "mse_mean": 0.01,
            "psnr_mean": 20.0,
            "ssim_mean": 0.9,
        },
    }
    assert json.loads(json.dumps(summary)) == summary


def test_a_bundle_the_attacker_never_saw_has_zero_frames_and_no_figures() -> None:
    assert tally_of().as_json({})["attacker"] == {
        "frames_intercepted": 0,
        "frames_reconstructed": 0,
        "mse_mean": None,
        "psnr_mean": None,
        "ssim_mean": None,
    }


def test_violations_name_the_promise_that_did_not_hold() -> None:
    whole = tally_of(answer("cat", "cat"), {"outcome": "superseded"})
    assert violations("tiny", whole, {"frames_intercepted": 1}, through_relay=True) == []
    assert violations("tiny", whole, {"frames_intercepted": 0}, through_relay=False) == []
    assert violations("tiny", whole, {}, through_relay=True) == [
        "tiny: the attacker intercepted 0 frames of 1 on the wire"
    ]
    lost = tally_of(answer("cat", "cat"), sent=2)
    assert violations("tiny", lost, {"frames_intercepted": 2}, through_relay=True) == [
        "tiny: 1 answered + 0 errors + 0 superseded is not 2 sent"
    ]


def test_what_died_with_its_device_is_in_the_books() -> None:
    tally = tally_of(answer("cat", "cat"), sent=3)
    tally.lost = 2
    for heard in (1, 2, 3):
        assert violations("tiny", tally, {"frames_intercepted": heard}, through_relay=True) == []
    for heard in (0, 4):
        assert len(violations("tiny", tally, {"frames_intercepted": heard}, through_relay=True)) == 1


def test_a_run_that_did_not_reach_what_was_wanted_says_so() -> None:
    error = {"outcome": "error", "error": "UNREACHABLE: no server", "label": None}
    assert shortfalls("tiny", tally_of(answer(None, "cat")), 1) == []
    assert shortfalls("tiny", tally_of(answer(None, "cat")), None) == []
    assert shortfalls("tiny", tally_of(answer(None, "cat")), 2) == ["tiny: 1 of 2 frames"]
    assert shortfalls("tiny", tally_of(error), 1) == [
        "tiny: no frame was answered; last error: UNREACHABLE: no server"
    ]


def test_a_skipped_picture_is_no_frame_and_its_reason_is_told_once() -> None:
    skipped = {"outcome": "skipped", "source": "a.png", "error": "IMAGE: a.png: not a picture"}
    tally = tally_of(answer("cat", "cat"), sent=1)
    tally.add(skipped, now_s=1.0)
    tally.add(skipped, now_s=2.0)  # the folder came round again
    assert (tally.outcomes, tally.as_json({})["images_skipped"]) == (1, 1)
    book = Skipped()
    assert [book.add(skipped), book.add(skipped)] == ["IMAGE: a.png: not a picture", None]
    assert book.as_json() == {"pictures": 1, "reasons": ["IMAGE: a.png: not a picture"]}


def test_figures_of_one_codec_never_hold_those_of_another() -> None:
    q4 = {"frames": 3, "frames_scored": 2, "psnr_mean": 20.0, "wire_bytes_mean": 50.0}
    one = {"frames_intercepted": 3, "psnr_mean": 20.0, "mse_mean": 0.1, "codecs": {"q4": q4}}
    assert overheard({"tiny": one}, "tiny", "q4") == one
    assert overheard({"tiny": one}, "other", "q4") == {}
    two = {**one, "psnr_mean": 35.0, "codecs": {"q4": q4, "fp32": {"frames": 9}}}
    heard = overheard({"tiny": two}, "tiny", "q4")
    assert (heard["frames_intercepted"], heard["psnr_mean"], heard.get("mse_mean")) == (3, 20.0, None)
    assert overheard({"tiny": two}, "tiny", "q8")["frames_intercepted"] == 0


@pytest.mark.parametrize(
    ("books", "settled"),
    [
        ({}, False),
        ({"frames_intercepted": 2, "frames_reconstructed": 1}, False),
        ({"frames_intercepted": 2, "frames_reconstructed": 1, "frames_skipped": 1}, True),
        ({"frames_intercepted": 2, "frames_reconstructed": 2, "frames_scored": 1}, False),
        (
            {
                "frames_intercepted": 2,
                "frames_reconstructed": 2,
                "frames_scored": 1,
                "frames_without_truth": 1,
            },
            True,
        ),
        ({"frames_intercepted": 2, "frames_reconstructed": 2, "frames_scored": 2}, True),
    ],
)
def test_the_attacker_has_settled_when_every_frame_is_accounted_for(
    books: dict[str, Any], settled: bool
) -> None:
    assert is_settled(tally_of(answer(None, "cat"), answer(None, "dog")), books) is settled


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    reader = OutcomeReader(path)
    assert reader.read() == []
    path.write_bytes(b'{"sequence": 0}\n{"seq')
    assert reader.read() == [{"sequence": 0}]
    with path.open("ab") as file:
        file.write('uence": 1, "source": "bücher"}\n'.encode())
    assert reader.read() == [{"sequence": 1, "source": "bücher"}]
    assert reader.read() == []


def test_a_new_turn_tells_of_its_own_frames_only() -> None:
    tally = tally_of(answer(None, "cat", edge_ms=100.0), answer(None, "cat", edge_ms=100.0))
    tally.begin_turn(1.0)
    assert tally.lately() == (None, None, None)
    tally.add(answer(None, "cat", edge_ms=2.0, round_trip_ms=3.0), now_s=1.0)
    assert tally.lately() == (2.0, 3.0, 100.0)
    assert tally.overall() == (100.0, 5.0, 100.0)


@pytest.mark.parametrize(
    ("now", "then", "expected"),
    [
        ({}, {}, None),
        ({"m": 4.0, "n": 2}, {}, 4.0),
        ({"m": 20.0, "n": 4}, {"m": 30.0, "n": 2}, 10.0),
        ({"m": 20.0, "n": 4}, {"m": 20.0, "n": 4}, None),
        ({"m": 5.0, "n": 1}, {"m": None, "n": 0}, 5.0),
    ],
)
def test_a_mean_over_what_came_since(
    now: dict[str, Any], then: dict[str, Any], expected: float | None
) -> None:
    assert since(now, then, "m", "n") == expected


def test_a_class_is_told_by_its_name_or_its_id() -> None:
    crane = {**answer("n02012849", "crane"), "top": [{"class": "crane", "id": "n02012849", "score": 0.9}]}
    other = {**crane, "label": "n03126707"}
    tally = Tally(frozenset({"crane", "n02012849", "n03126707"}))
    for outcome in (crane, other, {**crane, "label": "crane"}):
        tally.add(outcome, 0.0)
    assert (tally.labelled, tally.correct) == (3, 2)
    assert tally.as_json({})["classes"] == {"crane": 3}


def test_an_answer_without_classes_claims_no_accuracy_and_its_outputs_are_told() -> None:
    tally = Tally(frozenset())
    for low, boxes in ((-1.5, [1, 4]), (0.5, [2, 4])):
        embedding = {"dtype": "float32", "shape": [2], "values": [low, None]}
        large = {"dtype": "float32", "shape": boxes, "values": None}
        outputs = {"embedding": embedding, "boxes": large}
        tally.add({**answer("ada", ""), "top": [], "outputs": outputs}, 0.0)
    assert tally.in_words() == "embedding 2 in [-1.5, 0.5], boxes 2x4"
    told = tally.as_json({})
    assert (told["frames_answered"], told["accuracy"], told["classes"]) == (2, None, {})
    assert told["outputs"] == {
        "embedding": {"frames": 2, "shape": [2], "lowest": -1.5, "highest": 0.5},
        "boxes": {"frames": 2, "shape": [2, 4], "lowest": None, "highest": None},
    }
