"""A run from the command line: what it says, writes and ends with, whatever the pictures and the terminal."""

import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from siftfunnel.cli import main
from siftfunnel.edge_client.errors import EdgeError
from siftfunnel.edge_client.run import _require_answers
from siftfunnel.edge_client.summary import Summary
from siftfunnel.shared.bundle import Bundle
from tests.conftest import ROOT
from tests.edge_client.conftest import pixels, write_pictures
from tests.edge_client.test_outputs import ANSWER, FAILURE


def edge(bundle: Bundle, server: str, *arguments: str | Path) -> list[str]:
    return [
        *("edge", "--bundle", str(bundle.directory), "--server", server, "--quiet"),
        *map(str, arguments),
    ]


def outcomes(path: Path) -> Counter[str]:
    return Counter(line["outcome"] for line in lines(path))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


# a run that sent nothing


def test_a_run_in_which_every_picture_was_skipped_fails_and_says_why(
    bundle: Bundle, server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes(b"no picture")
    (tmp_path / "c.heic").write_bytes(b"\0\0\0\x18ftypheic")
    answers = tmp_path / "answers.jsonl"
    assert main(edge(bundle, server, "--source", tmp_path, "--output", f"jsonl:{answers}")) == 2
    said = capsys.readouterr().err
    assert "nothing was sent: 3 pictures skipped (not a picture in a format read here 2, HEIC 1)" in said
    assert f"the first: {tmp_path / 'a.png'}: not a picture" in said
    assert outcomes(answers) == {"skipped": 3}
    assert "pip install pillow-heif" in lines(answers)[2]["error"]


def test_a_run_without_a_picture_fails(
    bundle: Bundle, server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    monkeypatch.setattr("siftfunnel.edge_client.sources.paths.PathLines.__init__.__defaults__", (reading,))
    assert main(edge(bundle, server, "--source", "-")) == 2
    assert "nothing was sent: the source gave no picture" in capsys.readouterr().err
    os.close(reading)


def test_a_run_in_which_no_frame_was_answered_fails(bundle: Bundle) -> None:
    summary = Summary(bundle.name, "q6", bundle.manifest.classes)
    summary.add(FAILURE)
    part = SimpleNamespace(summary=summary, handed_in=1)
    with pytest.raises(EdgeError, match=r"no frame was answered: 1 frame: 0 answered, 1 error$"):
        _require_answers(part)
    summary.add(ANSWER)
    _require_answers(part)


# files


def test_answers_are_added_to_what_the_file_holds(bundle: Bundle, server: str, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", ["a.png", "b.png"])
    answers = tmp_path / "answers.jsonl"
    command = edge(bundle, server, "--source", tmp_path / "pictures", "--output", f"jsonl:{answers}")
    assert [main(command), main(command)] == [0, 0]
    assert outcomes(answers) == {"answer": 4}


def test_the_summary_goes_through_a_link_and_into_a_device(
    bundle: Bundle, server: str, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "pictures", ["a.png"])
    (tmp_path / "link.json").symlink_to(tmp_path / "target.json")
    for place in (tmp_path / "link.json", Path("/dev/null")):
        assert main(edge(bundle, server, "--source", tmp_path / "pictures", "--summary", place)) == 0
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "target.json").read_text())["frames_answered"] == 1
    assert Path("/dev/null").is_char_device()


def test_a_summary_that_could_not_be_written_is_refused_before_the_run(
    bundle: Bundle, server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(tmp_path, ["a.png"])
    nowhere = tmp_path / "nowhere" / "summary.json"
    assert main(edge(bundle, server, "--source", tmp_path, "--summary", nowhere)) == 2
    assert f"--summary {nowhere}: no such folder" in capsys.readouterr().err


def test_a_full_disk_names_the_output(
    bundle: Bundle, server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(tmp_path, ["a.png"])
    assert main(edge(bundle, server, "--source", tmp_path, "--output", "jsonl:/dev/full")) == 1
    said = capsys.readouterr().err
    assert "No space left on device; free some room" in said
    assert "/dev/full" in said


# names, terminals and readers


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Pictures whose names and labels are no UTF-8, or beyond what a terminal of western Europe knows."""
    (picture,) = write_pictures(tmp_path, ["a.png"])
    for folder, name in (
        (b"caf\xe9", b"\xff.png"),
        ("中".encode(), "😀.png".encode()),
        (b"new\nline", b"a.png"),
    ):
        place = os.path.join(os.fsencode(tmp_path), b"odd", folder)
        os.makedirs(place)
        Path(os.fsdecode(os.path.join(place, name))).write_bytes(picture.read_bytes())
    return tmp_path / "odd"


def test_names_that_are_no_utf_8_are_answered_and_written(
    bundle: Bundle, server: str, odd: Path, tmp_path: Path
) -> None:
    answers, text = tmp_path / "answers.jsonl", tmp_path / "answers.txt"
    outputs = ("--output", f"jsonl:{answers}", "--output", f"text:{text}")
    assert main(edge(bundle, server, "--source", odd, *outputs)) == 0
    found = {os.fsencode(line["source"]) for line in lines(answers)}
    assert found == {os.fsencode(path) for path in odd.rglob("*.png")}
    assert len(text.read_text(encoding="utf-8").splitlines()) == 3


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, bytes, bytes]]:
    """Runs a command on a terminal of some encoding: its exit code, and what it wrote to both outputs."""

    def run(encoding: str, *command: str) -> tuple[int, bytes, bytes]:
        written = io.BytesIO(), io.BytesIO()
        for name, stream in zip(("stdout", "stderr"), written, strict=True):
            monkeypatch.setattr(sys, name, io.TextIOWrapper(stream, encoding, write_through=True))
        return main(command), written[0].getvalue(), written[1].getvalue()

    return run


@pytest.mark.parametrize(("encoding", "kind"), [("latin-1", "text"), ("ascii", "jsonl")])
def test_any_terminal_shows_any_name(
    bundle: Bundle,
    server: str,
    odd: Path,
    terminal: Callable[..., tuple[int, bytes, bytes]],
    encoding: str,
    kind: str,
) -> None:
    (odd / "bad.png").write_bytes(b"no picture")
    code, out, err = terminal(encoding, *edge(bundle, server, "--source", odd, "--output", f"{kind}:-"))
    assert code == 0, err
    assert len(out.splitlines()) == 4
    if kind == "jsonl":
        found = {os.fsencode(json.loads(line)["source"]) for line in out.splitlines()}
        assert found == {os.fsencode(path) for path in odd.rglob("*.png")}


def test_classify_shows_any_name_on_any_terminal(
    bundle: Bundle, server: str, odd: Path, terminal: Callable[..., tuple[int, bytes, bytes]]
) -> None:
    pictures = [*map(str, odd.rglob("*.png")), str(odd / os.fsdecode(b"missing\xfe.png"))]
    code, out, err = terminal(
        "latin-1", "classify", *pictures, "--bundle", str(bundle.directory), "--server", server
    )
    assert code == 1
    assert len(out.splitlines()) == 3
    assert rb"missing\udcfe.png: no such file" in err
    assert len(err.splitlines()) == 1


def test_a_reader_that_goes_away_ends_the_run_quietly(bundle: Bundle, server: str, tmp_path: Path) -> None:
    (picture,) = write_pictures(tmp_path, ["a.png"])
    reading, writing = os.pipe()
    os.close(reading)
    command = edge(bundle, server, "--source", picture, "--output", "jsonl:-")
    done = subprocess.run(
        [sys.executable, "-m", "siftfunnel", *command],
        cwd=ROOT,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
        timeout=120,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_closed_standard_output_is_said(bundle: Bundle, server: str, tmp_path: Path) -> None:
    (picture,) = write_pictures(tmp_path, ["a.png"])
    arguments = edge(bundle, server, "--source", picture)
    closed = ["sh", "-c", 'exec "$0" -m siftfunnel "$@" >&-', sys.executable, *arguments]
    done = subprocess.run(closed, cwd=ROOT, stderr=subprocess.PIPE, check=False, timeout=120)
    assert done.returncode == 1
    assert b"cannot be written" in done.stderr
    assert b"standard output" in done.stderr
    assert b"Traceback" not in done.stderr


# pictures


def test_what_is_passed_over_is_counted_aloud(
    bundle: Bundle, server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(pixels(0)).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").rename(tmp_path / "a.jfif")
    (tmp_path / "clip.mov").touch()
    (tmp_path / "b.heic").write_bytes(b"\0\0\0\x18ftypheic")
    answers = tmp_path / "answers.jsonl"
    assert main(edge(bundle, server, "--source", tmp_path, "--output", f"jsonl:{answers}")) == 0
    # what is a warning is seen wherever nobody sets up a log
    assert "1 file passed over, not a picture by name: .mov 1" in caplog.text
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert outcomes(answers) == {"answer": 1, "skipped": 1}


def test_credentials_in_addresses_are_not_repeated(
    bundle: Bundle, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(edge(bundle, server, "--source", "rtsp://admin:geheim@127.0.0.1:1/live")) == 2
    assert main(edge(bundle, "user:geheim@127.0.0.1:1", "--source", "demo")) == 2
    said = capsys.readouterr()
    assert "***@127.0.0.1:1" in said.err
    assert "geheim" not in said.err + said.out
