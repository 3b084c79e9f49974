"""Each peer answers what ONNX Runtime answers; each in its own environment, installed when missing."""

import os
from pathlib import Path

import numpy as np
import pytest

from siftfunnel.bench.halves import BareModel
from siftfunnel.bench.peers.catalogue import PEERS
from siftfunnel.bench.peers.environment import READY, cache_folder
from siftfunnel.bench.peers.wires import SplitInferenceWire, Wire, expected_logits
from siftfunnel.shared.bundle import Bundle
from tests.bench.peers.test_environment import quiet
from tests.tinybundle import make_tiny_bundle

ASK = "SIFTFUNNEL_INSTALL_PEERS"
FRAMES = 20


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


async def agree(name: str, wire: Wire, bundle: Bundle, folder: Path) -> None:
    rng = np.random.default_rng(3)
    features = rng.random((FRAMES, *bundle.manifest.feature.shape), dtype=np.float32)
    expected = expected_logits(wire, bundle, features, BareModel(bundle))
    with PEERS[name].serving(bundle, folder, cache_folder(), quiet) as running:
        async with wire.connected(running.address, bundle) as ask:
            replies = [await ask(wire.encode(bundle, feature)) for feature in features]
    assert all(wire.agrees(reply, logits) for reply, logits in zip(replies, expected, strict=True))
    assert not any(wire.agrees(replies[0], logits + np.arange(logits.size)) for logits in expected[1:])


@pytest.mark.parametrize("name", ["siftfunnel", "plain-grpc"])
async def test_what_needs_no_installation_answers_what_the_model_says(
    name: str, bundle: Bundle, tmp_path: Path
) -> None:
    await agree(name, PEERS[name].wire, bundle, tmp_path / "peer")


async def test_ours_answers_for_the_tensor_that_its_codec_leaves(bundle: Bundle, tmp_path: Path) -> None:
    await agree("siftfunnel", SplitInferenceWire("q4"), bundle, tmp_path / "peer")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["ray-serve", "litserve"])
async def test_what_is_installed_for_it_answers_what_the_model_says(
    name: str, bundle: Bundle, tmp_path: Path
) -> None:
    environment = PEERS[name].environment
    assert environment is not None
    installed = (environment.folder(cache_folder()) / READY).is_file()
    if not installed and not os.environ.get(ASK):
        pytest.skip(f"{name} is not installed; set {ASK}=1 to install it (minutes, half a gigabyte)")
    await agree(name, PEERS[name].wire, bundle, tmp_path / "peer")
