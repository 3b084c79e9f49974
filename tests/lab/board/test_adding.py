"""One command from a bundle to its place on the board: attacked by the suite, written, and checked again."""

from dataclasses import replace
from pathlib import Path

import pytest

from siftfunnel.cli import main
from siftfunnel.lab.audit import budgets
from siftfunnel.lab.board.entry import Entry, read_file
from tests.lab.audit.own_pictures import write_pictures
from tests.lab.audit.test_audit import TINY
from tests.tinybundle import make_tiny_bundle

SMALL = replace(TINY, suite=replace(TINY.suite, budget="fast", attacked=8))


@pytest.mark.slow
def test_a_bundle_is_attacked_once_and_its_entry_follows_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(budgets, "budget", lambda _: SMALL)
    monkeypatch.chdir(tmp_path)
    make_tiny_bundle(tmp_path / "tiny", input_size=32)
    write_pictures(tmp_path / "mine", 80)
    add = ["lab", "board", "add", "./tiny", "--images", "mine", "--codec", "q4", "--board", "board"]
    assert main([*add, "--budget", "fast"]) != 0
    assert "--by" in capsys.readouterr().err
    add += ["--by", "An outsider", "--licence", "MIT", "--link", "https://example.org/tiny"]
    assert main([*add, "--budget", "fast"]) == 0
    entry = read_file(Entry, tmp_path / "board/entries/tiny-q4-fast.json")
    assert entry.suite is not None
    assert entry.suite.heard == entry.codec == "q4"
    assert set(entry.suite.attacks) == set(SMALL.suite.every)
    assert (entry.origin.by, entry.origin.links) == ("An outsider", ("https://example.org/tiny",))
    assert main(["lab", "board", "check", "--board", "board", "--bundles", "."]) == 0
    assert "fits its bundle tiny" in capsys.readouterr().out
    before = sorted(path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("done/attack-*.json"))
    assert main([*add, "--budget", "fast"]) == 0
    assert before
    assert before == sorted(
        path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("done/attack-*.json")
    )
