"""The cloud half on another server: a real one on loopback, in this process."""

from collections.abc import Callable

import grpc
import numpy as np
import pytest

from siftfunnel.cloud_server.engine import (
    EngineError,
    EngineOptions,
    EngineUnavailableError,
    OnnxRuntimeEngine,
    open_engine,
)
from siftfunnel.shared.bundle import Bundle, BundleError
from siftfunnel.shared.rpc import open_inference_pb2 as oip
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.cloud_server.conftest import Frames, Serve, metadata, model_file
from tests.cloud_server.model_server import ModelServer, Tensor

Code = pb.FrameError


@pytest.fixture
def model_server(bundle: Bundle) -> ModelServer:
    return ModelServer(OnnxRuntimeEngine(model_file(bundle), bundle.manifest, EngineOptions()))


def options(remote: str, **values: object) -> EngineOptions:
    return EngineOptions(
        remote=remote, remote_model="tiny", **{"remote_timeout_s": 5.0, "start_s": 0.2, **values}
    )


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("names", [("feature", "logits"), ("x", "y"), None])
def test_logits_are_those_of_the_model_however_they_are_sent(
    model_server: ModelServer, bundle: Bundle, frames: Frames, raw: bool, names: tuple[str, str] | None
) -> None:
    model_server.raw = raw
    model_server.inputs = [Tensor(name=names[0], datatype="FP32")] if names else []
    model_server.outputs = [Tensor(name=names[1], datatype="FP32")] if names else []
    features = np.stack([frames.features(seed) for seed in range(3)])
    with model_server.serving() as remote:
        engine = open_engine("open-inference", model_file(bundle), bundle.manifest, options(remote))
        assert np.array_equal(engine.run(features)[0], model_server.engine.run(features)[0])
    assert model_server.batches == [3]


def test_a_server_without_metadata_is_believed(model_server: ModelServer, bundle: Bundle) -> None:
    with model_server.serving(with_metadata=False) as remote:
        engine = open_engine("open-inference", model_file(bundle), bundle.manifest, options(remote))
        (logits,) = engine.run(np.zeros((1, *bundle.manifest.feature.shape), np.float32))
        assert np.shape(logits) == (1, 3)


def test_no_address_is_answered_with_the_flag(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="needs the address of the model server \\(--remote\\)"):
        open_engine("open-inference", model_file(bundle), bundle.manifest, EngineOptions())


def test_nobody_there_is_found_at_the_start(bundle: Bundle, free_port: Callable[[], int]) -> None:
    remote = f"127.0.0.1:{free_port()}"
    with pytest.raises(EngineError, match=f"no model server answers at {remote} within 0.5 s"):
        open_engine(
            "open-inference", model_file(bundle), bundle.manifest, options(remote, remote_timeout_s=0.5)
        )


@pytest.mark.parametrize("kind", ["metadata", "infer"])
async def test_a_model_that_is_still_loading_is_waited_for(
    model_server: ModelServer, bundle: Bundle, frames: Frames, serve: Serve, kind: str
) -> None:
    model_server.loading[kind] = 2
    with model_server.serving() as remote:
        async with serve(engine="open-inference", engine_options=EngineOptions(remote=remote)) as (_, stub):
            reply = await stub.Infer(frames.frame(1), metadata=metadata(bundle))
    assert model_server.loading[kind] == 0
    assert reply.prediction.class_index[0] == frames.right_class(1)


async def test_a_model_that_never_loads_ends_the_start_with_what_was_said_last(
    model_server: ModelServer, bundle: Bundle, serve: Serve
) -> None:
    model_server.loading["infer"] = 1000
    with model_server.serving() as remote:
        options = EngineOptions(remote=remote, start_s=0.3)
        with pytest.raises(BundleError, match=r"the model is still loading \(after 0.3 s, --engine-start"):
            async with serve(engine="open-inference", engine_options=options):
                pass


