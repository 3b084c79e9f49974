"""`tritonclient.grpc`, unmodified, against a server of ours."""

import asyncio
import queue
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
import trustme

from siftfunnel.cloud_server.batching import BatchPolicy
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.rpc import open_inference_pb2 as oip
from siftfunnel.shared.tls import TlsFiles
from tests.cloud_server.conftest import LOOPBACK, Frames, Serve, metadata, wait_until_taken
from tests.cloud_server.oip_rig import an_input, beside, features_of, refusal, right_logits
from tests.tinybundle import make_tiny_bundle

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def told(frames: Frames, rows: int = 1) -> Any:
    return an_input(triton, "feature", features_of(frames, rows), "FP32")


async def test_a_client_learns_what_is_served(serve: Serve, bundle: Bundle) -> None:
    def ask(address: str) -> None:
        with triton.InferenceServerClient(address) as client:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("tiny")
            assert client.is_model_ready("tiny", "1")
            assert not client.is_model_ready("tiny", "2")
            assert not client.is_model_ready("nobody")
            assert client.get_server_metadata().name == "siftfunnel"
            known = client.get_model_metadata("tiny", as_json=True)
            assert known["inputs"] == [
                {"name": "feature", "datatype": "FP32", "shape": ["-1", "12", "8", "8"]}
            ]
            assert known["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": ["-1", "3"]}]
            config = client.get_model_config("tiny").config
            assert (config.name, config.max_batch_size) == ("tiny", 4)
            assert config.parameters["digest"].string_value == bundle.digest
            assert [each.name for each in config.input] == ["feature", "payload"]
            assert [each.name for each in client.get_model_repository_index().models] == ["tiny"]

    async with serve() as (server, _):
        await beside(ask, str(server.addresses.grpc))


@pytest.mark.parametrize("rows", [1, 3])
async def test_features_are_answered_with_the_models_logits(
    serve: Serve, bundle: Bundle, frames: Frames, rows: int
) -> None:
    def ask(address: str) -> None:
        with triton.InferenceServerClient(address) as client:
            answer = client.infer("tiny", [told(frames, rows)], request_id="ab c")
            response = answer.get_response()
            assert (response.id, response.model_name, response.model_version) == ("ab c", "tiny", "1")
            assert len(response.raw_output_contents) == 1
            assert np.array_equal(answer.as_numpy("logits"), right_logits(bundle, features_of(frames, rows)))
            stats = client.get_inference_statistics("tiny").model_stats[0]
            assert (stats.inference_count, stats.inference_stats.success.count) == (rows, 1)

    async with serve() as (server, _):
        await beside(ask, str(server.addresses.grpc))
        value = server.metrics.registry.get_sample_value
        labels = {"bundle": "tiny", "codec": "fp32", "outcome": "answered"}
        assert value("siftfunnel_frames_total", labels) == rows


@pytest.mark.parametrize("flat", [True, False])
async def test_payloads_of_a_codec_are_answered(
    serve: Serve, bundle: Bundle, frames: Frames, flat: bool
) -> None:
    payloads = np.array([frames.frame(number, "q6").payload for number in range(2)], dtype=object)

    def ask(address: str) -> None:
        with triton.InferenceServerClient(address) as client:
            sent = an_input(triton, "payload", payloads if flat else payloads[:, None], "BYTES")
            answer = client.infer("tiny", [sent], parameters={"codec": "q6"})
            decoded = frames.codecs[[c.name for c in frames.codecs].index("q6")].decode
            features = np.stack([decoded(payload) for payload in payloads])
            assert np.allclose(answer.as_numpy("logits"), right_logits(bundle, features), atol=1e-5)
            status, said = refusal(client.infer, "tiny", [sent], parameters={"codec": "fp32"})
            assert status == "StatusCode.INVALID_ARGUMENT"
            assert "frame 0" in said
            status, said = refusal(client.infer, "tiny", [sent], parameters={"codec": "q99"})
            assert "q99" in said

    async with serve() as (server, _):
        await beside(ask, str(server.addresses.grpc))


