"""The engine `torch`: the same logits as ONNX Runtime, on the device that was asked for."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from siftfunnel.cloud_server.engine import EngineError, EngineOptions, open_engine
from siftfunnel.cloud_server.torch_engine import TorchEngine, choose_device
from siftfunnel.shared.bundle import Bundle, load_bundle
from tests.cloud_server.conftest import Frames, Serve, metadata, model_file
from tests.cloud_server.slowbundle import make_slow_bundle
from tests.conftest import ROOT

SHIPPED = sorted(path.parent for path in (ROOT / "siftfunnel/assets/bundles").glob("*/manifest.json"))
CPU = EngineOptions(device="cpu")


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("directory", SHIPPED, ids=lambda path: path.name)
def test_logits_are_those_of_onnx_runtime_on_every_shipped_bundle(directory: Path) -> None:
    bundle = load_bundle(directory, need=("cloud.onnx",))
    engine, reference = (
        open_engine(name, model_file(bundle), bundle.manifest, CPU) for name in ("torch", "onnxruntime")
    )
    values = np.random.default_rng(0).normal(size=(5, *bundle.manifest.feature.shape))
    features = np.maximum(values, 0).astype(np.float32)
    for batch in (features[:1], features):
        assert np.allclose(engine.run(batch), reference.run(batch), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("directory", SHIPPED, ids=lambda path: path.name)
def test_a_gpu_gives_the_same_logits_in_full_precision(directory: Path) -> None:
    bundle = load_bundle(directory, need=("cloud.onnx",))
    engine = open_engine("torch", model_file(bundle), bundle.manifest, EngineOptions(device="cuda"))
    features = np.random.default_rng(0).normal(size=(5, *bundle.manifest.feature.shape)).astype(np.float32)
    reference = open_engine("onnxruntime", model_file(bundle), bundle.manifest, CPU)
    assert np.allclose(engine.run(features), reference.run(features), rtol=1e-3, atol=1e-4)
    assert engine.batches_in_flight == 2


def test_a_batch_that_may_not_be_written_to_is_taken(bundle: Bundle, frames: Frames) -> None:
    features = frames.features(1)[np.newaxis].copy()
    features.flags.writeable = False
    (logits,) = open_engine("torch", model_file(bundle), bundle.manifest, CPU).run(features)
    assert logits.shape == (1, 3)
    assert logits.dtype == np.float32


def test_the_threads_asked_for_are_used(bundle: Bundle) -> None:
    open_engine("torch", model_file(bundle), bundle.manifest, EngineOptions(device="cpu", threads=2))
    assert torch.get_num_threads() == 2


async def test_a_server_answers_with_it(bundle: Bundle, frames: Frames, serve: Serve) -> None:
    async with serve(engine="torch", engine_options=CPU) as (_, stub):
        reply = await stub.Infer(frames.frame(3), metadata=metadata(bundle), timeout=20)
    assert reply.prediction.class_index[0] == frames.right_class(3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_said_with_the_way_out(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match=r"--device cuda: .* on this machine; --device cpu runs without"):
        open_engine("torch", model_file(bundle), bundle.manifest, EngineOptions(device="cuda"))
    assert choose_device(None).type == "cpu"


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:x", "meta"])
def test_a_device_of_another_kind_is_refused(name: str) -> None:
    with pytest.raises(EngineError, match=f"--device {name}: cpu, cuda or cuda:N"):
        choose_device(name)


def test_a_graph_with_an_operator_that_is_not_known_is_refused_by_its_name(tmp_path: Path) -> None:
    slow = make_slow_bundle(tmp_path / "slow")
    with pytest.raises(EngineError, match="the engine torch cannot run it: ONNX operator Loop is not known"):
        TorchEngine(model_file(slow), slow.manifest, CPU)


def test_a_file_that_is_no_model_and_a_model_with_other_ends_are_refused(
    bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "cloud.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(EngineError, match=r"cloud\.onnx: not an ONNX model"):
        TorchEngine(path, bundle.manifest, CPU)
    with pytest.raises(EngineError, match="needs the inputs feature, has image"):
        TorchEngine(bundle.path("edge.onnx"), bundle.manifest, CPU)
