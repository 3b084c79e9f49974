"""Lines for machines and for people."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from siftfunnel.edge_client.outcome import Answer, ClassScore, FrameFailure, ServerTimings, Superseded
from siftfunnel.edge_client.outputs import as_json, as_line, open_output

ANSWER = Answer(
    sequence=7,
    source="cat/1.png",
    label="cat",
    top=(ClassScore("cat", 0.75), ClassScore("dog", 0.25)),
    edge_ms=1.5,
    round_trip_ms=12.25,
    payload_bytes=812,
    sends=2,
    bundle="tiny",
    codec="q4",
    server=ServerTimings(10, 20, 30, 4),
)
FAILURE = FrameFailure(8, "dog/2.png", None, "INVALID_PAYLOAD", "checksum", 1.0, 2.0, 99, 1, "tiny", "q4")
SKIPPED = FrameFailure(None, "bad.png", None, "IMAGE", "bad.png: no such file")
SUPERSEDED = Superseded(9, "camera 0#9", None, "tiny", "q4")
FIELDS = [
    "sequence",
    "source",
    "label",
    "outcome",
    "top",
    "error",
    "edge_ms",
    "round_trip_ms",
    "payload_bytes",
    "sends",
    "bundle",
    "codec",
    "server",
    "outputs",
    "transform",
]
LINES = ("jsonl", "text")


def test_an_answer_as_json() -> None:
    assert as_json(ANSWER) == {
        "sequence": 7,
        "source": "cat/1.png",
        "label": "cat",
        "outcome": "answer",
        "top": [
            {"class": "cat", "id": "cat", "score": 0.75},
            {"class": "dog", "id": "dog", "score": 0.25},
        ],
        "error": None,
        "edge_ms": 1.5,
        "round_trip_ms": 12.25,
        "payload_bytes": 812,
        "sends": 2,
        "bundle": "tiny",
        "codec": "q4",
        "server": {"queue_us": 10, "decode_us": 20, "compute_us": 30, "batch_size": 4},
        "outputs": {},
        "transform": None,
    }


def test_every_outcome_has_every_field() -> None:
    assert [list(as_json(each)) for each in (ANSWER, FAILURE, SUPERSEDED)] == [FIELDS] * 3
    assert as_json(FAILURE)["error"] == "INVALID_PAYLOAD: checksum"
    assert as_json(FAILURE)["outcome"] == "error"
    assert as_json(SUPERSEDED)["outcome"] == "superseded"
    assert as_json(SUPERSEDED)["server"] is None


def test_lines_for_people() -> None:
    assert as_line(ANSWER) == (
        "     7  cat/1.png: cat 0.75, dog 0.25 (right)   edge 1.5 ms, round trip 12.2 ms, 812 bytes"
    )
    assert as_line(FAILURE) == "     8  dog/2.png: INVALID_PAYLOAD, checksum"
    assert as_line(SUPERSEDED) == "     9  camera 0#9: superseded by a newer picture"


def test_a_line_is_there_as_soon_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    output = open_output(f"jsonl:{path}")
    output.write(ANSWER)
    assert json.loads(path.read_text()) == as_json(ANSWER)
    output.write(FAILURE)
    output.close()
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize("kind", LINES)
def test_answers_of_an_earlier_run_are_never_lost(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "answers"
    for _ in range(2):
        output = open_output(f"{kind}:{path}")
        output.write(ANSWER)
        output.close()
    assert len(path.read_text().splitlines()) == 2
    path.write_text('{"sequence": 3, "sou')
    output = open_output(f"{kind}:{path}")
    output.write(ANSWER)
    output.close()
    assert len(path.read_text().splitlines()) == 2


def test_a_skipped_picture_has_its_line_and_the_reason() -> None:
    line = as_json(SKIPPED)
    assert (line["outcome"], line["sequence"], line["source"]) == ("skipped", None, "bad.png")
    assert line["error"] == "IMAGE: bad.png: no such file"
    assert list(line) == FIELDS


def test_names_that_are_no_text_come_back_as_the_same_path(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    odd = os.fsdecode(b"caf\xe9/\xff\n\xf0\x9f\x98\x80.png")
    for kind in LINES:
        output = open_output(f"{kind}:{path}")
        output.write(replace(ANSWER, source=odd, label=os.fsdecode(b"caf\xe9")))
        output.close()
    data = path.read_bytes()
    assert data.decode("utf-8").count("\n") == 2
    stored = json.loads(data.splitlines()[0])
    assert os.fsencode(stored["source"]) == os.fsencode(odd)
    assert os.fsencode(stored["label"]) == b"caf\xe9"


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    output = open_output("jsonl:/dev/full")
    with pytest.raises(OSError, match="cannot be written: No space left on device; free some room") as told:
        output.write(ANSWER)
    assert told.value.filename == "/dev/full"
    with pytest.raises(OSError, match="No space left on device"):
        output.close()


def test_a_closed_standard_output_is_an_error_and_not_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OSError, match="cannot be written") as told:
        open_output("jsonl:-")
    assert told.value.filename == "standard output"


def test_standard_output_is_a_place(capsys: pytest.CaptureFixture[str]) -> None:
    for kind in LINES:
        output = open_output(f"{kind}:-")
        output.write(ANSWER)
        output.close()
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first)["sequence"] == 7
    assert second == as_line(ANSWER)


@pytest.mark.parametrize("text", ["jsonl", "jsonl:", "csv:out.csv", "out.jsonl"])
def test_another_form_says_which_there_are(text: str) -> None:
    with pytest.raises(ValueError, match="jsonl:FILE or text:FILE, with - for standard output, or npz:DIR"):
        open_output(text)