def requests(frames: Frames) -> Iterator[tuple[str, oip.ModelInferRequest, grpc.StatusCode]]:
    """Requests that are wrong, each in one way."""
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    features = features_of(frames, 1)

    def make(edit: Any) -> oip.ModelInferRequest:
        request = oip.ModelInferRequest(model_name="tiny", raw_input_contents=[features.tobytes()])
        request.inputs.add(name="feature", datatype="FP32", shape=features.shape)
        edit(request, request.inputs[0])
        return request

    def reshaped(*shape: int) -> Any:
        return lambda request, tensor: (tensor.ClearField("shape"), tensor.shape.extend(shape))

    def bytes_of(data: bytes) -> Any:
        return lambda request, _: (
            request.ClearField("raw_input_contents"),
            request.raw_input_contents.append(data),
        )

    cases: dict[str, tuple[Any, grpc.StatusCode]] = {
        "no such model": (
            lambda request, _: request.MergeFrom(oip.ModelInferRequest(model_name="no")),
            grpc.StatusCode.NOT_FOUND,
        ),
        "no such version": (
            lambda request, _: setattr(request, "model_version", "2"),
            grpc.StatusCode.NOT_FOUND,
        ),
        "a version that is none": (lambda request, _: setattr(request, "model_version", "x"), invalid),
        "another name": (lambda _, tensor: setattr(tensor, "name", "image"), invalid),
        "another type": (lambda _, tensor: setattr(tensor, "datatype", "FP64"), invalid),
        "no type": (lambda _, tensor: setattr(tensor, "datatype", "FP31"), invalid),
        "no shape": (reshaped(), invalid),
        "no rows": (reshaped(0, 12, 8, 8), invalid),
        "rows below zero": (reshaped(-1, 12, 8, 8), invalid),
        "two axes below zero": (reshaped(1, -12, -8, 8), invalid),
        "a huge batch": (reshaped(2**62, 12, 8, 8), invalid),
        "a batch too large": (reshaped(5, 12, 8, 8), invalid),
        "axes without end": (reshaped(*[1] * 10_000), invalid),
        "too few bytes": (bytes_of(features.tobytes()[:-1]), invalid),
        "too many bytes": (bytes_of(features.tobytes() + b"\0"), invalid),
        "no number": (bytes_of(np.full_like(features, np.nan).tobytes()), invalid),
        "raw and typed": (lambda _, tensor: tensor.contents.fp32_contents.append(1), invalid),
        "raw of two": (lambda request, _: request.raw_input_contents.append(b""), invalid),
        "an output of nobody": (lambda request, _: request.outputs.add(name="boxes"), invalid),
        "an output twice": (
            lambda request, _: [request.outputs.add(name="logits") for _ in range(2)],
            invalid,
        ),
        "no inputs": (
            lambda request, _: (request.ClearField("inputs"), request.ClearField("raw_input_contents")),
            invalid,
        ),
        "shared memory": (
            lambda _, tensor: setattr(tensor.parameters["shared_memory_region"], "string_param", "x"),
            grpc.StatusCode.UNIMPLEMENTED,
        ),
        "payloads that end early": (
            lambda request, tensor: (
                request.inputs.pop(),
                request.inputs.add(name="payload", datatype="BYTES", shape=[1, 1]),
                bytes_of(b"\xff\xff\xff\xff12")(request, tensor),
            ),
            invalid,
        ),
        "a time that is none": (
            lambda request, _: setattr(request.parameters["timeout"], "string_param", "soon"),
            invalid,
        ),
    }
    for name, (edit, status) in cases.items():
        yield name, make(edit), status


async def test_what_is_wrong_is_refused_with_its_status(serve: Serve, frames: Frames) -> None:
    async with serve() as (server, _), grpc.aio.insecure_channel(str(server.addresses.grpc)) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        found = {}
        wrong = list(requests(frames))
        for name, request, _ in wrong:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await infer(request.SerializeToString())
            found[name] = caught.value.code()
            assert caught.value.details()
        assert found == {name: status for name, _, status in wrong}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await infer(b"\xff\xff\xff")
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/inference.GRPCInferenceService/CudaSharedMemoryStatus")(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        right = next(requests(frames))[1]
        right.model_name = "tiny"
        assert oip.ModelInferResponse.FromString(await infer(right.SerializeToString())).outputs


