"""`siftfunnel cloud` as a real process: started, watched, given bad input, stopped."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from siftfunnel.certs import CertificateFiles, make_certificates
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.flows import FlowRecord, read_flow
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.cloud_server.conftest import Frames, damaged, metadata
from tests.cloud_server.slowbundle import make_slow_bundle
from tests.conftest import Child, Processes, run_siftfunnel
from tests.split_inference import SplitInferenceStub
from tests.tinybundle import make_tiny_bundle

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
FOREVER = 30_000.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def slow_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_slow_bundle(tmp_path_factory.mktemp("models") / "slow")


@pytest.fixture(scope="module")
def frames(bundle: Bundle) -> Frames:
    return Frames(bundle)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return make_certificates(tmp_path_factory.mktemp("certs"))


def start(processes: Processes, bundle: Bundle, *flags: str | Path) -> tuple[Child, dict[str, Any]]:
    """A cloud process and the line that it prints when it is ready."""
    child = processes.siftfunnel("cloud", "--bundle", bundle.directory, "--listen", "127.0.0.1:0", *flags)
    output = child.wait_for('"pid"')
    (line,) = re.findall(r'^\{"ready": true.*\}$', output, re.MULTILINE)
    return child, json.loads(line)


class Cloud(NamedTuple):
    """Where a process with everything on is found."""

    grpc: str
    grpc_tls: str
    http: str
    flows: Path

    def get(self, path: str) -> str:
        return get(self.http, path)


@pytest.fixture(scope="module")
def cloud(
    bundle: Bundle, certificates: CertificateFiles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    """One process for the tests that leave it as it is."""
    directory = tmp_path_factory.mktemp("cloud")
    processes, flows = Processes(directory), directory / "flows.jsonl"
    tls = (
        "--tls-listen",
        "127.0.0.1:0",
        "--tls-cert",
        certificates.server,
        "--tls-key",
        certificates.server_key,
    )
    try:
        _, ready = start(processes, bundle, *tls, "--http", "127.0.0.1:0", "--record-flows", flows)
        assert ready["bundles"] == {"tiny": bundle.digest}
        yield Cloud(ready["grpc"], ready["grpc_tls"], ready["http"], flows)
    finally:
        processes.stop()


def get(http: str, path: str) -> str:
    with urllib.request.urlopen(f"http://{http}{path}", timeout=20) as response:
        return str(response.read().decode())


def ask(channel: grpc.Channel, bundle: Bundle, frame: pb.Frame) -> pb.Reply:
    return SplitInferenceStub(channel).Infer(frame, metadata=metadata(bundle), timeout=20)


def stream(channel: grpc.Channel, bundle: Bundle, frames: list[pb.Frame]) -> list[pb.Reply]:
    return list(SplitInferenceStub(channel).Stream(iter(frames), metadata=metadata(bundle), timeout=20))


def trusting(certificates: CertificateFiles, *own: Path) -> grpc.ChannelCredentials:
    """Credentials that trust the local authority; `own` are the client's key and certificate."""
    return grpc.ssl_channel_credentials(certificates.ca.read_bytes(), *(path.read_bytes() for path in own))


def test_plain_text_and_tls_are_served_side_by_side(
    cloud: Cloud, bundle: Bundle, frames: Frames, certificates: CertificateFiles
) -> None:
    with grpc.insecure_channel(cloud.grpc) as channel:
        assert ask(channel, bundle, frames.frame(1)).sequence == 1
    with grpc.secure_channel(cloud.grpc_tls, trusting(certificates)) as channel:
        assert ask(channel, bundle, frames.frame(2)).sequence == 2
    with grpc.insecure_channel(cloud.grpc_tls) as channel, pytest.raises(grpc.RpcError) as refusal:
        ask(channel, bundle, frames.frame(3))
    assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE


