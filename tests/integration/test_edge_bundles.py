"""One device that plays several bundles: pairs stay pairs, one that fails leaves the others going."""

import http.client
import json
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from siftfunnel.shared.bundle import Bundle
from tests.conftest import Processes
from tests.edge_client.conftest import write_pictures
from tests.integration.test_edge_process import read_lines, run, start_cloud, wait_for_lines
from tests.tinybundle import make_tiny_bundle


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle, Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    plain, shield, foreign = (
        make_tiny_bundle(folder / name, name=name, seed=seed, classes=("cat", "dog"))
        for seed, name in enumerate(("plain", "shield", "foreign"))
    )
    return plain, shield, foreign


@pytest.fixture(scope="module")
def server(bundles: tuple[Bundle, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server of the first two bundles."""
    children = Processes(tmp_path_factory.mktemp("server"))
    try:
        flags = ("--bundle", bundles[1].directory)
        yield start_cloud(children, bundles[0], 0, *flags)[1]
    finally:
        children.stop()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "pictures", [f"{label}/{n}.png" for label in ("cat", "dog") for n in range(5)])
    return tmp_path / "pictures"


def edge(server: str, *arguments: str | Path) -> list[str | Path]:
    return ["-m", "siftfunnel.cli", "edge", "--server", server, *arguments]


def by_sequence(lines: list[dict[str, Any]]) -> dict[int, dict[str, str]]:
    """Which picture each bundle had under each number."""
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for line in lines:
        found[line["sequence"]][line["bundle"]] = line["source"]
    return found


def test_every_picture_goes_through_both_bundles_under_one_number(
    server: str, bundles: tuple[Bundle, ...], pictures: Path, tmp_path: Path
) -> None:
    (pictures / "cat" / "2.png").write_bytes(b"no picture")
    plain, shield, _ = bundles
    summary, answers = tmp_path / "summary.json", tmp_path / "answers.jsonl"
    both = ["--bundle", plain.directory, "--bundle", shield.directory, "--codec", f"{shield.directory}=q4"]
    flags = ["--codec", "fp16", "--first-sequence", "100", "--summary", summary]
    result = run(edge(server, *both, *flags, "--source", pictures, "--output", f"jsonl:{answers}"))
    assert result.returncode == 0, result.stderr
    lines = [line for line in read_lines(answers) if line["outcome"] == "answer"]
    pairs = by_sequence(lines)
    assert len(pairs) == 9
    assert all(number >= 100 and pair["plain"] == pair["shield"] for number, pair in pairs.items())
    assert {(line["bundle"], line["codec"]) for line in lines} == {("plain", "fp16"), ("shield", "q4")}
    told = {each["bundle"]: each for each in json.loads(summary.read_text())["bundles"]}
    for name, codec in (("plain", "fp16"), ("shield", "q4")):
        figures = told[name]
        assert (figures["codec"], figures["frames_sent"], figures["frames_answered"]) == (codec, 9, 9)
        assert figures["images_skipped"] == 1


def test_a_bundle_that_the_server_refuses_leaves_the_other_going(
    server: str, bundles: tuple[Bundle, ...], pictures: Path, tmp_path: Path
) -> None:
    plain, _, foreign = bundles
    summary = tmp_path / "summary.json"
    both = ["--bundle", foreign.directory, "--bundle", plain.directory]
    result = run(edge(server, *both, "--source", pictures, "--frames", "40", "--summary", summary))
    assert result.returncode == 1
    assert "foreign ends: " in result.stderr
    assert foreign.digest in result.stderr
    told = {each["bundle"]: each for each in json.loads(summary.read_text())["bundles"]}
    assert (told["plain"]["frames_sent"], told["plain"]["frames_answered"]) == (40, 40)
    assert told["foreign"]["frames_sent"] == told["foreign"]["frame_errors"]


def test_a_signal_ends_both_streams_with_whole_pairs_and_one_preview_shows_both(
    processes: Processes, server: str, bundles: tuple[Bundle, ...], pictures: Path, tmp_path: Path
) -> None:
    plain, shield, _ = bundles
    summary, answers = tmp_path / "summary.json", tmp_path / "answers.jsonl"
    device = processes.python(
        *edge(server, "--bundle", plain.directory, "--bundle", shield.directory, "--source", pictures),
        *("--frames", "1000000", "--rate", "200", "--output", f"jsonl:{answers}", "--summary", summary),
        *("--preview", "127.0.0.1:0", "--ready-line"),
    )
    ready = json.loads(next(line for line in device.wait_for('"ready"').splitlines() if line.startswith("{")))
    assert [each["digest"] for each in ready["bundles"]] == [plain.digest, shield.digest]
    wait_for_lines(answers, 60, device)
    connection = http.client.HTTPConnection(ready["preview"], timeout=15)
    connection.request("GET", "/inputs?after=0")
    shown = json.loads(connection.getresponse().read())["frames"]
    connection.close()
    assert {frame["digest"] for frame in shown} == {plain.digest, shield.digest}
    device.process.send_signal(signal.SIGTERM)
    assert device.wait() == 0, device.output
    pairs = by_sequence(read_lines(answers))
    assert all(pair["plain"] == pair["shield"] for pair in pairs.values())
    for figures in json.loads(summary.read_text())["bundles"]:
        assert figures["frames_sent"] == figures["frames_answered"] == len(pairs)


def test_pictures_are_handed_over_on_standard_input(
    server: str, bundles: tuple[Bundle, ...], pictures: Path
) -> None:
    encoded = (pictures / "dog" / "0.png").read_bytes()
    head = json.dumps({"path": str(pictures / "cat" / "0.png"), "label": "cat"})
    pushed = f"{head}\n".encode() + json.dumps({"bytes": len(encoded), "name": "webcam"}).encode() + b"\n"
    command = edge(server, "--bundle", bundles[0].directory, "--source", "jsonl:-", "--output", "jsonl:-")
    result = run(command, stdin=pushed + encoded)
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted((line["source"], line["label"]) for line in lines) == [
        (str(pictures / "cat" / "0.png"), "cat"),
        ("webcam", None),
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--bundle", "{plain}", "--bundle", "{plain}"], "the same bundle twice"),
        (["--bundle", "{plain}", "--codec", "other=q4"], "no --bundle other was given"),
        (["--bundle", "{plain}", "--bundle", "{shield}", "--codec", "q3"], "no codec 'q3'"),
    ],
)
def test_wrong_combinations_are_said(
    flags: list[str], message: str, server: str, bundles: tuple[Bundle, ...], pictures: Path
) -> None:
    filled = [flag.format(plain=bundles[0].directory, shield=bundles[1].directory) for flag in flags]
    result = run(edge(server, *filled, "--source", pictures))
    assert result.returncode == 2
    assert message in result.stderr
