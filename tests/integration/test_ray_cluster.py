"""The engine `ray-serve` on a cluster of two nodes, one of which is killed while devices stream."""

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from siftfunnel.edge_client.client import SplitClient
from siftfunnel.edge_client.encoder import Encoded
from siftfunnel.edge_client.outcome import Answer, Outcome
from siftfunnel.shared.bundle import Bundle, load_bundle
from siftfunnel.shared.wire import codec_by_name, make_codecs
from tests.conftest import ROOT, Child, Processes, run_siftfunnel
from tests.integration.compose import answered_frames, fetch
from tests.integration.ray_cluster import RayCluster
from tests.tinybundle import run_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

DEVICES = 4
FRAMES_EACH = 120
KILL_AFTER = 80
PICTURES = sorted((ROOT / "siftfunnel/assets/images/drawnfaces").rglob("*.png"))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(ROOT / "siftfunnel/assets/bundles/drawnfaces-siftfunnel")


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with RayCluster(cores=1) as nodes:
        yield nodes


def start(processes: Processes, bundle: Bundle, cluster: RayCluster) -> tuple[Child, dict[str, Any]]:
    """A server with two copies of the model on the cluster."""
    child = processes.siftfunnel(
        "cloud",
        "--bundle",
        bundle.directory,
        "--listen=127.0.0.1:0",
        "--http=127.0.0.1:0",
        "--engine=ray-serve",
        f"--ray-address={cluster.address}",
        "--replicas=2",
        **cluster.environment,
    )
    output = child.wait_for('"pid"', timeout_s=150)
    (line,) = re.findall(r'^\{"ready": true.*\}$', output, re.MULTILINE)
    return child, json.loads(line)


class Device:
    """A real edge client with a stream of its own, and what it was told."""

    def __init__(self, bundle: Bundle, server: str, number: int) -> None:
        self.outcomes: list[Outcome] = []
        self.payloads: dict[int, bytes] = {}
        self._client = SplitClient(bundle, server, first_sequence=number * 1000, codec="q6")
        self._thread = threading.Thread(target=self._play, args=(number,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join(120)
        assert not self._thread.is_alive(), f"{len(self.outcomes)} of {FRAMES_EACH} answered"

    def _play(self, number: int) -> None:
        pictures = [Image.open(PICTURES[(number + step) % len(PICTURES)]) for step in range(FRAMES_EACH)]
        with self._client as client:
            for outcome in client.stream(pictures, on_handed_in=self._keep):
                self.outcomes.append(outcome)

    def _keep(self, sequence: int, encoded: Encoded) -> None:
        self.payloads[sequence] = encoded.payload


def replica_nodes(cluster: RayCluster) -> list[int]:
    """How many copies of the model each node runs."""
    return [
        sum(b"ServeReplica" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in cluster.processes(node))
        for node in range(2)
    ]


def test_a_node_killed_under_load_loses_no_frame(
    processes: Processes, bundle: Bundle, cluster: RayCluster
) -> None:
    doomed = cluster.add_node(cores=1)
    server, ready = start(processes, bundle, cluster)
    assert replica_nodes(cluster) == [1, 1]
    devices = [Device(bundle, ready["grpc"], number) for number in range(DEVICES)]
    for device in devices:
        device.start()
    while (answered := sum(len(device.outcomes) for device in devices)) < KILL_AFTER:
        time.sleep(0.01)
    assert cluster.kill(doomed) > 3
    assert answered < DEVICES * FRAMES_EACH / 2
    for device in devices:
        device.join()

    for number, device in enumerate(devices):
        told = [outcome.sequence for outcome in device.outcomes]
        assert told == list(range(number * 1000, number * 1000 + FRAMES_EACH))
        assert all(isinstance(outcome, Answer) for outcome in device.outcomes), device.outcomes
    assert server.process.poll() is None, server.output
    metrics = fetch(f"http://{ready['http']}/metrics") or ""
    assert answered_frames(metrics) == DEVICES * FRAMES_EACH
    assert_answers_are_those_of_onnx_runtime(bundle, devices)
    # Ray's core would rather abort
    server.process.terminate()
    assert server.wait(30) == 0, server.output


def assert_answers_are_those_of_onnx_runtime(bundle: Bundle, devices: list[Device]) -> None:
    codec = codec_by_name(make_codecs(bundle.manifest, bundle.digest), "q6")
    model = bundle.path("cloud.onnx").read_bytes()
    known: dict[bytes, str] = {}
    for device in devices:
        for outcome in device.outcomes:
            assert isinstance(outcome, Answer)
            payload = device.payloads[outcome.sequence]
            if payload not in known:
                logits = run_model(model, codec.decode(payload)[None])
                known[payload] = bundle.manifest.classes[int(logits.argmax())]
            assert outcome.top[0].name == known[payload]


def test_a_cluster_without_room_is_said_with_its_size(bundle: Bundle, cluster: RayCluster) -> None:
    result = run_siftfunnel(
        [
            "cloud",
            f"--bundle={bundle.directory}",
            "--listen=127.0.0.1:0",
            "--engine=ray-serve",
            f"--ray-address={cluster.address}",
            "--threads=3",
            "--remote-model=too-large",
            "--engine-start-seconds=3",
        ],
        **cluster.environment,
    )
    assert result.returncode == 2
    assert "1 copies of 3 threads do not run within 3 s; the Ray cluster has" in result.stderr
