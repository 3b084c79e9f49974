"""The device as a process of its own: killed servers, wrong input, orderly ends."""

import http.client
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from siftfunnel.cli import main
from siftfunnel.shared.bundle import Bundle
from tests.conftest import ROOT, Child, Processes
from tests.edge_client.conftest import write_pictures
from tests.tinybundle import make_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", classes=("cat", "dog", "owl"))


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "other", name="other", seed=3)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "pictures", [f"{label}/{n}.png" for label in ("cat", "dog") for n in range(5)])
    return tmp_path / "pictures"


@pytest.fixture(scope="module")
def server(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server process that the tests share which do not harm it."""
    children = Processes(tmp_path_factory.mktemp("server"))
    try:
        yield start_cloud(children, bundle)[1]
    finally:
        children.stop()


def start_cloud(processes: Processes, bundle: Bundle, port: int = 0, *flags: str | Path) -> tuple[Child, str]:
    """Start a server and return it with its address."""
    child = processes.python(
        "-m", "siftfunnel.cli", "cloud", "--bundle", bundle.directory, "--listen", f"127.0.0.1:{port}", *flags
    )
    output = child.wait_for('"ready"')
    line = next(line for line in output.splitlines() if '"ready"' in line)
    return child, json.loads(line)["grpc"]


def edge(bundle: Bundle, server: str, *arguments: str | Path) -> list[str | Path]:
    return [
        "-m",
        "siftfunnel.cli",
        "edge",
        "--bundle",
        bundle.directory,
        "--server",
        server,
        *arguments,
    ]


def run(arguments: list[str | Path], stdin: str | bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def read_lines(path: Path) -> list[dict[str, Any]]:
    # the device may be in the middle of a line
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return [json.loads(line) for line in whole.splitlines()]


def wait_for_lines(path: Path, count: int, child: Child) -> None:
    deadline = time.monotonic() + 60
    while len(read_lines(path)) < count:
        assert child.process.poll() is None, child.output
        assert time.monotonic() < deadline, child.output
        time.sleep(0.02)


def test_a_server_killed_during_a_stream_costs_no_frame(
    processes: Processes, bundle: Bundle, pictures: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port, frames = free_port(), 400
    cloud, server = start_cloud(processes, bundle, port)
    answers, summary = tmp_path / "answers.jsonl", tmp_path / "summary.json"
    device = processes.python(
        *edge(
            bundle, server, "--source", pictures, "--frames", str(frames), "--shuffle", "1", "--rate", "400"
        ),
        *("--output", f"jsonl:{answers}", "--summary", summary),
    )
    for count in (60, 180):
        wait_for_lines(answers, count, device)
        cloud.process.kill()
        cloud.process.wait()
        cloud, _ = start_cloud(processes, bundle, port)
    assert device.wait(90) == 0, device.output
    lines = read_lines(answers)
    assert sorted(line["sequence"] for line in lines) == list(range(frames))
    assert Counter(line["outcome"] for line in lines) == {"answer": frames}
    figures = json.loads(summary.read_text())
    assert (figures["frames_sent"], figures["frames_answered"]) == (frames, frames)
    assert figures["frames_resent"] == sum(line["sends"] > 1 for line in lines)
    assert figures["accuracy"] is not None


def test_a_missing_server_ends_with_what_to_do(
    bundle: Bundle, pictures: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    server = f"127.0.0.1:{free_port()}"
    summary = tmp_path / "summary.json"
    result = run(
        edge(bundle, server, "--source", pictures, "--connect-timeout-seconds", "0.5", "--summary", summary)
    )
    assert result.returncode == 1
    assert f"no server at {server}; is `siftfunnel cloud` running there?" in result.stderr
    assert "Traceback" not in result.stderr
    figures = json.loads(summary.read_text())
    assert figures["frames_sent"] == figures["frame_errors"]


def test_another_bundle_ends_at_once_with_both_digests(
    server: str, bundle: Bundle, other_bundle: Bundle, pictures: Path
) -> None:
    result = run(edge(other_bundle, server, "--source", pictures))
    assert result.returncode == 1
    assert bundle.digest in result.stderr
    assert other_bundle.digest in result.stderr
    assert "same bundle" in result.stderr


def test_damaged_pictures_are_skipped_counted_and_named(
    server: str, bundle: Bundle, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "cat" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    summary = tmp_path / "summary.json"
    result = run(edge(bundle, server, "--source", pictures, "--summary", summary, "--output", "jsonl:-"))
    assert result.returncode == 0
    assert "skipped" in result.stderr
    assert str(pictures / "cat" / "2.png") in result.stderr
    figures = json.loads(summary.read_text())
    assert (figures["frames_sent"], figures["frames_answered"], figures["images_skipped"]) == (9, 9, 1)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["source"] for line in lines if line["outcome"] == "skipped"] == [
        str(pictures / "cat" / "2.png")
    ]
    assert sum(line["outcome"] == "answer" for line in lines) == 9


def test_paths_come_on_standard_input_and_answers_leave_on_standard_output(
    server: str, bundle: Bundle, pictures: Path
) -> None:
    paths = sorted(map(str, pictures.rglob("*.png")))
    command = edge(bundle, server, "--source", "-", "--output", "jsonl:-", "--first-sequence", "70")
    result = run(command, stdin="\n".join(paths))
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted(line["source"] for line in lines) == paths
    assert sorted(line["sequence"] for line in lines) == list(range(70, 80))


def test_a_watched_directory_is_followed_and_a_signal_ends_it_in_order(
    processes: Processes, server: str, bundle: Bundle, pictures: Path, tmp_path: Path
) -> None:
    answers, summary = tmp_path / "answers.jsonl", tmp_path / "summary.json"
    device = processes.python(
        *edge(bundle, server, "--source", pictures, "--watch", "--output", f"jsonl:{answers}"),
        *("--summary", summary, "--ready-line"),
    )
    ready = json.loads(next(line for line in device.wait_for('"ready"').splitlines() if line.startswith("{")))
    assert (ready["bundle"], ready["digest"], ready["pid"]) == ("tiny", bundle.digest, device.process.pid)
    wait_for_lines(answers, 10, device)
    write_pictures(pictures, ["owl/new.png"])
    wait_for_lines(answers, 11, device)
    assert read_lines(answers)[-1]["label"] == "owl"
    device.process.send_signal(signal.SIGTERM)
    assert device.wait() == 0, device.output
    assert json.loads(summary.read_text())["frames_answered"] == 11
    assert "11 frames: 11 answered, 0 errors" in device.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_a_stream_waits_for_what_is_under_way(
    processes: Processes, server: str, bundle: Bundle, pictures: Path, tmp_path: Path, number: signal.Signals
) -> None:
    answers, summary = tmp_path / "answers.jsonl", tmp_path / "summary.json"
    device = processes.python(
        *edge(bundle, server, "--source", pictures, "--frames", "1000000", "--output", f"jsonl:{answers}"),
        *("--summary", summary),
    )
    wait_for_lines(answers, 50, device)
    device.process.send_signal(number)
    assert device.wait() == 0, device.output
    figures = json.loads(summary.read_text())
    assert figures["frames_sent"] == figures["frames_answered"] == len(read_lines(answers))
    assert figures["frame_errors"] == 0


def test_a_signal_while_the_server_is_away_ends_within_the_grace(
    bundle: Bundle, pictures: Path, tmp_path: Path, processes: Processes, free_port: Callable[[], int]
) -> None:
    summary = tmp_path / "summary.json"
    device = processes.python(
        *edge(bundle, f"127.0.0.1:{free_port()}", "--source", pictures, "--connect-timeout-seconds", "600"),
        *("--summary", summary, "--drain-seconds", "0.2", "--ready-line"),
    )
    device.wait_for('"ready"')
    device.process.send_signal(signal.SIGTERM)
    device.wait(30)
    figures = json.loads(summary.read_text())
    assert figures["frames_sent"] == figures["frame_errors"]
    assert "Traceback" not in device.output


def test_a_signal_before_the_first_picture_is_an_orderly_end(
    processes: Processes, server: str, bundle: Bundle, tmp_path: Path
) -> None:
    device = processes.python(*edge(bundle, server, "--source", tmp_path, "--watch", "--ready-line"))
    device.wait_for('"ready"')
    device.process.send_signal(signal.SIGTERM)
    assert device.wait() == 0, device.output
    assert "0 frames: 0 answered" in device.output


def test_the_preview_pairs_with_the_answers_and_warns(
    processes: Processes, server: str, bundle: Bundle, pictures: Path, tmp_path: Path
) -> None:
    answers = tmp_path / "answers.jsonl"
    device = processes.python(
        *edge(bundle, server, "--source", pictures, "--watch", "--output", f"jsonl:{answers}"),
        *("--preview", "127.0.0.1:0", "--ready-line"),
    )
    output = device.wait_for('"ready"')
    assert "WARNING: the preview" in output
    address = json.loads(next(line for line in output.splitlines() if line.startswith("{")))["preview"]
    wait_for_lines(answers, 10, device)
    connection = http.client.HTTPConnection(address, timeout=15)
    connection.request("GET", "/inputs?after=0")
    shown = json.loads(connection.getresponse().read())["frames"]
    assert [frame["sequence"] for frame in shown] == list(range(10))
    assert {frame["digest"] for frame in shown} == {bundle.digest}
    labels = {line["sequence"]: line["label"] for line in read_lines(answers)}
    assert {frame["sequence"]: frame["label"] for frame in shown} == labels
    connection.close()
    device.process.send_signal(signal.SIGTERM)
    assert device.wait() == 0


def test_classify_answers_each_picture_and_fails_for_the_damaged_one(
    server: str, bundle: Bundle, pictures: Path
) -> None:
    good, bad = pictures / "cat" / "0.png", pictures / "cat" / "1.png"
    command: list[str | Path] = ["-m", "siftfunnel.cli", "classify", good]
    options: list[str | Path] = ["--bundle", "tiny", "--bundles", bundle.directory.parent, "--server", server]
    result = run([*command, *options, "--top-k", "2"])
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{good}: ")
    assert result.stdout.count(",") == 1
    bad.write_bytes(b"not a picture")
    result = run([*command, bad, *options])
    assert result.returncode == 1
    assert f"{bad}: not a picture" in result.stderr
    assert result.stdout.startswith(f"{good}: ")


WRONG = {
    "an empty directory": (["--source", "{empty}"], "no picture in it"),
    "a source that is not there": (["--source", "nowhere"], "no such file or directory"),
    "an unknown codec": (["--source", "{pictures}", "--codec", "q3"], "no codec 'q3'"),
    "an unknown output": (
        ["--source", "{pictures}", "--output", "xml:-"],
        "expected jsonl:FILE or text:FILE",
    ),
    "an address without a port": (["--source", "{pictures}", "--server", "cloud"], "is not HOST:PORT"),
    "a public preview": (["--source", "{pictures}", "--preview", "0.0.0.0:0"], "--preview-anywhere"),
    "a preview switch alone": (["--source", "{pictures}", "--preview-anywhere"], "without --preview"),
    "a key without its certificate": (["--source", "{pictures}", "--tls-key", "k.pem"], "certificate"),
    "a window of nothing": (["--source", "{pictures}", "--window", "0"], "at least 1"),
    "an impossible rate": (["--source", "{pictures}", "--rate", "0"], "rate must be above 0"),
    "a bundle that is not there": (["--source", "{pictures}", "--bundle", "nothing"], "no bundle 'nothing'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_input_is_said_in_one_line(
    bundle: Bundle, pictures: Path, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    arguments, message = WRONG[what]
    filled = [each.format(empty=tmp_path / "empty", pictures=pictures) for each in arguments]
    defaults = [] if "--bundle" in filled else ["--bundle", str(bundle.directory)]
    assert main(["edge", *defaults, *filled]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1


def test_both_commands_explain_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    for command, word in (("edge", "superseded"), ("classify", "exit codes")):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        assert word in capsys.readouterr().out
