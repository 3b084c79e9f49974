import asyncio
import socket
from dataclasses import dataclass
from typing import Any

from siftfunnel.attacker.serving import MAX_CONNECTIONS, REQUEST_WAIT_S, SilentConnections


@dataclass(eq=False)
class Cycle:
    response_complete: bool = False


@dataclass(eq=False)
class Connection:
    cycle: Any = None


def test_a_connection_that_never_asks_is_let_go_and_one_that_waits_for_its_answer_is_not() -> None:
    half, asking, idle = Connection(), Connection(Cycle()), Connection(Cycle(response_complete=True))
    silent = SilentConnections()
    assert silent.to_close([half, asking, idle], 0.0) == []
    assert silent.to_close([half, asking, idle], REQUEST_WAIT_S) == []
    assert silent.to_close([half, asking, idle], REQUEST_WAIT_S + 0.1) == [half, idle]


def test_a_connection_that_asks_again_is_young_again() -> None:
    connection = Connection()
    silent = SilentConnections()
    silent.to_close([connection], 0.0)
    connection.cycle = Cycle()
    silent.to_close([connection], 9.0)
    connection.cycle = Cycle(response_complete=True)
    assert silent.to_close([connection], 11.0) == []
    assert silent.to_close([connection], 22.0) == [connection]


def test_of_too_many_connections_the_longest_silent_ones_go_at_once() -> None:
    crowd = [Connection() for _ in range(MAX_CONNECTIONS)]
    silent = SilentConnections()
    assert silent.to_close(crowd, 0.0) == []
    asking, newest = Connection(Cycle()), Connection()
    assert silent.to_close([asking, newest, *crowd], 1.0) == crowd[:2]


def test_what_has_gone_is_forgotten() -> None:
    silent = SilentConnections()
    for number in range(100):
        silent.to_close([Connection() for _ in range(5)], float(number))
    assert len(silent._since_s) == 5


def test_half_requests_without_end_do_not_keep_an_honest_page_out(processes: Any) -> None:
    child = processes.python(
        "-m", "siftfunnel.attacker", "--tap", "relay:0:127.0.0.1:9", "--http", "127.0.0.1:0"
    )
    output = child.wait_for("the page is at http://")
    port = int(output.split("the page is at http://127.0.0.1:")[1].split("/")[0])
    half = []
    for _ in range(2 * MAX_CONNECTIONS):
        half.append(socket.create_connection(("127.0.0.1", port)))
        half[-1].sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")

    async def ask() -> bytes:
        async with asyncio.timeout(20):
            while True:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
                line = await reader.readline()
                writer.close()
                if b" 200 " in line:
                    return line
                await asyncio.sleep(0.1)

    assert asyncio.run(ask())
    for connection in half:
        connection.close()