def test_metrics_bundles_and_health_are_there_over_http(cloud: Cloud, bundle: Bundle, frames: Frames) -> None:
    with grpc.insecure_channel(cloud.grpc) as channel:
        ask(channel, bundle, frames.frame(1, "q5"))
    assert json.loads(cloud.get("/healthz")) == {"status": "serving"}
    assert [each["digest"] for each in json.loads(cloud.get("/bundles"))] == [bundle.digest]
    text = cloud.get("/metrics")
    assert 'siftfunnel_frames_total{bundle="tiny",codec="q5",outcome="answered"} 1.0' in text
    assert "process_resident_memory_bytes" in text


def test_damaged_and_oversized_messages_leave_the_server_and_other_calls_alone(
    cloud: Cloud, bundle: Bundle, frames: Frames
) -> None:
    sent = [frames.frame(0), damaged(frames.frame(1)), frames.frame(2, "q4"), frames.frame(3)]
    with grpc.insecure_channel(cloud.grpc) as channel:
        replies = stream(channel, bundle, sent)
        assert [reply.error.code for reply in replies] == [0, pb.FrameError.INVALID_PAYLOAD, 0, 0]
        with pytest.raises(grpc.RpcError) as refusal:
            ask(channel, bundle, pb.Frame(payload=bytes(4_000_000)))
        assert refusal.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert ask(channel, bundle, frames.frame(4)).HasField("prediction")


def test_the_curious_cloud_keeps_what_tls_hides_from_everyone_else(
    cloud: Cloud, bundle: Bundle, frames: Frames, certificates: CertificateFiles
) -> None:
    sent = [frames.frame(1000 + number) for number in range(10)]
    with grpc.secure_channel(cloud.grpc_tls, trusting(certificates)) as channel:
        replies = stream(channel, bundle, sent)
    last = replies[-1].SerializeToString()
    deadline = time.monotonic() + 10
    records = recorded(cloud.flows)
    while all(record.message != last for record in records):
        assert time.monotonic() < deadline, "the last reply was not recorded"
        time.sleep(0.05)
        records = recorded(cloud.flows)
    (connection,) = {record.connection for record in records if record.message == last}
    ours = [record for record in records if record.connection == connection]
    assert {(r.method, r.digest) for r in ours} == {("/siftfunnel.v1.SplitInference/Stream", bundle.digest)}
    assert [pb.Frame.FromString(record.message) for record in ours if record.direction == "up"] == sent
    assert [pb.Reply.FromString(record.message) for record in ours if record.direction == "down"] == replies


