"""The endless demo with real processes: switches, Ctrl-C, SIGTERM, and a party that dies."""

import json
import os
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from siftfunnel.demo.ports import answers
from tests.conftest import Child, Processes, run_siftfunnel
from tests.integration.demo_stage import BUNDLES, Stage, make_stage

PAGE = re.compile(r"http://127\.0\.0\.1:\d+")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return make_stage(tmp_path_factory.mktemp("stage"))


def start(stage: Stage, processes: Processes, folder: Path) -> Child:
    """A demo that plays, its logs in `folder / "logs"` and its temporary files in `folder / "tmp"`."""
    (folder / "tmp").mkdir()
    arguments = ["demo", "--images", stage.images, "--http-port=0", "--rate=20"]
    child = processes.siftfunnel(
        *arguments, f"--log-dir={folder / 'logs'}", TMPDIR=str(folder / "tmp"), **stage.environment
    )
    child.wait_for("What the attacker sees: ", timeout_s=90)
    child.wait_for("playing tiny-unprotected (codec q6) | tiny-siftfunnel (codec q6)", timeout_s=30)
    return child


@pytest.fixture
def demo(stage: Stage, processes: Processes, tmp_path: Path) -> Child:
    """A demo of one test's own, in its `tmp_path`."""
    return start(stage, processes, tmp_path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared-demo")


@pytest.fixture(scope="module")
def shared_demo(stage: Stage, place: Path) -> Iterator[Child]:
    """One demo, in `place`, for tests that leave it as they found it."""
    children = Processes(place)
    yield start(stage, children, place)
    children.stop()


def page_of(child: Child) -> str:
    found = PAGE.search(child.output)
    assert found
    return found.group()


def ask(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        value = json.load(answer)
    assert isinstance(value, dict)
    return value


def eventually(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "did not happen in time"
        time.sleep(0.1)


def family(child: Child) -> set[int]:
    """Process ids of the parties: children of the demo."""
    children = Path(f"/proc/{child.process.pid}/task/{child.process.pid}/children")
    return {int(pid) for pid in children.read_text().split()}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def intercepted(page: str, bundle: str) -> int:
    return int(ask(f"{page}/summary")["bundles"].get(bundle, {}).get("frames_intercepted", 0))


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_ends_the_demo_and_leaves_nothing_behind(
    number: signal.Signals, demo: Child, tmp_path: Path
) -> None:
    eventually(lambda: intercepted(page_of(demo), "tiny-unprotected") > 0)
    parties = family(demo)
    assert len(parties) >= 2
    demo.process.send_signal(number)
    assert demo.wait(60) == 0, demo.output
    assert not any(alive(pid) for pid in parties)
    assert list((tmp_path / "tmp").iterdir()) == []
    (folder,) = (tmp_path / "logs").iterdir()
    kept = {path.name for path in folder.iterdir()}
    assert {"cloud.log", "attacker.log", "edge.log"} <= kept
    assert not {"certificates", "flows.jsonl"} & kept
    assert "Traceback" not in demo.output


def state(page: str) -> dict[str, Any]:
    return ask(f"{page}/state")


def playing(page: str) -> dict[str, str]:
    return {network["bundle"]: network["codec"] for network in state(page)["pair"]}


def frames_of(page: str, bundle: str, codec: str) -> int:
    codecs = ask(f"{page}/summary")["bundles"].get(bundle, {}).get("codecs", {})
    return int(codecs[codec]["frames"]) if codec in codecs else 0


def test_the_same_pictures_go_through_both_networks_until_the_page_switches(shared_demo: Child) -> None:
    page = page_of(shared_demo)
    eventually(lambda: all(intercepted(page, bundle) > 10 for bundle in BUNDLES))
    now = state(page)
    assert [network["title"] for network in now["pair"]] == ["Ordinary network", "SiftFunnel"]
    assert [choice["bundles"] for choice in now["choices"]] == [list(BUNDLES)]
    assert (now["tls"], now["pictures"], now["settings"]) == (False, "folder", {"rate_fps": 20.0, "seed": 0})
    assert now["parties"] == {"cloud": "up", "edge": "up"}

    ask(f"{page}/switch", {"codec": {"tiny-siftfunnel": "q4"}})
    eventually(lambda: frames_of(page, "tiny-siftfunnel", "q4") > 20)
    assert playing(page) == {"tiny-unprotected": "q6", "tiny-siftfunnel": "q4"}
    heard = frames_of(page, "tiny-siftfunnel", "q4"), frames_of(page, "tiny-unprotected", "q6")
    ask(f"{page}/switch", {"bundles": ["tiny-siftfunnel"]})
    eventually(lambda: list(playing(page)) == ["tiny-siftfunnel"])
    eventually(lambda: frames_of(page, "tiny-siftfunnel", "q4") > heard[0] + 40)
    assert ask(f"{page}/switch", {"in_turn": True})["in_turn"] is True
    eventually(lambda: len(playing(page)) == 2)
    ask(f"{page}/switch", {"codec": {"tiny-siftfunnel": "q6"}, "in_turn": True})
    eventually(lambda: playing(page) == {"tiny-unprotected": "q6", "tiny-siftfunnel": "q6"})

    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(f"{page}/switch", {"codec": {"tiny-siftfunnel": "q99"}})
    with refused.value as answer:
        assert "fp32, fp16, int8" in answer.read().decode()


@pytest.mark.slow
def test_a_switch_to_tls_is_heard_by_the_curious_cloud_only(demo: Child) -> None:
    page = page_of(demo)
    eventually(lambda: intercepted(page, "tiny-unprotected") > 0)
    assert ask(f"{page}/switch", {"tls": True})["tls"] is True
    demo.wait_for(", TLS", timeout_s=60)
    heard = intercepted(page, "tiny-unprotected")
    eventually(lambda: intercepted(page, "tiny-unprotected") > heard + 20)


def test_a_picture_of_ones_own_is_played_next_and_lies_nowhere(
    shared_demo: Child, stage: Stage, place: Path
) -> None:
    page = page_of(shared_demo)
    eventually(lambda: intercepted(page, "tiny-siftfunnel") > 0)
    encoded = (stage.images / "circle" / "0.png").read_bytes()
    request = urllib.request.Request(f"{page}/picture", encoded, {"Content-Type": "image/png"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 204
    assert state(page)["pictures"] == "own"

    def outcomes() -> str:
        return "".join(path.read_text() for path in (place / "logs").rglob("outcomes-*.jsonl"))

    eventually(lambda: outcomes().count("own picture 1") == 2)  # one for each network
    assert not [path for path in place.rglob("*") if path.is_file() and encoded in path.read_bytes()]
    assert ask(f"{page}/switch", {"pictures": "demo"})["pictures"] == "folder"


@pytest.mark.parametrize("party", ["cloud", pytest.param("edge", marks=pytest.mark.slow)])
def test_a_party_that_is_killed_is_seen_down_and_comes_back(party: str, shared_demo: Child) -> None:
    page = page_of(shared_demo)
    eventually(lambda: intercepted(page, "tiny-siftfunnel") > 0)
    assert ask(f"{page}/end", {"party": party})["parties"][party] == "down"
    shared_demo.wait_for(f"{party} was killed by SIGKILL; it comes back in 3 s")
    eventually(lambda: state(page)["parties"][party] == "up")
    heard = intercepted(page, "tiny-siftfunnel")
    eventually(lambda: intercepted(page, "tiny-siftfunnel") > heard + 10)
    assert shared_demo.process.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize("party", ["cloud", "attacker", "edge"])
def test_a_party_that_dies_by_itself_comes_back(party: str, demo: Child) -> None:
    page = page_of(demo)
    eventually(lambda: intercepted(page, "tiny-unprotected") > 0)
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in family(demo)}
    (victim,) = (pid for pid, command in commands.items() if b"\0%s\0" % party.encode() in command)
    os.kill(victim, signal.SIGKILL)
    demo.wait_for(f"{party} was killed by SIGKILL; it comes back in 3 s")
    demo.wait_for(f"{party} is started again")
    eventually(lambda: answers(f"{page}/healthz"))
    heard = intercepted(page, "tiny-unprotected")
    eventually(lambda: intercepted(page, "tiny-unprotected") > heard + 10)
    demo.process.send_signal(signal.SIGINT)
    assert demo.wait(60) == 0, demo.output


def test_a_page_for_others_asks_for_its_token(stage: Stage, processes: Processes) -> None:
    arguments = ["demo", "--images", stage.images, "--http-port=0", "--page-host=0.0.0.0"]
    child = processes.siftfunnel(*arguments, **stage.environment)
    output = child.wait_for("From another machine: ", timeout_s=90)
    url = re.search(r"(http://127\.0\.0\.1:\d+)/(\?token=[\w-]+)", output)
    assert url
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(f"{url[1]}/summary")
    with refused.value as answer:
        assert answer.code == 401
    eventually(lambda: ask(f"{url[1]}/summary{url[2]}")["bundles"] != {})
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (child.process.pid, *family(child))]
    assert not any(url[2].removeprefix("?token=").encode() in line for line in lines)


def test_a_page_port_in_use_is_said_before_anything_starts(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run_siftfunnel(
            ["demo", "--images", stage.images, f"--http-port={port}"], **stage.environment
        )
    assert result.returncode == 1
    assert f"port {port} for the page is in use; choose another with --http-port" in result.stderr
    assert "Traceback" not in result.stderr
