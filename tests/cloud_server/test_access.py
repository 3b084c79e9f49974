"""Who may do what, over real sockets: tokens, certificates, rights, and what a client may have under way."""

import asyncio
import json
import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from siftfunnel.certs import CertificateFiles, make_certificates
from siftfunnel.cloud_server.allowance import Allowance
from siftfunnel.cloud_server.ceilings import Ceilings
from siftfunnel.cloud_server.config import CloudConfig
from siftfunnel.cloud_server.server import CloudServer
from siftfunnel.cloud_server.session import CHANGED
from siftfunnel.edge_client import ServerRefused, SplitClient
from siftfunnel.shared.access import ClientLimits, Right, hash_of
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.rpc import open_inference_pb2 as oip
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tls import TlsFiles
from tests.cloud_server.conftest import LOOPBACK, Frames, Serve, metadata
from tests.split_inference import SplitInferenceStub

Status = grpc.StatusCode
INFERRING, DESCRIBING, ADMINISTERING = (
    f"a-token-with-the-right-to-{right}" for right in ("infer", "describe", "administer")
)
TOKENS = {Right.INFER: INFERRING, Right.DESCRIBE: DESCRIBING, Right.ADMINISTER: ADMINISTERING}
OIP = "/inference.GRPCInferenceService/"


def file_of(path: Path, anyone: Sequence[Right] = (), more: str = "") -> Path:
    """A file with one client per right."""
    lines = [f"[anyone]\nrights = {json.dumps(list(anyone))}\n{more}"] if anyone else []
    lines += [
        f'[clients.{right}]\ntoken-sha256 = "{hash_of(token)}"\nrights = ["{right}"]\n'
        for right, token in TOKENS.items()
    ]
    path.write_text("".join(lines))
    return path


def showing(token: str | None) -> tuple[tuple[str, str], ...]:
    return () if token is None else (("authorization", f"Bearer {token}"),)


async def status_of(call: Awaitable[object]) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return Status.OK


Call = Callable[[grpc.aio.Channel, str | None], Awaitable[object]]


async def test_each_method_wants_its_right_and_probes_want_none(
    serve: Serve, bundle: Bundle, frames: Frames, tmp_path: Path
) -> None:
    named = oip.ModelMetadataRequest(name="tiny").SerializeToString()

    def of_ours(name: str, request: object) -> Call:
        return lambda channel, token: getattr(SplitInferenceStub(channel), name)(
            request, metadata=(*metadata(bundle), *showing(token))
        )

    def of_theirs(name: str) -> Call:
        return lambda channel, token: channel.unary_unary(OIP + name)(named, metadata=showing(token))

    wants: dict[Right | None, dict[str, Call]] = {
        None: {name: of_theirs(name) for name in ("ServerLive", "ServerReady", "ModelReady")},
        Right.DESCRIBE: {
            "Describe": of_ours("Describe", pb.DescribeRequest()),
            **{
                name: of_theirs(name)
                for name in (
                    "ServerMetadata", "ModelMetadata", "ModelConfig", "ModelStatistics", "RepositoryIndex"
                )
            },
        },
        Right.INFER: {
            "Infer": of_ours("Infer", frames.frame(0)),
            "ModelInfer": of_theirs("ModelInfer"),
        },
        Right.ADMINISTER: {
            name: of_theirs(name) for name in ("RepositoryModelLoad", "RepositoryModelUnload")
        },
    }  # fmt: skip
    methods = [(right, name, call) for right, calls in wants.items() for name, call in calls.items()]
    async with serve(clients=file_of(tmp_path / "clients.toml")) as (server, _):
        async with grpc.aio.insecure_channel(str(server.addresses.grpc)) as channel:
            for right, name, call in methods:
                if right is None:
                    assert await status_of(call(channel, None)) == Status.OK, name
                    continue
                for held, token in TOKENS.items():
                    refused = await status_of(call(channel, token)) == Status.PERMISSION_DENIED
                    assert refused == (held != right), (name, held)
                for stranger in (None, "nobody-has-this-token"):
                    assert await status_of(call(channel, stranger)) == Status.UNAUTHENTICATED, name
        text = server.metrics.exposition().decode()
        assert 'siftfunnel_refused_calls_total{reason="no_right"}' in text


