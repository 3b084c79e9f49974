"""Real links: real namespaces and sockets. Of times only this is asserted: nothing arrives too early."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from siftfunnel.bench.links.link import open_link
from siftfunnel.bench.links.namespaces import (
    LinkUnavailableError,
    missing_for_namespaces,
    netem_link,
    remove_stale,
    two_namespaces,
)
from siftfunnel.bench.links.probe import Bursts
from siftfunnel.bench.links.profiles import Direction, LinkProfile, link_profile
from siftfunnel.bench.links.relay import relay_link
from siftfunnel.bench.links.tun import missing_for_tun, tun_link

FAST = LinkProfile(
    "fast",
    Direction(8_000, delay_ms=15),
    Direction(16_000, delay_ms=15, jitter_ms=5, loss=0.05),
    "a test",
)
LACKING = missing_for_namespaces() or missing_for_tun()
needs_packets = pytest.mark.skipif(LACKING is not None, reason=f"emulating packets needs {LACKING}")


@needs_packets
def test_a_link_between_namespaces_is_as_slow_and_as_lossy_as_it_was_asked_to_be() -> None:
    with open_link(FAST) as link:
        assert link.emulation in {"netem", "tun"}
        made = link.calibrate(bulk_s=0.5, bursts=Bursts(400, 0.001))
    assert made.round_trip_ms_p50 >= 25
    assert made.up.delay_ms_p50 is not None
    assert made.down.delay_ms_p50 is not None
    assert made.up.delay_ms_p50 >= 15
    assert made.down.delay_ms_p50 >= 10
    assert made.up.loss == 0
    assert made.down.loss == pytest.approx(0.05, abs=0.04)
    # headers take 4 % of a full packet
    assert 0 < made.up.rate_kbit_s <= 8_000
    # what waited for a lost packet may come all at once
    assert made.down.rate_kbit_s > 0


@needs_packets
def test_a_carrier_hands_packets_over_and_leaves_nothing_behind() -> None:
    with two_namespaces() as ends, tun_link(FAST, ends):
        listening = ends.within(ends.cloud, [sys.executable, "-c", _HEAR])
        with subprocess.Popen(listening, stdout=subprocess.PIPE, text=True) as heard:
            assert heard.stdout is not None
            assert heard.stdout.readline() == "listening\n"
            subprocess.run(ends.within(ends.device, [sys.executable, "-c", _SEND]), check=True, timeout=60)
            assert heard.stdout.readline() == "hello\n"
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert ends.device not in listed
    assert ends.cloud not in listed


_HEAR = """
import socket
port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
port.bind(("10.98.0.2", 9))
port.settimeout(30)
print("listening", flush=True)
print(port.recv(100).decode(), flush=True)
"""
_SEND = """
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", ("10.98.0.2", 9))
"""


@needs_packets
def test_namespaces_of_a_killed_run_are_removed() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    name = f"siftfunnel-{gone.pid}-device"
    subprocess.run(["ip", "netns", "add", name], check=True)
    assert remove_stale() == [name]
    assert not Path("/run/netns", name).exists()


@needs_packets
def test_a_kernel_without_netem_says_so() -> None:
    refused = pytest.raises(LinkUnavailableError, match="netem cannot be used here")
    with refused, two_namespaces() as ends, netem_link(FAST, ends):
        pytest.skip("this kernel has netem")


def test_without_rights_the_reason_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    if shutil.which("ip") is None:
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/sbin/{name}")
    with pytest.raises(LinkUnavailableError, match="needs the rights of root"), two_namespaces():
        pass


def test_without_rights_a_relay_takes_over_and_tells_what_was_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with open_link(link_profile("slow-4g")) as link:
        assert link.emulation == "relay"
        assert link.at_device(["x"]) == link.at_cloud(["x"]) == ["x"]
        assert [text.split(":")[0] for text in link.refused] == ["netem", "tun"]


def test_a_relay_hands_on_every_byte_in_order_and_late() -> None:
    text = os.urandom(200_000)
    received = bytearray()

    def keep(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            while part := connection.recv(65_536):
                received.extend(part)
            connection.sendall(b"all of it")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=keep, args=(listener,))
        thread.start()
        profile = LinkProfile("x", Direction(8_000, delay_ms=20), Direction(delay_ms=20), "a test")
        with relay_link(profile, f"127.0.0.1:{listener.getsockname()[1]}") as through:
            host, _, port = through.rpartition(":")
            with socket.create_connection((host, int(port))) as client:
                client.sendall(text)
                client.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: client.recv(100), b""))
        thread.join()
    assert bytes(received) == text
    assert answer == b"all of it"


def test_a_relay_whose_target_is_away_closes_and_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with relay_link(FAST, f"127.0.0.1:{port}") as through:
        host, _, relay_port = through.rpartition(":")
        with socket.create_connection((host, int(relay_port))) as client:
            assert client.recv(10) == b""
    assert f"the relay cannot reach 127.0.0.1:{port}" in capfd.readouterr().err


def test_no_link_is_no_emulation() -> None:
    with open_link(link_profile("none")) as link, link.towards("127.0.0.1:1") as server:
        assert link.emulation == "none"
        assert server == "127.0.0.1:1"
