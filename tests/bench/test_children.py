"""Processes that say when they are ready, or why they cannot be."""

import socket
import sys

import pytest

from siftfunnel.bench.children import NotStartedError, announced, asked, child, cpu_seconds
from siftfunnel.bench.links import probe, relay


def test_a_process_is_there_while_it_is_used_and_gone_afterwards() -> None:
    with announced(child(probe.serve, host="127.0.0.1")) as running:
        socket.create_connection(("127.0.0.1", running.told["port"])).close()
        assert running.cpu_s() > 0
        assert running.resident_bytes() > 1 << 20
    assert running.process.returncode is not None
    assert cpu_seconds([running.process.pid]) == 0.0


def test_why_a_process_is_not_ready_is_told() -> None:
    wrong = child(relay.relay, profile={"name": 5}, target="127.0.0.1:1", seed=1)
    with pytest.raises(NotStartedError, match="link: field 'name'"), announced(wrong):
        pass
    with pytest.raises(NotStartedError, match="told nothing"):
        asked([sys.executable, "-c", ""])