def fetched(url: str, token: str | None, method: str = "GET", body: bytes | None = None) -> tuple[int, str]:
    headers = dict(showing(token)) if token else {}
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers.get("WWW-Authenticate", "")
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("WWW-Authenticate", "")


@pytest.mark.parametrize(
    ("address", "method", "path", "right"),
    [
        ("http", "GET", "/healthz", None),
        ("http", "GET", "/metrics", Right.ADMINISTER),
        ("http", "GET", "/bundles", Right.ADMINISTER),
        ("oip_http", "GET", "/v2/health/ready", None),
        ("oip_http", "GET", "/v2/models/tiny/ready", None),
        ("oip_http", "GET", "/v2", Right.DESCRIBE),
        ("oip_http", "GET", "/v2/models/tiny/versions/1/config", Right.DESCRIBE),
        ("oip_http", "POST", "/v2/models/tiny/infer", Right.INFER),
        ("oip_http", "POST", "/v2/repository/models/tiny/unload", Right.ADMINISTER),
    ],
)
async def test_http_wants_the_same_rights(
    serve: Serve, tmp_path: Path, address: str, method: str, path: str, right: Right | None
) -> None:
    clients = file_of(tmp_path / "clients.toml")
    async with serve(clients=clients, http=LOOPBACK, oip_http=LOOPBACK) as (server, _):
        url = f"http://{getattr(server.addresses, address)}{path}"
        body = b"{}" if method == "POST" else None
        shown: list[str | None] = [None, *TOKENS.values()]
        told = {token: await asyncio.to_thread(fetched, url, token, method, body) for token in shown}
    if right is None:
        assert told[None][0] == 200
        return
    assert told[None] == (401, "Bearer")
    for held, held_token in TOKENS.items():
        assert (told[held_token][0] == 403) == (held != right), held


