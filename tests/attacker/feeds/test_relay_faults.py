"""Where a relay cannot listen, cannot reach its target, or loses its process."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from siftfunnel.attacker.feeds.config import TapConfig
from siftfunnel.attacker.feeds.relay import RelayFeed
from siftfunnel.attacker.tap.events import ConnectionClosed, Event, FeedError
from tests.attacker.feeds.sockets import (
    connect,
    echo,
    eventually,
    listening,
    receive_exactly,
    relay_config,
    relaying,
)

ROOT = Path(__file__).resolve().parents[3]


def test_a_target_that_is_down_closes_the_client_and_is_named(free_port) -> None:
    port = free_port()
    with relaying(RelayFeed(relay_config(port)), _ignore) as feed:
        with pytest.raises(ConnectionResetError), connect(feed) as client:
            client.recv(1)
        assert eventually(lambda: feed.state().detail)
        state = feed.state()
    assert state.phase == "running"
    assert state.detail.startswith(f"cannot reach the target 127.0.0.1:{port}: ")
    assert state.detail.endswith("is it running?")
    assert state.dropped == {}


def test_a_target_that_comes_back_is_served_and_the_complaint_goes(free_port) -> None:
    port = free_port()
    with relaying(RelayFeed(relay_config(port)), _ignore) as feed:
        with pytest.raises(ConnectionResetError), connect(feed) as client:
            client.recv(1)
        with socket.create_server(("127.0.0.1", port)), connect(feed):
            assert eventually(lambda: feed.state().detail == "")


def test_a_port_in_use_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        feed = RelayFeed(relay_config(1, port))
        with pytest.raises(FeedError, match=f"cannot listen at 127.0.0.1:{port}: the port is in use"):
            feed.start(_ignore)
    assert feed.state().phase == "failed"
    feed.stop()


def test_a_host_that_is_not_here_is_a_clear_error() -> None:
    feed = RelayFeed(TapConfig.parse("relay:203.0.113.7:7000:1"))
    with pytest.raises(FeedError, match=r"cannot listen at 203\.0\.113\.7:7000: this machine has no such"):
        feed.start(_ignore)


def test_an_ipv6_address_may_be_listened_at() -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with (
        listening(echo) as port,
        relaying(RelayFeed(TapConfig.parse(f"relay:[::1]:0:{port}")), _ignore) as feed,
    ):
        host, _, listen_port = feed.state().address.rpartition(":")
        assert host == "[::1]"
        with socket.create_connection(("::1", int(listen_port)), timeout=30) as client:
            client.sendall(b"six")
            assert receive_exactly(client, 3) == b"six"


def test_every_address_of_ipv6_is_every_address_of_ipv4_too() -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    tap = "relay:[::]:0"
    with (
        listening(echo) as target,
        relaying(RelayFeed(TapConfig.parse(f"{tap}:{target}")), _ignore) as feed,
        connect(feed) as client,
    ):
        client.sendall(b"four")
        assert receive_exactly(client, 4) == b"four"


def test_a_name_is_listened_at_over_ipv4() -> None:
    tap = "relay:localhost:0"
    with listening(echo) as target, relaying(RelayFeed(TapConfig.parse(f"{tap}:{target}")), _ignore) as feed:
        port = int(feed.state().address.rpartition(":")[2])
        socket.create_connection(("127.0.0.1", port), timeout=30).close()


def test_what_lies_in_the_working_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("queue.py", "socket.py", "shared.py"):
        (tmp_path / name).write_text("raise SystemExit('the working folder was run')")
    monkeypatch.chdir(tmp_path)
    # as of a program that was installed: the tests' own folder is on the path, the working folder is not
    monkeypatch.setattr("sys.path", [str(ROOT), *(path for path in sys.path if path)])
    with relaying(RelayFeed(relay_config(1)), _ignore) as feed:
        assert feed.state().phase == "running"


def test_port_0_is_resolved() -> None:
    with relaying(RelayFeed(relay_config(1)), _ignore) as feed:
        host, _, port = feed.state().address.rpartition(":")
        assert host == "127.0.0.1"
        assert int(port) > 0
        assert feed.state().tap == "relay:127.0.0.1:0:127.0.0.1:1"


def test_a_relay_process_that_dies_is_told_and_its_connections_are_closed() -> None:
    events: list[Event] = []
    with listening(echo) as port, relaying(RelayFeed(relay_config(port)), events.append) as feed:
        with connect(feed) as client:
            client.sendall(b"no HTTP/2 at all")
            assert receive_exactly(client, 16) == b"no HTTP/2 at all"
            assert eventually(lambda: feed.state().opaque_bytes == 32)
            assert feed._process is not None
            os.kill(feed._process.pid, signal.SIGKILL)
            assert eventually(lambda: feed.state().phase == "failed")
        assert feed.state().detail.startswith("the relay's process ended")
    assert isinstance(events[-1], ConnectionClosed)
    assert events[-1].how == "the relay ended"


ABANDONED = """
import os, sys
from siftfunnel.attacker.feeds.config import TapConfig
from siftfunnel.attacker.feeds.relay import RelayFeed
feed = RelayFeed(TapConfig.parse("relay:0:1"))
feed.start(print)
print(feed._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_the_relay_process_does_not_outlive_the_tap() -> None:
    made = subprocess.run(
        [sys.executable, "-c", ABANDONED], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    process_id = int(made.stdout)
    assert eventually(lambda: not running(process_id))


def running(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _ignore(event: object) -> None:
    """An observer that does not care."""