def recorded(path: Path) -> list[FlowRecord]:
    return [read_flow(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("flag", ["--listen", "--http", "--tls-listen"])
def test_a_port_in_use_ends_the_start_and_names_port_and_flag(
    cloud: Cloud, bundle: Bundle, certificates: CertificateFiles, flag: str
) -> None:
    flags = {"--listen": "127.0.0.1:0", flag: cloud.http if flag == "--http" else cloud.grpc}
    if flag == "--tls-listen":
        flags |= {"--tls-cert": str(certificates.server), "--tls-key": str(certificates.server_key)}
    result = run_siftfunnel(
        ["cloud", f"--bundle={bundle.directory}", *(f"{name}={value}" for name, value in flags.items())]
    )
    assert result.returncode == 1
    assert f"{flag} {flags[flag]}: the port is in use" in result.stderr
    assert result.stdout == ""


def test_mutual_tls_lets_in_only_who_has_a_certificate(
    processes: Processes, bundle: Bundle, frames: Frames, certificates: CertificateFiles
) -> None:
    own = ("--tls-cert", certificates.server, "--tls-key", certificates.server_key)
    _, ready = start(processes, bundle, *own, "--tls-client-ca", certificates.ca)
    # A certificate for the only port means TLS there: nothing is served in plain text.
    assert ready["grpc"] is None
    known = trusting(certificates, certificates.client_key, certificates.client)
    with grpc.secure_channel(ready["grpc_tls"], known) as channel:
        assert ask(channel, bundle, frames.frame(1)).sequence == 1
    with (
        grpc.secure_channel(ready["grpc_tls"], trusting(certificates)) as channel,
        pytest.raises(grpc.RpcError) as refusal,
    ):
        ask(channel, bundle, frames.frame(2))
    assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE


def test_a_stop_in_the_middle_of_a_stream_loses_nothing_and_tells_watchers(
    processes: Processes, bundle: Bundle, frames: Frames
) -> None:
    child, ready = start(processes, bundle, "--max-batch", "2")
    prepared = [frames.frame(number).payload for number in range(16)]
    sent: list[int] = []

    def endless() -> Iterator[pb.Frame]:
        for number in range(1_000_000):
            sent.append(number)
            yield pb.Frame(sequence=number, payload=prepared[number % 16])

    replies: list[pb.Reply] = []

    def read(call: Iterator[pb.Reply]) -> None:
        for reply in call:
            replies.append(reply)
            if len(replies) == 100:
                # The client goes on sending through the drain.
                child.process.send_signal(signal.SIGTERM)

    with grpc.insecure_channel(ready["grpc"]) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(
            health_pb2.HealthCheckRequest(service="siftfunnel.v1.SplitInference"), timeout=30
        )
        assert next(watch).status == SERVING
        call = SplitInferenceStub(channel).Stream(endless(), metadata=metadata(bundle), timeout=30)
        with pytest.raises(grpc.RpcError) as ending:
            read(call)
        assert [response.status for response in watch] == [NOT_SERVING]
    assert ending.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "send what is unanswered" in ending.value.details()
    assert child.wait(20) == 0
    # The answers are the first n frames without a gap: the rest is exactly what the client must send again.
    assert len(replies) >= 100
    assert [reply.sequence for reply in replies] == sent[: len(replies)]
    assert all(reply.HasField("prediction") for reply in replies)


@pytest.mark.parametrize("second_signal", [False, True])
def test_a_model_that_hangs_cannot_keep_a_stop_from_ending(
    processes: Processes, slow_bundle: Bundle, second_signal: bool
) -> None:
    patience = "60" if second_signal else "0.2"
    child, ready = start(processes, slow_bundle, "--drain-seconds", patience, "--http", "127.0.0.1:0")
    features = np.zeros(slow_bundle.manifest.feature.shape, np.float32)
    features[0, 0, 0] = FOREVER
    frame = pb.Frame(payload=Frames(slow_bundle).codecs[0].encode(features))
    with grpc.insecure_channel(ready["grpc"]) as channel:
        call = SplitInferenceStub(channel).Infer.future(frame, metadata=metadata(slow_bundle), timeout=60)
        taken = f'siftfunnel_payload_bytes_total{{bundle="slow",codec="fp32"}} {len(frame.payload)}'
        deadline = time.monotonic() + 20
        while taken not in get(ready["http"], "/metrics"):
            assert time.monotonic() < deadline, "the frame was not taken"
            time.sleep(0.05)
        child.process.send_signal(signal.SIGINT)
        child.wait_for("draining")
        if second_signal:
            time.sleep(0.1)
            child.process.send_signal(signal.SIGINT)
        assert child.wait(20) == 1
        assert isinstance(call.exception(20), grpc.RpcError)


def test_a_terminal_that_closes_drains_however_often_it_says_so(
    processes: Processes, bundle: Bundle, frames: Frames
) -> None:
    # a test run under nohup would have its children ignore the signal
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        child, ready = start(processes, bundle)
    finally:
        signal.signal(signal.SIGHUP, before)
    with grpc.insecure_channel(ready["grpc"]) as channel:
        assert ask(channel, bundle, frames.frame(0)).sequence == 0
    for _ in range(2):
        child.process.send_signal(signal.SIGHUP)
    assert child.wait(20) == 0
    assert "draining" in child.output


def test_under_nohup_a_server_outlives_its_terminal(
    processes: Processes, bundle: Bundle, frames: Frames
) -> None:
    nohup = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        "os.execv(sys.executable, [sys.executable, '-m', 'siftfunnel', *sys.argv[1:]])"
    )
    flags = ("cloud", "--bundle", bundle.directory, "--listen", "127.0.0.1:0")
    child = processes.python("-c", nohup, *flags)
    (line,) = re.findall(r'^\{"ready": true.*\}$', child.wait_for('"pid"'), re.MULTILINE)
    child.process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    with grpc.insecure_channel(json.loads(line)["grpc"]) as channel:
        assert ask(channel, bundle, frames.frame(0)).sequence == 0
    child.process.send_signal(signal.SIGTERM)
    assert child.wait(20) == 0


def test_a_stop_while_a_model_server_is_waited_for_ends_at_once(
    processes: Processes, bundle: Bundle, free_port: Callable[[], int]
) -> None:
    remote = (
        "--engine",
        "open-inference",
        "--remote",
        f"127.0.0.1:{free_port()}",
        "--remote-timeout-seconds",
        "0.2",
    )
    child = processes.siftfunnel("cloud", "--bundle", bundle.directory, "--listen", "127.0.0.1:0", *remote)
    child.wait_for("waiting for at most 120 s: no model server answers")
    child.process.send_signal(signal.SIGTERM)
    assert child.wait(20) == 0
    assert "stopped before it was ready" in child.output


def test_a_reader_of_the_ready_line_that_is_gone_does_not_end_the_server(
    bundle: Bundle, frames: Frames, free_port: Callable[[], int]
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        [sys.executable, "-m", "siftfunnel", "cloud", f"--bundle={bundle.directory}", f"--listen={listen}"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    try:
        with grpc.insecure_channel(listen) as channel:
            grpc.channel_ready_future(channel).result(30)
            assert ask(channel, bundle, frames.frame(0)).sequence == 0
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "nobody reads the ready line on standard output" in log


def test_a_certificate_out_of_its_time_is_said_at_the_start_and_its_successor_served_at_once(
    processes: Processes, bundle: Bundle, frames: Frames, tmp_path: Path
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=30)
    served = make_certificates(tmp_path / "served", valid_days=3, now=long_ago)
    own = ("--tls-cert", served.server, "--tls-key", served.server_key)
    child, ready = start(processes, bundle, *own)
    expired = f"{served.server}: a certificate expired on {long_ago + timedelta(days=3):%Y-%m-%d}"
    assert expired in child.output
    with (
        grpc.secure_channel(ready["grpc_tls"], trusting(served)) as channel,
        pytest.raises(grpc.RpcError) as refusal,
    ):
        ask(channel, bundle, frames.frame(1))
    assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE
    renewed = make_certificates(tmp_path / "renewed")
    for new, old in ((renewed.server, served.server), (renewed.server_key, served.server_key)):
        new.replace(old)
    with grpc.secure_channel(ready["grpc_tls"], trusting(renewed)) as channel:
        assert ask(channel, bundle, frames.frame(2)).sequence == 2
    assert f"{served.server} has been renewed" in child.output


@pytest.mark.slow
def test_a_client_that_only_pings_is_not_turned_away(cloud: Cloud, bundle: Bundle, frames: Frames) -> None:
    ping = (("grpc.keepalive_time_ms", 11_000), ("grpc.http2.max_pings_without_data", 0))
    with grpc.insecure_channel(cloud.grpc, options=ping) as channel:
        quiet_until = time.monotonic() + 50

        def two() -> Iterator[pb.Frame]:
            yield frames.frame(1)
            time.sleep(quiet_until - time.monotonic())
            yield frames.frame(2)

        replies = SplitInferenceStub(channel).Stream(two(), metadata=metadata(bundle), timeout=80)
        assert [reply.sequence for reply in replies] == [1, 2]


def test_the_room_runs_on_its_own_where_the_product_is_not_installed(
    processes: Processes, bundle: Bundle
) -> None:
    child = processes.python(
        "-m", "siftfunnel.cli", "cloud", f"--bundle={bundle.directory}", "--listen=127.0.0.1:0"
    )
    child.wait_for('"ready": true')
    child.process.send_signal(signal.SIGTERM)
    assert child.wait(20) == 0