async def test_a_shared_token_lets_the_device_in_and_nobody_else(
    serve: Serve, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    picture = bundle.directory  # never opened: the call is turned down before
    with caplog.at_level(logging.DEBUG):
        async with serve(token=INFERRING) as (server, _):
            for token, lets_in in ((INFERRING, True), (None, False), ("nobody-has-this-token", False)):
                with SplitClient(bundle, str(server.addresses.grpc), token=token) as client:
                    pixels = await asyncio.to_thread(one_picture, client)
                    answer = asyncio.to_thread(client.classify, pixels)
                    if lets_in:
                        assert (await answer).class_name
                    else:
                        with pytest.raises(ServerRefused, match="UNAUTHENTICATED"):
                            await answer
    assert picture.is_dir()
    assert INFERRING not in caplog.text


def one_picture(client: SplitClient) -> object:
    import numpy as np

    height, width = client.bundle.manifest.input.height, client.bundle.manifest.input.width
    return np.zeros((height, width, 3), np.uint8)


async def test_a_server_that_asks_nobody_minds_no_token(serve: Serve, bundle: Bundle, frames: Frames) -> None:
    async with serve() as (_, stub):
        for shown in ("Bearer some-token-for-a-gateway", "Basic eDp5"):
            told = (*metadata(bundle), ("authorization", shown))
            assert (await stub.Infer(frames.frame(0), metadata=told)).HasField("prediction")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return make_certificates(tmp_path_factory.mktemp("certificates") / "files")


async def test_a_certificate_is_an_identity(
    config: CloudConfig, certificates: CertificateFiles, tmp_path: Path
) -> None:
    files = certificates
    clients = tmp_path / "clients.toml"
    tls = TlsFiles(files.ca, files.server, files.server_key)
    over_tls = replace(config, listen=None, tls_listen=LOOPBACK, tls=tls, clients=clients)
    shown = TlsFiles(files.ca, files.client, files.client_key)
    for name, expected in (("siftfunnel edge", Status.OK), ("somebody else", Status.UNAUTHENTICATED)):
        clients.write_text(f'[clients.device]\ncertificate = "{name}"\nrights = ["describe"]\n')
        async with CloudServer(over_tls) as server:
            address = str(server.addresses.grpc_tls)
            async with grpc.aio.secure_channel(address, shown.channel_credentials()) as channel:
                stub = SplitInferenceStub(channel)
                assert await status_of(stub.Describe(pb.DescribeRequest())) == expected


async def test_a_stream_ends_when_its_client_may_no_longer(
    serve: Serve, bundle: Bundle, frames: Frames, tmp_path: Path
) -> None:
    path = file_of(tmp_path / "clients.toml", anyone=[Right.INFER])
    async with serve(clients=path) as (_, stub):
        revoked = stub.Stream(metadata=(*metadata(bundle), *showing(INFERRING)))
        kept = stub.Stream(metadata=metadata(bundle))
        for call in (revoked, kept):
            await call.write(frames.frame(1))
            assert (await call.read()).prediction.class_index
        path.write_text(
            f'[anyone]\nrights = ["infer"]\n[clients.infer]\ntoken-sha256 = "{hash_of("x" * 20)}"\n'
        )
        async with asyncio.timeout(10):
            assert await revoked.code() == Status.UNAVAILABLE
        assert await revoked.details() == CHANGED
        await kept.write(frames.frame(2))
        assert (await kept.read()).sequence == 2
        again = stub.Stream(metadata=(*metadata(bundle), *showing(INFERRING)))
        assert await again.code() == Status.UNAUTHENTICATED


# -- allowances ---------------------------------------------------------------------------------


async def test_streams_of_one_client_share_what_it_may_have_under_way(
    serve: Serve, bundle: Bundle, frames: Frames, gate: threading.Event
) -> None:
    """Its frames wait unread, another client's pass; all are answered in the end."""
    ceilings = Ceilings(client=ClientLimits(frames=3))
    async with serve(ceilings=ceilings) as (server, stub):
        gate.clear()
        calls = [stub.Stream(metadata=metadata(bundle)) for _ in range(3)]
        for number, call in enumerate(calls):
            for frame in range(4):
                await call.write(frames.frame(10 * number + frame))
        await settled(lambda: taken(server))
        assert taken(server) == 3
        gate.set()
        for number, call in enumerate(calls):
            await call.done_writing()
            assert [reply.sequence async for reply in call] == [10 * number + frame for frame in range(4)]
        assert taken(server) == 12


async def test_bytes_that_are_held_are_bounded_and_nothing_is_lost(
    serve: Serve, bundle: Bundle, frames: Frames, gate: threading.Event
) -> None:
    size = len(frames.frame(0).payload)
    async with serve(ceilings=Ceilings(held_mb=4 * 2.5 * size / 1e6)) as (server, stub):
        gate.clear()
        call = stub.Stream(metadata=metadata(bundle))
        for number in range(8):
            await call.write(frames.frame(number))
        await settled(lambda: taken(server))
        assert taken(server) == 3
        gate.set()
        await call.done_writing()
        assert [reply.sequence async for reply in call] == list(range(8))


async def test_a_client_over_its_rate_is_read_later_not_refused(
    serve: Serve, bundle: Bundle, frames: Frames
) -> None:
    ceilings = Ceilings(client=ClientLimits(frames_per_second=20))
    async with serve(ceilings=ceilings) as (_, stub):
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        replies = [await stub.Infer(frames.frame(number), metadata=metadata(bundle)) for number in range(30)]
        # twenty at once as a burst, ten more at twenty a second: what is measured is that it waited at all
        assert loop.time() - begun_s >= 9 / 20
    assert all(reply.WhichOneof("outcome") == "prediction" for reply in replies)


async def test_a_turn_that_is_given_up_goes_to_the_next() -> None:
    allowance = Allowance(frames=1)
    await allowance.turn()
    allowance.take(1, 0, 0)
    first, second = (asyncio.ensure_future(allowance.turn()) for _ in range(2))
    await asyncio.sleep(0)
    allowance.give_back(1, 0)
    first.cancel()
    async with asyncio.timeout(5):
        await second
    assert first.cancelled()
    assert allowance.idle


def taken(server: CloudServer) -> float:
    """Frames that were taken into a queue."""
    family = next(
        each for each in server.metrics.registry.collect() if each.name == "siftfunnel_payload_bytes"
    )
    total = sum(sample.value for sample in family.samples if sample.name.endswith("_total"))
    (served,) = server.catalogue
    return total / len(Frames(served.bundle).frame(0).payload)


async def settled(value: Callable[[], float]) -> None:
    """Until a value stays as it is."""
    last = -1.0
    while (now := value()) != last:
        last = now
        await asyncio.sleep(0.2)
