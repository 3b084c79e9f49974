"""Several servers: streams take turns, what one cannot take goes to the next, refusals are counted."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from siftfunnel.edge_client.address import ServerAddress
from siftfunnel.edge_client.client import SplitClient
from siftfunnel.edge_client.errors import BundleMismatch, ServerUnreachable
from siftfunnel.edge_client.outcome import Answer
from siftfunnel.edge_client.reconnection import Reconnection
from siftfunnel.edge_client.servers import Rotation
from siftfunnel.edge_client.settings import ReconnectPolicy
from siftfunnel.edge_client.transport import open_channel
from siftfunnel.shared.bundle import Bundle
from tests.edge_client.conftest import pixels, serving

Pictures = list[NDArray[np.uint8]]


@pytest.fixture
def pictures() -> Pictures:
    return [pixels(seed) for seed in range(6)]


def client_of(bundle: Bundle, *servers: str, timeout_s: float = 10.0) -> SplitClient:
    return SplitClient(bundle, ",".join(servers), connect_timeout_s=timeout_s)


def begin_with(client: SplitClient, first: int) -> None:
    client._servers._next = first


def test_servers_take_turns_from_wherever_a_client_begins() -> None:
    servers = Rotation(ServerAddress("a:1,b:2,[::1]:3", tls=True, tls_name="cloud"), first=5)
    turns = [servers.turn() for _ in range(4)]
    assert [each.target for each in turns] == ["[::1]:3", "a:1", "b:2", "[::1]:3"]
    assert all(each.tls is True and each.tls_name == "cloud" for each in turns)


@pytest.mark.parametrize("target", ["a:1,", "a:1,b", "a:1,b:0", ",", "a:1, b:2:3"])
def test_a_list_with_something_that_is_no_address_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="server: "):
        ServerAddress(target)


def test_a_server_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="stands twice"):
        ServerAddress("a:1,b:2,a:1")


def test_a_server_that_is_not_there_is_passed_over(
    bundle: Bundle, pictures: Pictures, free_port: Callable[[], int]
) -> None:
    with serving(bundle) as server, client_of(bundle, f"127.0.0.1:{free_port()}", server) as client:
        begin_with(client, 0)
        assert all(isinstance(each, Answer) for each in client.stream(pictures))
        begin_with(client, 0)
        assert client.classify(pictures[0]).sequence == len(pictures)


def test_a_server_that_drains_hands_its_stream_to_the_next(bundle: Bundle, pictures: Pictures) -> None:
    def endless() -> Iterator[NDArray[np.uint8]]:
        while True:
            yield from pictures

    told = []
    with serving(bundle) as second:
        with serving(bundle) as first:
            client = client_of(bundle, first, second)
            begin_with(client, 0)
            stream = client.open_stream(endless())
            outcomes = iter(stream)
            told += [next(outcomes) for _ in range(20)]
        told += [next(outcomes) for _ in range(100)]
        stream.stop()
        told += list(outcomes)
        client.close()
    assert all(isinstance(each, Answer) for each in told)
    assert [each.sequence for each in told] == list(range(stream.handed_in))


def test_single_pictures_share_a_connection_until_it_breaks_and_go_to_no_other_bundle(
    bundle: Bundle, other_bundle: Bundle, pictures: Pictures, free_port: Callable[[], int]
) -> None:
    port = free_port()
    with client_of(bundle, f"127.0.0.1:{port}") as client:
        for _ in range(2):
            with serving(bundle, port=port):
                answers = [client.classify(picture) for picture in pictures]
            assert [answer.sends for answer in answers[1:]] == [1] * (len(pictures) - 1)
        with serving(other_bundle, port=port), pytest.raises(BundleMismatch):
            client.classify(pictures[0])


def test_a_server_with_another_bundle_is_passed_over(
    bundle: Bundle, other_bundle: Bundle, pictures: Pictures
) -> None:
    with serving(other_bundle) as wrong, serving(bundle) as right, client_of(bundle, wrong, right) as client:
        begin_with(client, 0)
        assert all(isinstance(each, Answer) for each in client.stream(pictures))
        begin_with(client, 0)
        assert isinstance(client.classify(pictures[0]), Answer)


def test_the_bundle_is_missing_where_all_servers_say_so(
    bundle: Bundle, other_bundle: Bundle, pictures: Pictures
) -> None:
    with serving(other_bundle) as one, serving(other_bundle) as two, client_of(bundle, one, two) as client:
        with pytest.raises(BundleMismatch):
            list(client.stream(pictures))
        with pytest.raises(BundleMismatch):
            client.classify(pictures[0])


def test_nobody_at_any_address_is_said_with_all_of_them(
    bundle: Bundle, pictures: Pictures, free_port: Callable[[], int]
) -> None:
    servers = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    with (
        client_of(bundle, *servers, timeout_s=0.5) as client,
        pytest.raises(ServerUnreachable, match=",".join(servers)),
    ):
        list(client.stream(pictures))


def test_one_server_that_refuses_is_asked_again_while_another_is_down() -> None:
    reconnection = Reconnection(ReconnectPolicy(), lambda: 0.0, servers=2)
    assert [reconnection.refused(server) for server in ("a", "a", "b")] == [False, False, True]
    reconnection.answered()
    assert not reconnection.refused("a")


def test_patience_with_silent_servers_is_for_each_of_them() -> None:
    reconnection = Reconnection(ReconnectPolicy(stalls_max=2), lambda: 0.0, servers=2)
    waits = [reconnection.lost(0.0, stalled=True) for _ in range(4)]
    assert [wait is None for wait in waits] == [False, False, False, True]


@contextmanager
def naming_server(address: str = "127.0.0.1:0") -> Iterator[int]:
    """A gRPC server that answers every call with its port; gives the port."""

    class Name(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(lambda request, context: str(port).encode())

    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, handlers=(Name(),), options=[("grpc.so_reuseport", 0)])
        port = server.add_insecure_port(address)
        server.start()
        try:
            yield port
        finally:
            server.stop(0).wait()


def group(*ports: int) -> ServerAddress:
    """One name with several addresses, as the DNS gives it for a headless service: resolved without a DNS."""
    target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    named = SimpleNamespace(target=target, tls=None, tls_name=None)
    return cast("ServerAddress", named)


def who_answers(address: ServerAddress) -> int:
    with open_channel(address) as channel:
        return int(channel.unary_unary("/a/b")(b"", timeout=10, wait_for_ready=True))


def test_no_proxy_of_the_environment_is_asked_for_a_server_that_was_named(
    monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    for variable in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    with naming_server("127.0.0.2:0") as port:
        named = ServerAddress(f"127.0.0.2:{port}")
        with open_channel(named) as channel:
            assert int(channel.unary_unary("/a/b")(b"", timeout=20)) == port


def test_of_a_name_with_several_addresses_each_connection_takes_one_at_random() -> None:
    with naming_server() as one, naming_server() as two:
        seen: set[int] = set()
        for _ in range(40):
            seen.add(who_answers(group(one, two)))
            if len(seen) == 2:
                break
    assert seen == {one, two}


def test_an_address_of_a_name_where_nobody_listens_is_passed_over(free_port: Callable[[], int]) -> None:
    with naming_server() as alive:
        assert {who_answers(group(free_port(), alive)) for _ in range(8)} == {alive}
