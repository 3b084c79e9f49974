"""The admin side over real HTTP."""

import asyncio
import json
import socket
import time
import urllib.error
import urllib.request
from dataclasses import replace

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from siftfunnel.cloud_server.admin import AdminView, State, make_app
from siftfunnel.cloud_server.config import CloudConfig
from siftfunnel.cloud_server.http_server import HttpServer
from siftfunnel.cloud_server.ports import ListenError, listening_sockets
from siftfunnel.cloud_server.server import CloudServer
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.ports import Endpoint
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.cloud_server.conftest import LOOPBACK, Frames, Serve, damaged, metadata
from tests.split_inference import SplitInferenceStub


def get(endpoint: Endpoint | None, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://{endpoint}{path}", timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize(("state", "status"), [("serving", 200), ("draining", 503), ("stalled", 503)])
def test_health_tells_the_state_and_readiness_by_its_status(state: State, status: int) -> None:
    server = HttpServer(LOOPBACK, make_app(AdminView(lambda: state, list, bytes)), "--http")
    server.start()
    try:
        code, body = get(server.endpoint, "/healthz")
    finally:
        server.stop()
    assert (code, json.loads(body)) == (status, {"status": state})


async def test_health_says_stalled_while_the_event_loop_of_the_streams_is_stuck(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siftfunnel.cloud_server.server._STALLED_S", 0.05)
    async with serve(http=LOOPBACK) as (server, _):
        asked = asyncio.get_running_loop().run_in_executor(None, _health_after, server.addresses.http, 0.3)
        time.sleep(0.8)
        assert await asked == (503, {"status": "stalled"})


def _health_after(endpoint: Endpoint | None, delay_s: float) -> tuple[int, object]:
    time.sleep(delay_s)
    code, body = get(endpoint, "/healthz")
    return code, json.loads(body)


async def test_bundles_and_metrics_show_what_streams_did(
    serve: Serve, bundle: Bundle, frames: Frames
) -> None:
    async with serve(http=LOOPBACK) as (server, stub):
        sent = [
            frames.frame(0),
            damaged(frames.frame(1)),
            pb.Frame(sequence=2, codec=40),
            frames.frame(3, "q6"),
        ]
        call = stub.Stream(iter(sent), metadata=metadata(bundle))
        assert len([reply async for reply in call]) == 4
        with pytest.raises(Exception, match="it is missing"):
            await stub.Infer(pb.Frame())
        health = await asyncio.to_thread(get, server.addresses.http, "/healthz")
        code, listing = await asyncio.to_thread(get, server.addresses.http, "/bundles")
        _, text = await asyncio.to_thread(get, server.addresses.http, "/metrics")
        missing, _ = await asyncio.to_thread(get, server.addresses.http, "/nothing")
    assert health == (200, b'{"status":"serving"}')
    assert (code, missing) == (200, 404)
    (shown,) = json.loads(listing)
    assert (shown["name"], shown["digest"], shown["num_classes"]) == ("tiny", bundle.digest, 3)
    assert shown["codecs"][0] == {"name": "fp32", "index": 0, "max_payload_bytes": 12 * 8 * 8 * 4 + 4}
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float:
        return samples[name, *sorted(labels.items())]

    def outcome(codec: str, outcome: str) -> float:
        return value("siftfunnel_frames_total", bundle="tiny", codec=codec, outcome=outcome)

    assert outcome("fp32", "answered") == outcome("q6", "answered") == 1
    assert outcome("fp32", "invalid_payload") == 1
    assert outcome("unknown", "unknown_codec") == 1
    assert value("siftfunnel_payload_bytes_total", bundle="tiny", codec="fp32") == 2 * (12 * 8 * 8 * 4 + 4)
    assert value("siftfunnel_queue_seconds_count", bundle="tiny") == 2
    assert value("siftfunnel_decode_seconds_count", bundle="tiny", codec="q6") == 1
    assert value("siftfunnel_batch_size_sum", bundle="tiny") == 2
    assert value("siftfunnel_compute_seconds_sum", bundle="tiny") > 0
    assert value("siftfunnel_streams_open", bundle="tiny") == 0
    assert value("siftfunnel_queue_frames", bundle="tiny") == 0
    assert value("siftfunnel_refused_calls_total", reason="bad_digest") == 1
    assert value("siftfunnel_bundle_info", bundle="tiny", digest=bundle.digest) == 1
    assert value("siftfunnel_ready") == 1


def test_a_port_in_use_is_named_with_its_flag() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = Endpoint("127.0.0.1", holder.getsockname()[1])
        with pytest.raises(ListenError, match=rf"--http 127\.0\.0\.1:{taken.port}: the port is in use"):
            HttpServer(taken, make_app(AdminView(lambda: "serving", list, bytes)), "--http")


def test_an_address_of_another_machine_is_refused_with_advice() -> None:
    with pytest.raises(ListenError, match=r"--listen 192\.0\.2\.1:0: this machine has no such address"):
        listening_sockets(Endpoint("192.0.2.1", 0), "--listen")


def families() -> dict[str, str]:
    """A loopback address of each family that this machine has."""
    found = {"127.0.0.1": "127.0.0.1"}
    if socket.has_dualstack_ipv6():
        found["::1"] = "[::1]"
    return found


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost"])
async def test_an_address_means_the_same_for_both_ports(serve: Serve, bundle: Bundle, host: str) -> None:
    if host == "localhost" and len({each[4][0] for each in socket.getaddrinfo(host, 1)}) < 2:
        pytest.skip("localhost has one address on this machine")
    everywhere = Endpoint(host, 0)
    async with serve(listen=everywhere, http=everywhere) as (server, _):
        assert server.addresses.grpc is not None
        assert server.addresses.http is not None
        for loopback in families().values():
            health = await asyncio.to_thread(
                get, Endpoint.parse(f"{loopback}:{server.addresses.http.port}"), "/healthz"
            )
            assert health[0] == 200
            async with grpc.aio.insecure_channel(f"{loopback}:{server.addresses.grpc.port}") as channel:
                described = await SplitInferenceStub(channel).Describe(pb.DescribeRequest(), timeout=10)
                assert described.bundles[0].digest == bundle.digest


def test_a_port_that_one_of_the_addresses_has_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = Endpoint("0.0.0.0", holder.getsockname()[1])
        with pytest.raises(ListenError, match="the port is in use"):
            listening_sockets(taken, "--http")


@pytest.mark.parametrize("path", ["/healthz", "/bundles", "/metrics"])
def test_head_is_answered_as_get_is_without_a_body(path: str) -> None:
    server = HttpServer(LOOPBACK, make_app(AdminView(lambda: "serving", list, lambda: b"metrics")), "--http")
    server.start()
    try:
        request = urllib.request.Request(f"http://{server.endpoint}{path}", method="HEAD")
        with urllib.request.urlopen(request, timeout=10) as response:
            assert (response.status, response.read()) == (200, b"")
    finally:
        server.stop()


def test_the_admin_side_takes_so_many_connections_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siftfunnel.cloud_server.http_server._CONNECTIONS", 2)
    server = HttpServer(LOOPBACK, make_app(AdminView(lambda: "serving", list, bytes)), "--http")
    server.start()
    try:
        where = (server.endpoint.host, server.endpoint.port)
        with socket.create_connection(where), socket.create_connection(where):
            assert get(server.endpoint, "/healthz")[0] == 503
    finally:
        server.stop()


async def test_a_second_server_on_a_port_is_refused_instead_of_sharing_it(
    serve: Serve, config: CloudConfig
) -> None:
    async with serve() as (server, _):
        second = CloudServer(replace(config, listen=server.addresses.grpc))
        with pytest.raises(ListenError, match=r"--listen 127\.0\.0\.1:\d+: the port is in use"):
            await second.start()
