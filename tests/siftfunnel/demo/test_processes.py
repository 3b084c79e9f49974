"""Parties as real child processes."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from siftfunnel.demo.processes import Party, PartyError
from tests.conftest import ROOT
from tests.tinybundle import make_tiny_bundle


def wait_for_end(party: Party) -> int:
    deadline_s = time.monotonic() + 30
    while party.returncode is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    return party.returncode


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_party_that_ends_by_itself_tells_its_last_lines(tmp_path: Path) -> None:
    party = Party("edge", ["bundle", "show", "nonsense"], tmp_path / "edge.log")
    assert wait_for_end(party) == 2
    with pytest.raises(
        PartyError, match=r"edge ended with 2; its last lines:\n(.*\n)*.*no bundle 'nonsense'"
    ):
        party.check()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Party]:
    """A cloud that is up."""
    bundle = make_tiny_bundle(tmp_path / "tiny")
    party = Party(
        "cloud", ["cloud", f"--bundle={bundle.directory}", "--listen=127.0.0.1:0"], tmp_path / "cloud.log"
    )
    deadline_s = time.monotonic() + 60
    while '"ready": true' not in party.log.read_text():
        party.check()
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    yield party
    party.end(grace_s=0)


def test_a_party_that_is_asked_to_end_ends_in_order(cloud: Party) -> None:
    cloud.check()
    cloud.end()
    assert cloud.returncode == 0
    assert not is_alive(cloud.pid)


def test_a_party_that_does_not_listen_is_killed(cloud: Party) -> None:
    os.kill(cloud.pid, signal.SIGSTOP)
    cloud.end(grace_s=0.2)
    assert cloud.returncode == -signal.SIGKILL
    assert not is_alive(cloud.pid)
    assert "was killed by SIGKILL" in str(cloud.ended())


def test_the_log_begins_with_the_command(tmp_path: Path) -> None:
    party = Party("edge", ["--version"], tmp_path / "edge.log")
    assert wait_for_end(party) == 0
    assert (tmp_path / "edge.log").read_text().startswith("$ siftfunnel --version\nsiftfunnel ")


def test_what_lies_in_the_working_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("queue.py", "argparse.py", "shared.py"):
        (tmp_path / name).write_text("raise SystemExit('the working folder was run')")
    monkeypatch.chdir(tmp_path)
    # as of a program that was installed: its own folder is on the path, the working folder is not
    monkeypatch.setattr("sys.path", [str(ROOT), *(path for path in sys.path if path)])
    party = Party("edge", ["--version"], tmp_path / "edge.log")
    assert wait_for_end(party) == 0, party.tail()


def test_arguments_that_are_no_text_reach_the_party_and_its_log(tmp_path: Path) -> None:
    party = Party("edge", ["bundle", "show", os.fsdecode(b"\xff\xfe")], tmp_path / "edge.log")
    assert wait_for_end(party) == 2
    assert b"\xff\xfe" in (tmp_path / "edge.log").read_bytes()
    assert "Traceback" not in party.tail()
