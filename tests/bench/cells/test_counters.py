import socket
import sys

import pytest

from siftfunnel.bench.cells.counters import count_connection, interface_sent_bytes, tcp_totals
from siftfunnel.bench.cells.result import joined

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO and /proc are Linux's")


def test_the_kernel_counts_the_bytes_of_a_connection_each_way() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as device,
        listener.accept()[0] as cloud,
    ):
        before = tcp_totals(device)
        device.sendall(bytes(1000))
        cloud.recv(1000, socket.MSG_WAITALL)
        cloud.sendall(bytes(70_000))
        device.recv(70_000, socket.MSG_WAITALL)
        after = tcp_totals(device)
    assert before is not None
    assert after is not None
    assert after[0] == before[0]
    up, down = (
        joined([new, old], lambda pair: pair[0] - pair[1])
        for old, new in zip(before[1:], after[1:], strict=True)
    )
    assert (up.message, down.message) == (1000, 70_000)
    assert up.tcp is not None
    assert up.tcp - 1000 >= 40


def test_the_connection_to_a_server_is_found_among_all_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        assert count_connection(f"{host}:{port}") is None
        with socket.create_connection((host, port)) as device:
            found = count_connection(f"{host}:{port}")
            whole = tcp_totals(device)
        assert found is not None
        assert whole is not None
        assert found[0] == whole[0]


def test_two_connections_to_one_server_are_not_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address), socket.create_connection(address):
            assert count_connection(f"{address[0]}:{address[1]}") is None


def test_interfaces_are_read_by_name() -> None:
    sent = interface_sent_bytes("lo")
    assert sent is not None
    assert sent >= 0
    assert interface_sent_bytes("no-such-interface") is None
    assert interface_sent_bytes("lo", 2**31 - 1) is None