def test_a_model_that_is_not_there_is_named(model_server: ModelServer, bundle: Bundle) -> None:
    model_server.name = "another"
    with (
        model_server.serving() as remote,
        pytest.raises(EngineError, match="NOT_FOUND for model tiny: Model tiny not found"),
    ):
        open_engine("open-inference", model_file(bundle), bundle.manifest, options(remote))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([Tensor(name="feature", datatype="UINT8")], "needs the inputs feature FP32, has feature UINT8"),
        ([Tensor(name="a", datatype="FP32"), Tensor(name="b", datatype="FP32")], "has a FP32, b FP32"),
    ],
)
def test_a_model_with_other_inputs_is_refused(
    model_server: ModelServer, bundle: Bundle, inputs: list[Tensor], message: str
) -> None:
    model_server.inputs = inputs
    with model_server.serving() as remote, pytest.raises(EngineError, match=message):
        open_engine("open-inference", model_file(bundle), bundle.manifest, options(remote))


def _rename(response: oip.ModelInferResponse) -> None:
    response.outputs[0].name = "softmax"


def _shorten(response: oip.ModelInferResponse) -> None:
    response.raw_output_contents[0] = response.raw_output_contents[0][:-4]


def _retype(response: oip.ModelInferResponse) -> None:
    response.outputs[0].datatype = "INT32"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_rename, "gives no output 'logits', but softmax"),
        (_shorten, r"gives 2 values as FP32 \[1, 3\]"),
        (_retype, r"gives 3 values as INT32 \[1, 3\]; FP32 is needed"),
    ],
)
def test_an_answer_that_is_not_the_output_fails_the_batch(
    model_server: ModelServer,
    bundle: Bundle,
    edit: Callable[[oip.ModelInferResponse], None],
    message: str,
) -> None:
    model_server.edit = edit
    with model_server.serving() as remote:
        engine = open_engine("open-inference", model_file(bundle), bundle.manifest, options(remote))
        with pytest.raises(RuntimeError, match=message):
            engine.run(np.zeros((1, *bundle.manifest.feature.shape), np.float32))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, EngineUnavailableError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, EngineUnavailableError),
        (grpc.StatusCode.NOT_FOUND, EngineUnavailableError),
        (grpc.StatusCode.INTERNAL, RuntimeError),
    ],
)
def test_what_passes_is_told_from_what_does_not(
    model_server: ModelServer, bundle: Bundle, code: grpc.StatusCode, kind: type[Exception]
) -> None:
    with model_server.serving() as remote:
        engine = open_engine("open-inference", model_file(bundle), bundle.manifest, options(remote))
        model_server.refusal = (code, "today is no good day")
        with pytest.raises(kind, match=f"answers {code.name} for model tiny: today is no good day") as caught:
            engine.run(np.zeros((1, *bundle.manifest.feature.shape), np.float32))
    assert type(caught.value) is kind


async def test_frames_go_through_our_front_to_the_model_server_and_back(
    model_server: ModelServer, bundle: Bundle, frames: Frames, serve: Serve
) -> None:
    with model_server.serving() as remote:
        async with serve(engine="open-inference", engine_options=EngineOptions(remote=remote)) as (_, stub):
            sent = [frames.frame(number) for number in range(20)]
            replies = [reply async for reply in stub.Stream(iter(sent), metadata=metadata(bundle))]
    assert [reply.sequence for reply in replies] == list(range(20))
    assert [reply.prediction.class_index[0] for reply in replies] == [
        frames.right_class(number) for number in range(20)
    ]


async def test_while_the_model_server_is_away_frames_are_handed_back_and_later_answered(
    model_server: ModelServer, bundle: Bundle, frames: Frames, serve: Serve
) -> None:
    with model_server.serving() as remote:
        async with serve(engine="open-inference", engine_options=EngineOptions(remote=remote)) as (_, stub):
            model_server.refusal = (grpc.StatusCode.UNAVAILABLE, "restarting")
            away = await stub.Infer(frames.frame(1), metadata=metadata(bundle))
            assert away.error.code == Code.RESOURCE_EXHAUSTED
            assert away.error.retry_after_ms > 0
            assert "UNAVAILABLE for model tiny: restarting; send again" in away.error.message
            model_server.refusal = None
            back = await stub.Infer(frames.frame(1), metadata=metadata(bundle))
    assert back.prediction.class_index[0] == frames.right_class(1)