async def test_typed_contents_are_answered_typed(serve: Serve, bundle: Bundle, frames: Frames) -> None:
    features = features_of(frames, 2)
    request = oip.ModelInferRequest(model_name="tiny", id="7")
    tensor = request.inputs.add(name="feature", datatype="FP32", shape=features.shape)
    tensor.contents.fp32_contents.extend(features.ravel().tolist())
    async with serve() as (server, _), grpc.aio.insecure_channel(str(server.addresses.grpc)) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        response = oip.ModelInferResponse.FromString(await infer(request.SerializeToString()))
    (output,) = response.outputs
    assert (response.id, list(response.raw_output_contents)) == ("7", [])
    values = np.array(output.contents.fp32_contents, np.float32).reshape(tuple(output.shape))
    assert np.array_equal(values, right_logits(bundle, features))


async def test_a_stream_answers_in_order_and_survives_a_wrong_request(
    serve: Serve, bundle: Bundle, frames: Frames
) -> None:
    def ask(address: str) -> None:
        answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        with triton.InferenceServerClient(address) as client:
            client.start_stream(lambda result, error: answers.put((result, error)))
            for number in range(40):
                sent = an_input(triton, "feature", frames.features(number)[None], "FP32")
                client.async_stream_infer("tiny" if number != 7 else "no", [sent], request_id=str(number))
            for number in range(40):
                result, error = answers.get(timeout=10)
                if number == 7:
                    assert "not found" in str(error)
                    continue
                assert result.get_response().id == str(number)
                right = right_logits(bundle, frames.features(number)[None])
                assert np.allclose(result.as_numpy("logits"), right, atol=1e-5)
            client.stop_stream()

    async with serve() as (server, _):
        await beside(ask, str(server.addresses.grpc))


async def test_the_asynchronous_client_works_and_takes_a_stream(serve: Serve, frames: Frames) -> None:
    async def sent() -> Any:
        for number in range(5):
            yield {"model_name": "tiny", "inputs": [told(frames)], "request_id": str(number)}

    async with serve() as (server, _):
        client = triton_aio.InferenceServerClient(str(server.addresses.grpc))
        assert (await client.infer("tiny", [told(frames)])).as_numpy("logits").shape == (1, 3)
        ids = [result.get_response().id async for result, _ in client.stream_infer(sent())]
        await client.close()
    assert ids == list("01234")


async def test_a_cancelled_or_late_request_leaves_nothing_behind(
    serve: Serve, frames: Frames, gate: threading.Event
) -> None:
    def late(address: str) -> tuple[str, str]:
        with triton.InferenceServerClient(address) as client:
            return refusal(client.infer, "tiny", [told(frames)], client_timeout=0.2)

    def cancelled(address: str) -> str:
        done: queue.Queue[Any] = queue.Queue()
        with triton.InferenceServerClient(address) as client:
            call = client.async_infer("tiny", [told(frames)], lambda result, error: done.put(error))
            call.cancel()
            return str(done.get(timeout=10))

    async with serve(batching=BatchPolicy(4, 0.0, 64)) as (server, _):
        gate.clear()
        assert (await beside(late, str(server.addresses.grpc)))[0] == "StatusCode.DEADLINE_EXCEEDED"
        assert "cancel" in (await beside(cancelled, str(server.addresses.grpc))).lower()
        gate.set()
        async with asyncio.timeout(5):
            while server._service.calls_open or server._service.unanswered:
                await asyncio.sleep(0.01)


async def test_time_that_ran_out_in_the_queue_is_unavailable(
    serve: Serve, frames: Frames, gate: threading.Event
) -> None:
    def ask(address: str) -> tuple[str, str]:
        with triton.InferenceServerClient(address) as client:
            return refusal(client.infer, "tiny", [told(frames)], timeout=20_000)

    async with serve() as (server, stub):
        gate.clear()
        first = frames.frame(0)
        holding = asyncio.ensure_future(stub.Infer(first, metadata=metadata(frames.bundle)))
        await wait_until_taken(server, [first])
        try:
            assert (await beside(ask, str(server.addresses.grpc)))[0] == "StatusCode.UNAVAILABLE"
        finally:
            gate.set()
        assert (await holding).HasField("prediction")


async def test_compressed_messages_are_taken_where_the_operator_says_so(serve: Serve, frames: Frames) -> None:
    def ask(address: str) -> Any:
        with triton.InferenceServerClient(address) as client:
            return client.infer("tiny", [told(frames)], compression_algorithm="gzip").as_numpy("logits")

    async with serve(compression=True) as (server, _):
        assert (await beside(ask, str(server.addresses.grpc))).shape == (1, 3)
    async with serve() as (server, _):
        with pytest.raises(triton.InferenceServerException, match="UNIMPLEMENTED"):
            await beside(ask, str(server.addresses.grpc))


