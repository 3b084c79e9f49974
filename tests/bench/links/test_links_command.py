"""``siftfunnel bench links`` as a user runs it."""

import json
from pathlib import Path

import pytest

from siftfunnel.bench.links.link import Link
from siftfunnel.bench.links.profiles import PROFILES
from siftfunnel.cli import main


def test_without_a_name_every_link_is_listed_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "links"]) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()] == list(PROFILES)
    assert "150 ms round trip, 750 kbit/s up, 1,600 kbit/s down  (Chrome developer tools" in printed


def test_a_link_is_laid_and_what_it_does_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate, out = Link.calibrate, tmp_path / "links.json"
    monkeypatch.setattr(Link, "calibrate", lambda link: calibrate(link, bulk_s=0.3))
    assert main(["bench", "links", "fast-4g", "--emulation", "relay", "--out", str(out)]) == 0
    assert (
        "kept by a TCP relay: rate and delay of a long-lived connection; neither loss"
        in capsys.readouterr().out
    )
    (link,) = json.loads(out.read_text())["links"]
    assert link["measured"]["round_trip_ms_p50"] >= 60
    assert 0 < link["measured"]["up"]["rate_kbit_s"] <= 1_500


def test_an_unknown_link_is_answered_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "links", "6g"]) == 2
    assert "unknown link '6g'; known: none, gprs" in capsys.readouterr().err
