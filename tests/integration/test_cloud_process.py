"""`siftfunnel cloud` as a real process: started, watched, attacked with bad input, stopped."""

import json
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.bundle import Bundle
from shared.flows import FlowRecord, read_flows
from shared.rpc import split_inference_pb2 as pb
from shared.rpc import split_inference_pb2_grpc as rpc
from siftfunnel.certs import CertificateFiles, make_certificates
from tests.cloud_server.conftest import Frames, damaged, metadata
from tests.conftest import Child, Processes, run_siftfunnel
from tests.tinybundle import make_tiny_bundle

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def frames(bundle: Bundle) -> Frames:
    return Frames(bundle)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return make_certificates(tmp_path_factory.mktemp("certs"))


def start(processes: Processes, bundle: Bundle, *flags: str | Path) -> tuple[Child, dict[str, Any]]:
    """A cloud process and the line that it prints when it is ready."""
    child = processes.siftfunnel("cloud", "--models", bundle.directory.parent, *flags)
    output = child.wait_for('"pid"')
    (line,) = re.findall(r'^\{"ready": true.*\}$', output, re.MULTILINE)
    return child, json.loads(line)


def ask(channel: grpc.Channel, bundle: Bundle, frame: pb.Frame) -> pb.Reply:
    return rpc.SplitInferenceStub(channel).Infer(frame, metadata=metadata(bundle), timeout=20)


def test_a_stop_in_the_middle_of_a_stream_loses_nothing(processes: Processes, bundle: Bundle, frames: Frames) -> None:
    child, ready = start(processes, bundle, "--listen", "127.0.0.1:0", "--max-batch", "2")
    sent: list[int] = []
    stopping = threading.Event()

    def endless() -> Iterator[pb.Frame]:
        prepared = [frames.frame(number) for number in range(16)]
        for number in range(1_000_000):
            sent.append(number)
            yield pb.Frame(sequence=number, payload=prepared[number % 16].payload)
            # Signal once frames flow; the client goes on sending through the drain.
            if number == 200 and not stopping.is_set():
                stopping.set()
                child.process.send_signal(signal.SIGTERM)

    replies: list[pb.Reply] = []
    with grpc.insecure_channel(ready["grpc"]) as channel:
        call = rpc.SplitInferenceStub(channel).Stream(endless(), metadata=metadata(bundle), timeout=30)
        with pytest.raises(grpc.RpcError) as ending:
            replies.extend(call)
    assert ending.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "send what is unanswered" in ending.value.details()
    assert child.wait(20) == 0
    # Answers are the first n frames without a gap: what is missing is exactly what the client must send again.
    assert [reply.sequence for reply in replies] == sent[: len(replies)]
    assert len(replies) > 100
    assert all(reply.HasField("prediction") for reply in replies)


def test_watchers_see_serving_then_not_serving_and_the_process_ends_with_0(
    processes: Processes, bundle: Bundle
) -> None:
    child, ready = start(processes, bundle, "--listen", "127.0.0.1:0")
    with grpc.insecure_channel(ready["grpc"]) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="siftfunnel.v1.SplitInference")
        assert health.Check(request, timeout=20).status == SERVING
        watch = health.Watch(request, timeout=30)
        assert next(watch).status == SERVING
        child.process.send_signal(signal.SIGINT)
        assert [response.status for response in watch] == [NOT_SERVING]
    assert child.wait(20) == 0


