"""Cloud halves with several inputs and outputs: the same in every engine, and told to clients that ask."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from onnx import TensorProto, helper

from siftfunnel.cloud_server import answers
from siftfunnel.cloud_server.engine import (
    Engine,
    EngineError,
    EngineOptions,
    OnnxRuntimeEngine,
    open_engine,
    warm_up,
)
from siftfunnel.cloud_server.oip.datatypes import DATATYPES
from siftfunnel.cloud_server.pieces import Outputs
from siftfunnel.shared.bundle import Bundle, BundleError, write_bundle
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tensors import OutputSpec, TensorSpec, pack
from siftfunnel.shared.wire import make_codecs
from tests.cloud_server.conftest import Frames, Serve, model_file
from tests.cloud_server.lane_rig import GatedEngine, MakeRig, errors
from tests.cloud_server.model_server import ModelServer, Tensor
from tests.tinybundle import IR_VERSION, OPSET
from tests.tinynetwork import GIVEN, make_tiny_network

SHOWN = {np.dtype(kind).name: name for name, (kind, _) in DATATYPES.items()}


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_network(tmp_path_factory.mktemp("networks") / "network")


def features(bundle: Bundle, frames: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    drawn = rng.normal(0.3, 0.4, (frames, *bundle.manifest.feature.shape))
    return np.maximum(drawn, 0).astype(np.float32)


def local(bundle: Bundle) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(model_file(bundle), bundle.manifest, EngineOptions())


def same(found: Outputs, wanted: Outputs) -> bool:
    return len(found) == len(wanted) and all(
        len(mine) == len(theirs)
        and all(
            a.dtype == b.dtype and np.allclose(a, b, rtol=1e-3, atol=1e-4)
            for a, b in zip(mine, theirs, strict=True)
        )
        for mine, theirs in zip(found, wanted, strict=True)
    )


def metadata_server(bundle: Bundle) -> ModelServer:
    manifest = bundle.manifest
    return ModelServer(
        local(bundle),
        name="network",
        inputs=[Tensor(name=each.name, datatype="FP32") for each in manifest.sent],
        outputs=[Tensor(name=each.name, datatype=SHOWN[each.dtype]) for each in manifest.given],
        manifest=manifest,
    )


@pytest.mark.parametrize("name", ["torch", "open-inference"])
@pytest.mark.parametrize("outputs", [("scores", "code", "heat"), ("code", "heat")])
def test_every_engine_gives_the_same(name: str, outputs: tuple[str, ...], tmp_path: Path) -> None:
    bundle = make_tiny_network(tmp_path / "n", outputs=outputs)
    serving: AbstractContextManager[str | None] = nullcontext()
    if name == "open-inference":
        serving = metadata_server(bundle).serving()
    with serving as remote:
        options = EngineOptions(remote=remote, remote_model="network", device="cpu")
        engine = open_engine(name, model_file(bundle), bundle.manifest, options)
        for frames in (1, 5):
            batch = features(bundle, frames)
            assert same(engine.run(batch), local(bundle).run(batch))


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_an_output_that_is_an_input_handed_on_stays_as_it_was_given(
    name: str, network: Bundle, tmp_path: Path
) -> None:
    ends = [helper.make_tensor_value_info(label, TensorProto.FLOAT, ["N", 4]) for label in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "on", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    (tmp_path / "on.onnx").write_bytes(model.SerializeToString())
    tensors = (TensorSpec("x", (4,)),)
    manifest = replace(
        network.manifest,
        tensors=tensors,
        feature=pack(tensors),
        outputs=(OutputSpec("y", "tensor", (4,)),),
        classes=(),
        class_ids=(),
    )
    engine = open_engine(name, tmp_path / "on.onnx", manifest, EngineOptions(device="cpu"))
    rows = np.ones((3, 4, 1, 1), np.float32)
    (given,) = engine.run(rows)
    rows[:] = 0
    assert np.all(np.asarray(given) == 1)


def test_outputs_whose_length_each_picture_decides_are_each_frames_own(network: Bundle) -> None:
    batch = features(network, 4)
    together = local(network).run(batch)
    apart = [local(network).run(batch[number : number + 1]) for number in range(4)]
    for place in range(len(GIVEN)):
        for number in range(4):
            assert np.array_equal(together[place][number], apart[number][place][0])
    assert len({len(each) for each in together[3]}) > 1


@pytest.mark.parametrize("frames", [1, 3, 7])
def test_a_graph_that_takes_three_frames_at_once_takes_any_number_in_pieces(
    frames: int, tmp_path: Path
) -> None:
    fixed = make_tiny_network(tmp_path / "fixed", outputs=("scores", "heat"), frames_per_run=3)
    free = make_tiny_network(tmp_path / "free", outputs=("scores", "heat"))
    batch = features(free, frames)
    assert same(local(fixed).run(batch), local(free).run(batch))


def test_probabilities_are_told_as_they_are_and_logits_after_softmax() -> None:
    scores = np.array([[0.99, 0.01], [0.2, 0.8]], np.float32)
    reading = answers.Reading((OutputSpec("p", "probabilities", (2,)),))
    assert reading.rank((scores,), 1) == [([0], [pytest.approx(0.99)]), ([1], [pytest.approx(0.8)])]
    reading = answers.Reading((OutputSpec("x", "tensor", (1,)), OutputSpec("z", "logits", (2,))))
    (first, _) = reading.rank((scores, np.log(scores)), 2)
    assert first == ([0, 1], [pytest.approx(0.99), pytest.approx(0.01)])


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_probabilities_that_are_no_numbers_are_a_failure(broken: float) -> None:
    scores = np.array([[0.5, 0.5], [0.5, broken]], np.float32)
    sound, unsound = answers.rank_probabilities(scores, 1)
    assert sound is not None
    assert unsound is None


def test_warming_up_finds_logits_that_are_called_probabilities(bundle: Bundle) -> None:
    class Loud:
        batches_in_flight = None

        def run(self, features: np.ndarray) -> Outputs:
            return (np.full((len(features), 3), 4.0, np.float32),)

    with pytest.raises(EngineError, match=r"called probabilities and holds values outside \[0, 1\]"):
        warm_up(Loud(), (1, 1, 1), (OutputSpec("p", "probabilities", (3,)),), 2)


def test_warming_up_finds_an_output_of_another_type(network: Bundle) -> None:
    given = (*network.manifest.given[:3], OutputSpec("spots", "tensor", (None, 2), "float32"))
    with pytest.raises(EngineError, match=r"output spots of 1 frames is int64 \(0, 2\), .* float32"):
        warm_up(local(network), network.manifest.feature.shape, given, 2)


def test_a_model_that_gives_too_few_rows_leaves_no_frame_without_its_error(
    make_rig: MakeRig, frames: Frames, engine: Engine
) -> None:
    class Short:
        batches_in_flight = None

        def run(self, features: np.ndarray) -> Outputs:
            return tuple(rows[:-1] for rows in engine.run(features))

    gated = GatedEngine(Short())
    rig = make_rig(gated)
    first = rig.submit(frames.frame(0))
    assert gated.entered.acquire(timeout=10)
    behind = [rig.submit(frames.frame(number)) for number in (1, 2, 3)]
    gated.gate.set()
    assert errors(rig.replies(first, *behind)) == [pb.FrameError.INTERNAL] * 4


async def ask(stub: Any, bundle: Bundle, *told: tuple[str, str]) -> pb.Reply:
    codec = make_codecs(bundle.manifest, bundle.digest)[0]
    frame = pb.Frame(sequence=1, payload=codec.encode(features(bundle, 1)[0]))
    metadata = (("siftfunnel-bundle", bundle.digest), *told)
    return await stub.Infer(frame, metadata=metadata)


@pytest.mark.parametrize(
    ("told", "positions"),
    [
        ([], [1, 2, 3]),
        ([("siftfunnel-outputs", "")], []),
        ([("siftfunnel-outputs", "heat,scores")], [2, 0]),
        ([("siftfunnel-outputs", "%68eat")], [2]),
    ],
)
async def test_a_client_gets_the_outputs_it_names(
    network: Bundle, serve: Serve, told: list[tuple[str, str]], positions: list[int]
) -> None:
    async with serve(bundles=(network.directory,)) as (_, stub):
        reply = await ask(stub, network, *told)
    assert [tensor.output for tensor in reply.prediction.outputs] == positions
    assert len(reply.prediction.class_index) == 1


async def test_an_output_that_is_not_there_ends_the_call_and_says_what_is(
    network: Bundle, serve: Serve
) -> None:
    async with serve(bundles=(network.directory,)) as (_, stub):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(stub, network, ("siftfunnel-outputs", "heat,boxes"))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "no output 'boxes' in this bundle; it has scores, code, heat, spots" in (
        caught.value.details() or ""
    )


async def test_an_old_client_of_an_old_bundle_gets_what_it_always_got(bundle: Bundle, serve: Serve) -> None:
    async with serve() as (_, stub):
        reply = await ask(stub, bundle)
    assert not reply.prediction.outputs
    assert len(reply.prediction.class_index) == 1


async def test_describe_tells_tensors_outputs_and_ids(network: Bundle, serve: Serve) -> None:
    async with serve(bundles=(network.directory,), max_output_bytes=1000) as (server, stub):
        told = await stub.Describe(pb.DescribeRequest())
        summary = next(iter(server.catalogue)).summary()
    (described,) = told.bundles
    assert told.max_output_bytes == 1000
    assert list(described.class_ids) == ["n1", "n2", "n3"]
    assert [(each.name, list(each.shape)) for each in described.tensors] == [
        ("maps", [6, 8, 8]),
        ("pooled", [6]),
    ]
    assert [(each.name, each.kind, list(each.shape), each.dtype) for each in described.outputs] == [
        ("scores", "probabilities", [3], "float32"),
        ("code", "embedding", [4], "float32"),
        ("heat", "tensor", [6, 8, 8], "float16"),
        ("spots", "tensor", [0, 2], "int64"),
    ]
    assert [each["name"] for each in summary["outputs"]] == ["scores", "code", "heat", "spots"]


@pytest.mark.parametrize(
    ("outputs", "window"), [("scores", 64), ("spots", 1), ("heat", 64), ("heat,spots", 1)]
)
async def test_a_stream_whose_replies_may_be_large_has_a_small_window(
    network: Bundle, serve: Serve, outputs: str, window: int
) -> None:
    async with serve(bundles=(network.directory,), max_output_bytes=60_000_000) as (_, stub):
        metadata = (("siftfunnel-bundle", network.digest), ("siftfunnel-outputs", outputs))
        told = dict(await stub.Stream(iter(()), metadata=metadata).initial_metadata())
    assert told["siftfunnel-window"] == str(window)


async def test_a_server_that_computes_something_else_is_not_started(
    network: Bundle, serve: Serve, tmp_path: Path
) -> None:
    other = make_tiny_network(tmp_path / "other", seed=5)
    files = {name: network.read(name) for name in network.manifest.files}
    files["cloud.onnx"] = other.read("cloud.onnx")
    write_bundle(tmp_path / "wrong", network.manifest, files, {})
    with pytest.raises(BundleError, match="self-test, cloud half"):
        async with serve(bundles=(tmp_path / "wrong",)):
            pass