async def test_the_example_model_adds_and_subtracts(serve: Serve) -> None:
    left, right = np.arange(16, dtype=np.int32)[None], np.full((1, 16), 2**31 - 1, np.int32)

    def ask(address: str) -> None:
        with triton.InferenceServerClient(address) as client:
            sent = [an_input(triton, f"INPUT{at}", each, "INT32") for at, each in enumerate((left, right))]
            both = client.infer("simple", sent)
            assert np.array_equal(both.as_numpy("OUTPUT0"), left + right)
            assert np.array_equal(both.as_numpy("OUTPUT1"), left - right)
            one = client.infer("simple", sent, outputs=[triton.InferRequestedOutput("OUTPUT1")])
            assert one.as_numpy("OUTPUT0") is None
            assert np.array_equal(one.as_numpy("OUTPUT1"), left - right)

    async with serve(simple=True) as (server, _):
        await beside(ask, str(server.addresses.grpc))


async def test_a_drain_ends_streams_and_answers_what_was_taken(serve: Serve, frames: Frames) -> None:
    ended: queue.Queue[Any] = queue.Queue()

    def open_stream(address: str) -> Any:
        client = triton.InferenceServerClient(address)
        client.start_stream(lambda result, error: ended.put(error or result))
        client.async_stream_infer("tiny", [told(frames)])
        assert ended.get(timeout=10).as_numpy("logits") is not None
        return client

    async with serve() as (server, _):
        client = await beside(open_stream, str(server.addresses.grpc))
        assert await server.drain()
        assert "UNAVAILABLE" in str(await beside(ended.get, True, 10))
        await beside(client.close)


async def test_a_bundle_is_replaced_and_unloaded_while_streams_run(
    serve: Serve, frames: Frames, tmp_path: Path
) -> None:
    old = make_tiny_bundle(tmp_path / "tiny")

    def change(address: str) -> None:
        with triton.InferenceServerClient(address) as client:
            assert refusal(client.load_model, "nobody")[0] == "StatusCode.NOT_FOUND"
            client.load_model("tiny")
            shutil.rmtree(tmp_path / "tiny")
            make_tiny_bundle(tmp_path / "tiny", seed=5)
            client.load_model("tiny")
            assert client.get_model_config("tiny").config.parameters["digest"].string_value != old.digest
            assert client.infer("tiny", [told(frames)]).as_numpy("logits").shape == (1, 3)
            client.unload_model("tiny")
            assert not client.is_model_ready("tiny")
            assert [each.state for each in client.get_model_repository_index().models] == ["UNAVAILABLE"]
            assert refusal(client.unload_model, "tiny")[0] == "StatusCode.NOT_FOUND"
            client.load_model("tiny")
            assert client.is_model_ready("tiny")

    async with serve(bundles=(tmp_path,), model_control=True) as (server, stub):
        call = stub.Stream(metadata=metadata(old))
        for number in range(5):
            await call.write(frames.frame(number))
        changing = asyncio.create_task(beside(change, str(server.addresses.grpc)))
        replies = [await call.read() for _ in range(5)]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        await changing
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert [reply.sequence for reply in replies] == list(range(5))
    assert all(reply.HasField("prediction") for reply in replies)


async def test_loading_is_the_operators_to_allow(serve: Serve) -> None:
    def ask(address: str) -> tuple[str, str]:
        with triton.InferenceServerClient(address) as client:
            assert "model_repository" not in client.get_server_metadata().extensions
            return refusal(client.unload_model, "tiny")

    async with serve() as (server, _):
        assert (await beside(ask, str(server.addresses.grpc)))[0] == "StatusCode.UNAVAILABLE"


async def test_over_tls(serve: Serve, frames: Frames, tmp_path: Path) -> None:
    authority = trustme.CA()
    ca, certificate, key = (tmp_path / name for name in ("ca.pem", "server.pem", "server.key"))
    authority.cert_pem.write_to_path(ca)
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)

    def ask(address: str) -> Any:
        with triton.InferenceServerClient(address, ssl=True, root_certificates=str(ca)) as client:
            return client.infer("tiny", [told(frames)]).as_numpy("logits")

    async with serve(tls_listen=LOOPBACK, tls=TlsFiles(None, certificate, key)) as (server, _):
        assert (await beside(ask, str(server.addresses.grpc_tls))).shape == (1, 3)
