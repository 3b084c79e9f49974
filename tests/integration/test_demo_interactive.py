"""The endless demo with real processes: switches, Ctrl-C, SIGTERM, and a party that dies."""

import json
import os
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Child, Processes, run_siftfunnel
from tests.integration.demo_stage import Stage, make_stage

PAGE = re.compile(r"http://127\.0\.0\.1:\d+")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return make_stage(tmp_path_factory.mktemp("stage"))


@pytest.fixture
def demo(stage: Stage, processes: Processes, tmp_path: Path) -> Child:
    """A demo that plays, its logs in `tmp_path / "logs"` and its temporary files in `tmp_path / "tmp"`."""
    (tmp_path / "tmp").mkdir()
    arguments = ["demo", "--images", stage.images, "--http-port=0", "--rate=20", "--frames=15"]
    child = processes.siftfunnel(
        *arguments, f"--log-dir={tmp_path / 'logs'}", TMPDIR=str(tmp_path / "tmp"), **stage.environment
    )
    child.wait_for("What the attacker sees: ", timeout_s=90)
    child.wait_for("playing tiny-unprotected", timeout_s=30)
    return child


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
    kept = {path.name for path in (tmp_path / "logs").iterdir()}
    assert {"cloud.log", "attacker.log", "edge.log"} <= kept
    assert not {"certificates", "flows.jsonl"} & kept
    assert "Traceback" not in demo.output


def test_bundles_play_in_turn_until_the_page_switches(demo: Child) -> None:
    page = page_of(demo)
    eventually(lambda: intercepted(page, "tiny-siftfunnel") > 0)
    assert ask(f"{page}/state")["held"] is False

    state = ask(f"{page}/switch", {"bundle": "tiny-siftfunnel", "codec": "q4"})
    assert (state["bundle"], state["codec"], state["held"]) == ("tiny-siftfunnel", "q4", True)

    def frames_in_q4() -> int:
        codecs = ask(f"{page}/summary")["bundles"]["tiny-siftfunnel"]["codecs"]
        return int(codecs["q4"]["frames"]) if "q4" in codecs else 0

    eventually(lambda: frames_in_q4() > 20)
    before = intercepted(page, "tiny-unprotected")
    eventually(lambda: frames_in_q4() > 50)
    assert intercepted(page, "tiny-unprotected") == before

    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(f"{page}/switch", {"codec": "q99"})
    assert "fp32, fp16, int8" in refused.value.read().decode()


@pytest.mark.slow
def test_a_switch_to_tls_is_heard_by_the_curious_cloud_only(demo: Child) -> None:
    page = page_of(demo)
    eventually(lambda: intercepted(page, "tiny-unprotected") > 0)
    assert ask(f"{page}/switch", {"bundle": "tiny-unprotected", "tls": True})["tls"] is True
    demo.wait_for(", TLS)", timeout_s=60)
    heard = intercepted(page, "tiny-unprotected")
    eventually(lambda: intercepted(page, "tiny-unprotected") > heard + 20)


@pytest.mark.slow
def test_a_party_that_dies_ends_the_demo_with_its_last_words(demo: Child) -> None:
    eventually(lambda: intercepted(page_of(demo), "tiny-unprotected") > 0)
    parties = family(demo)
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in parties}
    (cloud,) = (pid for pid, command in commands.items() if b"\0cloud\0" in command)
    os.kill(cloud, signal.SIGKILL)
    assert demo.wait(60) == 1
    assert "cloud was killed by SIGKILL; its last lines:" in demo.output
    assert not any(alive(pid) for pid in parties)


def test_a_page_port_in_use_is_said_before_anything_starts(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run_siftfunnel(
            ["demo", "--images", stage.images, f"--http-port={port}"], **stage.environment
        )
    assert result.returncode == 1
    assert f"port {port} for the page is in use; choose another with --http-port" in result.stderr
    assert "Traceback" not in result.stderr