@pytest.mark.parametrize("flag", ["--listen", "--http", "--tls-listen"])
def test_a_port_in_use_ends_the_start_with_2_and_names_port_and_flag(
    processes: Processes, bundle: Bundle, certificates: CertificateFiles, flag: str
) -> None:
    _, ready = start(processes, bundle, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
    taken = ready["http"] if flag == "--http" else ready["grpc"]
    addresses = {"--listen": "127.0.0.1:0", flag: taken}
    tls = ["--tls-cert", certificates.server, "--tls-key", certificates.server_key]
    result = run_siftfunnel(
        [
            "cloud",
            f"--bundle={bundle.directory}",
            *(f"{name}={address}" for name, address in addresses.items()),
            *(tls if flag == "--tls-listen" else []),
        ]
    )
    assert result.returncode == 2
    assert f"{flag} {taken}: the port is in use" in result.stderr
    assert result.stdout == ""


def test_plain_text_and_tls_are_served_side_by_side(
    processes: Processes, bundle: Bundle, frames: Frames, certificates: CertificateFiles
) -> None:
    _, ready = start(
        processes, bundle, "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0",
        "--tls-cert", certificates.server, "--tls-key", certificates.server_key,
    )  # fmt: skip
    trust = grpc.ssl_channel_credentials(certificates.ca.read_bytes())
    with grpc.insecure_channel(ready["grpc"]) as channel:
        assert ask(channel, bundle, frames.frame(1)).sequence == 1
    with grpc.secure_channel(ready["grpc_tls"], trust) as channel:
        assert ask(channel, bundle, frames.frame(2)).sequence == 2
    with grpc.insecure_channel(ready["grpc_tls"]) as channel, pytest.raises(grpc.RpcError) as refusal:
        ask(channel, bundle, frames.frame(3))
    assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE


def test_mutual_tls_lets_in_only_who_has_a_certificate(
    processes: Processes, bundle: Bundle, frames: Frames, certificates: CertificateFiles
) -> None:
    # A certificate for the only port means TLS there: nothing is served in plain text.
    _, ready = start(
        processes, bundle, "--listen", "127.0.0.1:0",
        "--tls-cert", certificates.server, "--tls-key", certificates.server_key, "--tls-client-ca", certificates.ca,
    )  # fmt: skip
    assert ready["grpc"] is None
    authority = certificates.ca.read_bytes()
    known = grpc.ssl_channel_credentials(
        authority, certificates.client_key.read_bytes(), certificates.client.read_bytes()
    )
    with grpc.secure_channel(ready["grpc_tls"], known) as channel:
        assert ask(channel, bundle, frames.frame(1)).sequence == 1
    with (
        grpc.secure_channel(ready["grpc_tls"], grpc.ssl_channel_credentials(authority)) as channel,
        pytest.raises(grpc.RpcError) as refusal,
    ):
        ask(channel, bundle, frames.frame(2))
    assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE


def test_metrics_bundles_and_health_are_there_over_http(processes: Processes, bundle: Bundle, frames: Frames) -> None:
    _, ready = start(processes, bundle, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")

    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://{ready['http']}{path}", timeout=20) as response:
            return str(response.read().decode())

    with grpc.insecure_channel(ready["grpc"]) as channel:
        ask(channel, bundle, frames.frame(1, "q5"))
    assert json.loads(get("/healthz")) == {"status": "serving"}
    assert [each["digest"] for each in json.loads(get("/bundles"))] == [bundle.digest] == [*ready["bundles"].values()]
    text = get("/metrics")
    assert 'siftfunnel_frames_total{bundle="tiny",codec="q5",outcome="answered"} 1.0' in text
    assert "process_resident_memory_bytes" in text


def test_damaged_and_oversized_messages_leave_the_server_and_other_streams_alone(
    processes: Processes, bundle: Bundle, frames: Frames
) -> None:
    _, ready = start(processes, bundle, "--listen", "127.0.0.1:0")
    with grpc.insecure_channel(ready["grpc"]) as channel:
        stub = rpc.SplitInferenceStub(channel)
        sent = [frames.frame(0), damaged(frames.frame(1)), frames.frame(2, "q4"), frames.frame(3)]
        replies = list(stub.Stream(iter(sent), metadata=metadata(bundle), timeout=20))
        assert [reply.error.code for reply in replies] == [0, pb.FrameError.INVALID_PAYLOAD, 0, 0]
        with pytest.raises(grpc.RpcError) as refusal:
            ask(channel, bundle, pb.Frame(payload=bytes(4_000_000)))
        assert refusal.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert ask(channel, bundle, frames.frame(4)).HasField("prediction")


def test_the_curious_cloud_keeps_what_tls_hides_from_everyone_else(
    processes: Processes, bundle: Bundle, frames: Frames, certificates: CertificateFiles, tmp_path: Path
) -> None:
    path = tmp_path / "flows.jsonl"
    child, ready = start(
        processes, bundle, "--listen", "127.0.0.1:0", "--record-flows", path,
        "--tls-cert", certificates.server, "--tls-key", certificates.server_key,
    )  # fmt: skip
    sent = [frames.frame(number) for number in range(10)]
    trust = grpc.ssl_channel_credentials(certificates.ca.read_bytes())
    with grpc.secure_channel(ready["grpc_tls"], trust) as channel:
        replies = list(rpc.SplitInferenceStub(channel).Stream(iter(sent), metadata=metadata(bundle), timeout=20))
    child.process.send_signal(signal.SIGTERM)
    assert child.wait(20) == 0
    records = [record for record in read_flows(path.read_text().splitlines()) if isinstance(record, FlowRecord)]
    assert {(record.method, record.digest) for record in records} == {
        ("/siftfunnel.v1.SplitInference/Stream", bundle.digest)
    }
    assert len({record.connection for record in records}) == 1
    up = [pb.Frame.FromString(record.message) for record in records if record.direction == "up"]
    down = [pb.Reply.FromString(record.message) for record in records if record.direction == "down"]
    assert up == sent
    assert down == replies


def test_a_second_signal_stops_at_once(processes: Processes, bundle: Bundle, frames: Frames) -> None:
    child, ready = start(processes, bundle, "--listen", "127.0.0.1:0", "--drain-seconds", "60")
    with grpc.insecure_channel(ready["grpc"]) as channel:
        # A client that never reads its answers keeps the drain waiting.
        call = rpc.SplitInferenceStub(channel).Stream(
            iter(lambda: frames.frame(0), None), metadata=metadata(bundle), timeout=60
        )
        next(iter(call))
        child.process.send_signal(signal.SIGTERM)
        child.wait_for("draining")
        time.sleep(0.3)
        child.process.send_signal(signal.SIGTERM)
        assert child.wait(20) in (0, 1)
        call.cancel()


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--models", "no/such/folder"], "no/such/folder: no such directory"),
        (["--max-batch", "0"], "max_batch_size must be at least 1, not 0"),
        (["--listen", "50051"], "'50051' is not HOST:PORT, as in 127.0.0.1:50051"),
        (["--tls-listen", "127.0.0.1:0"], "--tls-listen, --tls-cert and --tls-key"),
        (["--tls-cert", "no-such.pem"], "a certificate without its key"),
    ],
)
def test_wrong_flags_end_with_2_and_one_line_that_says_what_to_do(
    bundle: Bundle, flags: list[str], complaint: str
) -> None:
    result = run_siftfunnel(["cloud", "--bundle", bundle.directory, *flags])
    assert result.returncode == 2
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr


def test_a_record_that_cannot_be_written_is_named(bundle: Bundle, tmp_path: Path) -> None:
    result = run_siftfunnel(
        ["cloud", f"--bundle={bundle.directory}", "--listen=127.0.0.1:0", f"--record-flows={tmp_path}/no/flows.jsonl"]
    )
    assert result.returncode == 2
    assert "no/flows.jsonl" in result.stderr


def test_the_room_runs_on_its_own_where_the_product_is_not_installed(processes: Processes, bundle: Bundle) -> None:
    child = processes.python("-m", "cloud_server", f"--bundle={bundle.directory}", "--listen=127.0.0.1:0")
    child.wait_for('"ready": true')
    child.process.send_signal(signal.SIGTERM)
    assert child.wait(20) == 0


def test_the_help_gives_examples_and_explains_the_ready_line() -> None:
    result = run_siftfunnel(["cloud", "--help"])
    assert result.returncode == 0
    for phrase in ("examples:", "--tls-client-ca", '"ready": true', "exit codes:"):
        assert phrase in result.stdout
