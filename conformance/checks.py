"""The grid: each check with the sentence that asks for it.

A check returns nothing where the server does what the sentence says, and raises AssertionError with what it
does instead. Sentences are those of the Open Inference Protocol ("rest", "grpc":
kserve/open-inference-protocol, specification/protocol), shortened, or of Triton's extensions ("triton":
triton-inference-server/server, docs/protocol); where Triton alone decides a status, the sentence says so.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import grpc
import httpx
import numpy as np
from tritonclient.grpc import service_pb2 as pb

from .target import HEADER_LENGTH, LEFT, RIGHT, Target, inputs


class Check(NamedTuple):
    """One row of the grid.

    Attributes:
        name: for tables and results.
        source: "rest", "grpc" or "triton".
        sentence: what the specification says.
        run: holds a server to it.
    """

    name: str
    source: str
    sentence: str
    run: Callable[[Target], None]


CHECKS: list[Check] = []


def _check(source: str, sentence: str) -> Callable[[Callable[[Target], None]], Callable[[Target], None]]:
    def add(run: Callable[[Target], None]) -> Callable[[Target], None]:
        CHECKS.append(Check(run.__name__, source, sentence, run))
        return run

    return add


def _same(found: Any, right: Any, what: str) -> None:
    assert found == right, f"{what}: {str(found)[:120]}, not {str(right)[:120]}"


def _error_object(answer: httpx.Response) -> None:
    assert answer.status_code >= 400, f"HTTP {answer.status_code}"
    try:
        told = answer.json()
    except ValueError:
        raise AssertionError(f"HTTP {answer.status_code}, and a body that is not JSON") from None
    assert isinstance(told, dict), f"HTTP {answer.status_code}, and {str(told)[:60]}"
    assert isinstance(told.get("error"), str), f"HTTP {answer.status_code}, and {str(told)[:60]}"


def _values(answer: httpx.Response, name: str) -> list[int]:
    _same(answer.status_code, 200, "HTTP status")
    (output,) = (each for each in answer.json()["outputs"] if each["name"] == name)
    return list(np.asarray(output["data"]).ravel())


def _raw(response: Any, name: str) -> Any:
    at = [output.name for output in response.outputs].index(name)
    assert len(response.raw_output_contents) > at, "no raw_output_contents"
    return np.frombuffer(response.raw_output_contents[at], "<i4")


SUM, DIFFERENCE = (LEFT + RIGHT).ravel().tolist(), (LEFT - RIGHT).ravel().tolist()


@_check("rest", 'The "server live" health API: GET v2/health/live.')
def rest_live(target: Target) -> None:
    _same(target.get("v2/health/live").status_code, 200, "HTTP status")


@_check("rest", '$live_server_response = {"live": $bool}.')
def rest_live_body(target: Target) -> None:
    body = target.get("v2/health/live").content
    assert body, "an empty body"
    _same(json.loads(body).get("live"), True, "live")


@_check("rest", 'The "server ready" health API: GET v2/health/ready.')
def rest_ready(target: Target) -> None:
    _same(target.get("v2/health/ready").status_code, 200, "HTTP status")


@_check("rest", 'The "model ready" health API indicates if a specific model is ready for inferencing.')
def rest_model_ready(target: Target) -> None:
    _same(target.get("v2/models/{model}/ready").status_code, 200, "HTTP status")
    unknown = target.get("v2/models/nobody/ready").status_code
    assert unknown >= 400, f"a model that is not there: HTTP {unknown}"


@_check("rest", '$ready_model_response = {"name": $string, "ready": $bool}.')
def rest_model_ready_body(target: Target) -> None:
    body = target.get("v2/models/{model}/ready").content
    assert body, "an empty body"
    _same(json.loads(body), {"name": target.model, "ready": True}, "body")


@_check("rest", "$metadata_server_response holds name, version and extensions.")
def rest_server_metadata(target: Target) -> None:
    answer = target.get("v2")
    _same(answer.status_code, 200, "HTTP status")
    told = answer.json()
    _same([type(told.get(key)) for key in ("name", "version", "extensions")], [str, str, list], "types")


@_check("rest", "$metadata_model_response holds name, platform, inputs and outputs; sizes that vary are -1.")
def rest_model_metadata(target: Target) -> None:
    told = target.get("v2/models/{model}").json()
    _same((told.get("name"), type(told.get("platform"))), (target.model, str), "name and platform")
    found = {each["name"]: (each["datatype"], list(each["shape"])[-1]) for each in told["inputs"]}
    _same(found, {"INPUT0": ("INT32", 16), "INPUT1": ("INT32", 16)}, "inputs")
    _same(sorted(each["name"] for each in told["outputs"]), ["OUTPUT0", "OUTPUT1"], "outputs")


@_check(
    "rest",
    "A failed model metadata request must be indicated by an HTTP error status; the body must hold error.",
)
def rest_unknown_model_metadata(target: Target) -> None:
    _error_object(target.get("v2/models/nobody"))


@_check("rest", "The inference response object is returned in the HTTP body, with status 200.")
def rest_infer(target: Target) -> None:
    answer = target.infer()
    _same(_values(answer, "OUTPUT0"), SUM, "OUTPUT0")
    _same(_values(answer, "OUTPUT1"), DIFFERENCE, "OUTPUT1")
    _same(answer.json()["model_name"], target.model, "model_name")


@_check("rest", "Tensor data may be flat or nested in row-major order.")
def rest_nested_data(target: Target) -> None:
    _same(_values(target.infer(inputs=inputs(data=LEFT.tolist())), "OUTPUT0"), SUM, "OUTPUT0")


@_check("rest", '"id": if specified this identifier must be returned in the response.')
def rest_id(target: Target) -> None:
    _same(target.infer(id="a 42").json().get("id"), "a 42", "id")


@_check("rest", '"outputs": the output tensors requested for this inference.')
def rest_requested_outputs(target: Target) -> None:
    told = target.infer(outputs=[{"name": "OUTPUT1"}]).json()["outputs"]
    _same([each["name"] for each in told], ["OUTPUT1"], "outputs")


@_check(
    "rest",
    "A failed inference request: an HTTP error status, and the error object (a model that is not there).",
)
def rest_unknown_model(target: Target) -> None:
    _error_object(target.post("v2/models/nobody/infer", json={"inputs": inputs()}))


@_check("rest", "The same, of a body that is not JSON.")
def rest_not_json(target: Target) -> None:
    _error_object(target.post("v2/models/{model}/infer", content=b"{"))


@_check("rest", "The same, of data that are fewer than the shape says.")
def rest_too_few_values(target: Target) -> None:
    _error_object(target.infer(inputs=inputs(data=[1, 2])))


@_check("rest", "The same, of a datatype that the model does not take.")
def rest_wrong_datatype(target: Target) -> None:
    _error_object(target.infer(inputs=inputs(datatype="BYTES", data=["1"] * 16)))


@_check("rest", "The same, of an input that the model does not have.")
def rest_unknown_input(target: Target) -> None:
    _error_object(target.infer(inputs=inputs(name="INPUT9")))


@_check("rest", "The same, of an input that is missing.")
def rest_missing_input(target: Target) -> None:
    _error_object(target.infer(inputs=inputs()[:1]))


@_check("rest", "A failed request is the client's fault (4xx) where its shape is wrong, not the server's.")
def rest_clients_fault(target: Target) -> None:
    status = target.infer(inputs=inputs(shape=[1, 15], data=[1] * 15)).status_code
    assert 400 <= status < 500, f"HTTP {status}"


@_check("triton", "Binary tensor data: an input with binary_data_size has its values behind the JSON.")
def rest_binary_input(target: Target) -> None:
    _same(_values(_binary(target), "OUTPUT0"), SUM, "OUTPUT0")


@_check("triton", "Binary tensor data: an output with binary_data true is given behind the JSON.")
def rest_binary_output(target: Target) -> None:
    answer = _binary(target, outputs=[{"name": "OUTPUT0", "parameters": {"binary_data": True}}])
    _same(answer.status_code, 200, "HTTP status")
    length = answer.headers.get(HEADER_LENGTH)
    assert length, f"no {HEADER_LENGTH}"
    told = json.loads(answer.content[: int(length)])["outputs"][0]
    _same(told["parameters"]["binary_data_size"], 64, "binary_data_size")
    _same(np.frombuffer(answer.content[int(length) :], "<i4").tolist(), SUM, "OUTPUT0")


def _binary(target: Target, **fields: Any) -> httpx.Response:
    told = [
        {"name": name, "datatype": "INT32", "shape": [1, 16], "parameters": {"binary_data_size": 64}}
        for name in ("INPUT0", "INPUT1")
    ]
    head = json.dumps({"inputs": told, **fields}).encode()
    headers = {HEADER_LENGTH: str(len(head)), "Content-Type": "application/octet-stream"}
    content = head + LEFT.tobytes() + RIGHT.tobytes()
    return target.post("v2/models/{model}/infer", content=content, headers=headers)


@_check("grpc", "ServerLive and ServerReady.")
def grpc_health(target: Target) -> None:
    assert target.call("ServerLive", pb.ServerLiveRequest()).live, "not live"
    assert target.call("ServerReady", pb.ServerReadyRequest()).ready, "not ready"


@_check("grpc", "ModelReady indicates if a specific model is ready for inferencing.")
def grpc_model_ready(target: Target) -> None:
    assert target.call("ModelReady", pb.ModelReadyRequest(name=target.model)).ready, "not ready"


@_check("grpc", "ModelReady of a model that is not there: not ready. Triton: OK and false.")
def grpc_unknown_model_ready(target: Target) -> None:
    assert not target.call("ModelReady", pb.ModelReadyRequest(name="nobody")).ready, "ready"


@_check("grpc", "ServerMetadata: name, version, extensions.")
def grpc_server_metadata(target: Target) -> None:
    told = target.call("ServerMetadata", pb.ServerMetadataRequest())
    assert told.name, "no name"
    assert told.version, "no version"


@_check("grpc", "ModelMetadata: the inputs required by the model and the outputs it produces.")
def grpc_model_metadata(target: Target) -> None:
    told = target.call("ModelMetadata", pb.ModelMetadataRequest(name=target.model))
    found = {each.name: (each.datatype, list(each.shape)[-1:]) for each in told.inputs}
    _same(found, {"INPUT0": ("INT32", [16]), "INPUT1": ("INT32", [16])}, "inputs")
    _same(sorted(each.name for each in told.outputs), ["OUTPUT0", "OUTPUT1"], "outputs")


@_check("grpc", "Tensor contents in the repeated type that matches the tensor's data type.")
def grpc_typed(target: Target) -> None:
    response = target.call("ModelInfer", target.request(raw=False))
    at = [output.name for output in response.outputs].index("OUTPUT0")
    if response.raw_output_contents:
        _same(_raw(response, "OUTPUT0").tolist(), SUM, "OUTPUT0")
    else:
        _same(list(response.outputs[at].contents.int_contents), SUM, "OUTPUT0")


@_check("grpc", "Tensor contents as raw bytes, little endian, one entry for each input.")
def grpc_raw(target: Target) -> None:
    response = target.call("ModelInfer", target.request())
    _same(_raw(response, "OUTPUT0").tolist(), SUM, "OUTPUT0")
    _same(_raw(response, "OUTPUT1").tolist(), DIFFERENCE, "OUTPUT1")


@_check("grpc", "If raw_output_contents is specified, contents must not be for any output.")
def grpc_raw_or_typed(target: Target) -> None:
    for raw in (True, False):
        response = target.call("ModelInfer", target.request(raw=raw))
        both = response.raw_output_contents and any(each.contents.ListFields() for each in response.outputs)
        assert not both, "raw and typed contents in one response"


@_check("grpc", "The id of the inference request is returned in the response.")
def grpc_id(target: Target) -> None:
    _same(target.call("ModelInfer", target.request(id="a 42")).id, "a 42", "id")


@_check("grpc", "The requested output tensors; all of them where none is specified.")
def grpc_requested_outputs(target: Target) -> None:
    request = target.request()
    request.outputs.add(name="OUTPUT1")
    response = target.call("ModelInfer", request)
    _same([each.name for each in response.outputs], ["OUTPUT1"], "outputs")


@_check("grpc", "Contents must not be specified if raw_input_contents are: INVALID_ARGUMENT.")
def grpc_raw_and_typed(target: Target) -> None:
    request = target.request()
    request.inputs[0].contents.int_contents.extend([7] * 16)
    _same(target.status("ModelInfer", request), "INVALID_ARGUMENT", "status")


@_check("triton", "Triton: a model that is not there is NOT_FOUND.")
def grpc_unknown_model(target: Target) -> None:
    request = target.request(model_name="nobody")
    _same(target.status("ModelInfer", request), "NOT_FOUND", "status")


@_check("triton", "Triton: raw contents of another size than the shape says are INVALID_ARGUMENT.")
def grpc_wrong_size(target: Target) -> None:
    request = target.request()
    request.raw_input_contents[0] = b"\0" * 63
    _same(target.status("ModelInfer", request), "INVALID_ARGUMENT", "status")


@_check("triton", "Triton: a datatype that the model does not take is INVALID_ARGUMENT.")
def grpc_wrong_datatype(target: Target) -> None:
    request = target.request()
    request.inputs[0].datatype = "FP32"
    _same(target.status("ModelInfer", request), "INVALID_ARGUMENT", "status")


@_check("triton", "Triton: another shape than the model's is INVALID_ARGUMENT.")
def grpc_wrong_shape(target: Target) -> None:
    request = target.request()
    request.inputs[0].shape[:] = [1, 15]
    request.raw_input_contents[0] = b"\0" * 60
    _same(target.status("ModelInfer", request), "INVALID_ARGUMENT", "status")


@_check("triton", "Triton: a negative axis is INVALID_ARGUMENT.")
def grpc_negative_shape(target: Target) -> None:
    request = target.request()
    request.inputs[0].shape[:] = [-1, -16]
    _same(target.status("ModelInfer", request), "INVALID_ARGUMENT", "status")


@_check("triton", "Triton: an output that the model does not have is INVALID_ARGUMENT.")
def grpc_unknown_output(target: Target) -> None:
    request = target.request()
    request.outputs.add(name="OUTPUT9")
    _same(target.status("ModelInfer", request), "INVALID_ARGUMENT", "status")


@_check("triton", "Triton: a batch larger than max_batch_size (8) is INVALID_ARGUMENT.")
def grpc_batch_too_large(target: Target) -> None:
    request = target.request()
    for at in range(2):
        request.inputs[at].shape[:] = [9, 16]
        request.raw_input_contents[at] = b"\0" * 9 * 64
    _same(target.status("ModelInfer", request), "INVALID_ARGUMENT", "status")


@_check("triton", "ModelStreamInfer answers the requests of a stream in order.")
def grpc_stream(target: Target) -> None:
    responses = target.stream(*(target.request(id=str(number)) for number in range(4)))
    _same([each.infer_response.id for each in responses], list("0123"), "ids")
    _same(_raw(responses[0].infer_response, "OUTPUT0").tolist(), SUM, "OUTPUT0")


@_check("triton", "ModelStreamInfer tells a request's error in error_message, and the stream goes on.")
def grpc_stream_error(target: Target) -> None:
    wrong = target.request(id="0")
    wrong.inputs[0].datatype = "FP32"
    responses = target.stream(wrong, target.request(id="1"))
    _same([bool(each.error_message) for each in responses], [True, False], "errors")


@_check("triton", "model_configuration: ModelConfig tells max_batch_size, inputs and outputs.")
def grpc_config(target: Target) -> None:
    config = target.call("ModelConfig", pb.ModelConfigRequest(name=target.model)).config
    _same((config.name, config.max_batch_size), (target.model, 8), "name and max_batch_size")
    _same(sorted(each.name for each in config.input), ["INPUT0", "INPUT1"], "inputs")


@_check("triton", "statistics: a request that was answered is counted in inference_count and success.")
def grpc_statistics(target: Target) -> None:
    def counts() -> tuple[int, int]:
        (stats,) = target.call("ModelStatistics", pb.ModelStatisticsRequest(name=target.model)).model_stats
        return stats.inference_count, stats.inference_stats.success.count

    before = counts()
    target.call("ModelInfer", target.request())
    _same(tuple(np.subtract(counts(), before)), (1, 1), "counts")


@_check("triton", "model_repository: RepositoryIndex lists the models and their states.")
def grpc_index(target: Target) -> None:
    models = target.call("RepositoryIndex", pb.RepositoryIndexRequest()).models
    states = {each.name: each.state for each in models}
    _same(states.get(target.model), "READY", "state")


@_check("triton", "ServerMetadata lists an extension if and only if its methods are there.")
def grpc_extensions(target: Target) -> None:
    told = set(target.call("ServerMetadata", pb.ServerMetadataRequest()).extensions)
    asked = {
        "model_configuration": ("ModelConfig", pb.ModelConfigRequest(name=target.model)),
        "statistics": ("ModelStatistics", pb.ModelStatisticsRequest(name=target.model)),
        "system_shared_memory": ("SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest()),
        "trace": ("TraceSetting", pb.TraceSettingRequest()),
        "logging": ("LogSettings", pb.LogSettingsRequest()),
    }
    here = {
        name for name, (method, request) in asked.items() if target.status(method, request) != "UNIMPLEMENTED"
    }
    _same(sorted(told & set(asked)), sorted(here), "extensions")


@_check("grpc", "A method that a server does not have is UNIMPLEMENTED (gRPC's own rule).")
def grpc_unimplemented(target: Target) -> None:
    with grpc.insecure_channel(target.grpc) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/NoSuchMethod")
        try:
            call(b"", timeout=10)
        except grpc.RpcError as error:
            _same(error.code().name, "UNIMPLEMENTED", "status")
