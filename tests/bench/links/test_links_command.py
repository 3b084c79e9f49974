"""``siftfunnel bench links`` as a user runs it."""

import json
from pathlib import Path

from siftfunnel.bench.links.profiles import PROFILES
from tests.conftest import run_siftfunnel


def test_without_a_name_every_link_is_listed_with_its_source() -> None:
    made = run_siftfunnel(["bench", "links"])
    assert made.returncode == 0
    assert [line.split()[0] for line in made.stdout.splitlines()] == list(PROFILES)
    assert "1,600 kbit/s down, 150 ms round trip  (Chrome developer tools" in made.stdout


def test_a_link_is_laid_and_what_it_does_is_written_down(tmp_path: Path) -> None:
    out = tmp_path / "links.json"
    made = run_siftfunnel(["bench", "links", "fast-4g", "--emulation", "relay", "--out", out])
    assert made.returncode == 0, made.stderr
    assert "kept by a TCP relay: rate and delay of a long-lived connection; neither loss" in made.stdout
    (link,) = json.loads(out.read_text())["links"]
    assert link["measured"]["round_trip_ms_p50"] >= 60
    assert 0 < link["measured"]["up"]["rate_kbit_s"] <= 1_500


def test_an_unknown_link_is_answered_in_one_line() -> None:
    made = run_siftfunnel(["bench", "links", "6g"])
    assert made.returncode == 2
    assert "unknown link '6g'; known: none, gprs" in made.stderr
