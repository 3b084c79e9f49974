"""What is told of a server that stays away: once, and as the reason of budgets that run out meanwhile."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from siftfunnel.cli import main
from siftfunnel.edge_client import redial as module
from siftfunnel.edge_client.address import ServerAddress
from siftfunnel.edge_client.frame import EncodedFrame, Held
from siftfunnel.edge_client.outcome import BUDGET_EXCEEDED, NO_REPLY
from siftfunnel.edge_client.reconnection import Reconnection
from siftfunnel.edge_client.redial import Redial
from siftfunnel.edge_client.settings import ReconnectPolicy
from siftfunnel.edge_client.transport import CallEnded
from siftfunnel.edge_client.window import Failed
from siftfunnel.shared.bundle import Bundle
from tests.edge_client.conftest import write_pictures

SERVER = "127.0.0.1:50051"
REFUSED = CallEnded("UNAVAILABLE", "Connection refused")


def a_redial() -> Redial:
    return Redial(Reconnection(ReconnectPolicy(connect_timeout_s=30), lambda: 0.0), ServerAddress(SERVER))


def test_an_outage_that_lasts_is_told_once_with_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    redial, now = a_redial(), iter([100.0, 101.0, 103.0, 110.0])
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(now)))
    told = []
    for _ in range(4):
        redial.wait_s(REFUSED, SERVER, opened=False)
        told.append(len(caplog.messages))
    assert told == [0, 0, 1, 1]
    assert SERVER in caplog.text


def test_a_budget_that_runs_out_tells_of_the_server_only_while_it_is_away() -> None:
    redial, held = a_redial(), Held(EncodedFrame(0, "a.png", None, b"", 1.0))
    late, lost = Failed(held, BUDGET_EXCEEDED, "slow"), Failed(held, NO_REPLY, "lost")
    assert redial.told(late) is late
    redial.wait_s(REFUSED, SERVER, opened=False)
    assert f"no server at {SERVER}" in redial.told(late).message
    assert redial.told(lost) is lost
    redial.present()
    assert redial.told(late) is late


@pytest.mark.parametrize("name", ["127.0.0.1", "name.invalid"])
def test_classify_tells_once_what_is_wrong_with_the_server_and_names_each_picture(
    name: str,
    bundle: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    free_port: Callable[[], int],
) -> None:
    server = f"{name}:{free_port()}"
    pictures = list(map(str, write_pictures(tmp_path, ["a.png", "b.png"])))
    of = ["--bundle", str(bundle.directory), "--server", server, "--connect-timeout-seconds", "0.3"]
    assert main(["classify", *pictures, *of]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[-3:-1] == [f"{each}: not answered" for each in pictures]
    assert len([line for line in told if line.startswith("siftfunnel classify: ") and server in line]) == 1
    assert "is `siftfunnel cloud` running" in told[-1] or "nobody knows the name" in told[-1]
