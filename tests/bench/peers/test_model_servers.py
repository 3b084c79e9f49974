"""Real model servers, each in its own environment, behind our front. Installs them: minutes, and an index."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from siftfunnel.bench.peers.catalogue import OPEN_INFERENCE, PEERS
from siftfunnel.bench.peers.environment import cache_folder
from siftfunnel.bench.peers.peer import RunningPeer
from siftfunnel.cloud_server.engine import EngineOptions, OnnxRuntimeEngine, open_engine
from siftfunnel.edge_client.client import SplitClient
from siftfunnel.edge_client.outcome import Answer
from siftfunnel.shared.bundle import Bundle
from tests.bench.peers.test_environment import quiet
from tests.conftest import Processes
from tests.tinybundle import make_tiny_bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FRAMES = 400
KILLED_AFTER = 100


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(params=OPEN_INFERENCE)
def peer(request: pytest.FixtureRequest, bundle: Bundle, tmp_path: Path) -> Iterator[RunningPeer]:
    with PEERS[request.param].serving(bundle, tmp_path / "peer", cache_folder(), quiet) as running:
        yield running


def test_a_model_server_gives_the_logits_of_the_model_and_loses_no_frame_when_it_is_killed(
    peer: RunningPeer, bundle: Bundle, processes: Processes
) -> None:
    model = bundle.path("cloud.onnx")
    local = OnnxRuntimeEngine(model, bundle.manifest, EngineOptions())
    options = EngineOptions(remote=peer.address).for_bundle(bundle.name)
    features = np.random.default_rng(1).random((5, *bundle.manifest.feature.shape), dtype=np.float32)
    made = open_engine("open-inference", model, bundle.manifest, options).run(features)
    assert np.allclose(made, local.run(features), atol=1e-6)

    front = processes.siftfunnel(
        *("cloud", "--bundle", bundle.directory, "--listen", "127.0.0.1:0"),
        *("--engine", "open-inference", "--remote", peer.address),
    )
    (line,) = re.findall(r'^\{"ready": true.*\}$', front.wait_for('"pid"'), re.MULTILINE)
    size = bundle.manifest.input.height
    pictures = np.random.default_rng(2).integers(0, 256, (FRAMES, size, size, 3), dtype=np.uint8)
    outcomes: Counter[int] = Counter()
    resent = 0
    with SplitClient(bundle, json.loads(line)["grpc"]) as client:
        for outcome in client.stream(iter(pictures)):
            assert isinstance(outcome, Answer), outcome
            outcomes[outcome.sequence] += 1
            resent += outcome.sends > 1
            if len(outcomes) == KILLED_AFTER:
                peer.kill()
                time.sleep(0.5)
                peer.start()
    assert outcomes == Counter(range(FRAMES))
    assert resent > 0
