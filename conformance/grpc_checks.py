"""What the specification, and Triton where it is silent, ask of a server over gRPC."""

from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb

from .grid import DIFFERENCE, SUM, check, same
from .target import Target


def _raw(response: Any, name: str) -> Any:
    at = [output.name for output in response.outputs].index(name)
    assert len(response.raw_output_contents) > at, "no raw_output_contents"
    return np.frombuffer(response.raw_output_contents[at], "<i4")


@check("grpc", "ServerLive and ServerReady.")
def grpc_health(target: Target) -> None:
    assert target.call("ServerLive", pb.ServerLiveRequest()).live, "not live"
    assert target.call("ServerReady", pb.ServerReadyRequest()).ready, "not ready"


@check("grpc", "ModelReady indicates if a specific model is ready for inferencing.")
def grpc_model_ready(target: Target) -> None:
    assert target.call("ModelReady", pb.ModelReadyRequest(name=target.model)).ready, "not ready"


@check("grpc", "ModelReady of a model that is not there: not ready. Triton: OK and false.")
def grpc_unknown_model_ready(target: Target) -> None:
    assert not target.call("ModelReady", pb.ModelReadyRequest(name="nobody")).ready, "ready"


@check("grpc", "ServerMetadata: name, version, extensions.")
def grpc_server_metadata(target: Target) -> None:
    told = target.call("ServerMetadata", pb.ServerMetadataRequest())
    assert told.name, "no name"
    assert told.version, "no version"


@check("grpc", "ModelMetadata: the inputs required by the model and the outputs it produces.")
def grpc_model_metadata(target: Target) -> None:
    told = target.call("ModelMetadata", pb.ModelMetadataRequest(name=target.model))
    found = {each.name: (each.datatype, list(each.shape)[-1:]) for each in told.inputs}
    same(found, {"INPUT0": ("INT32", [16]), "INPUT1": ("INT32", [16])}, "inputs")
    same(sorted(each.name for each in told.outputs), ["OUTPUT0", "OUTPUT1"], "outputs")


@check("grpc", "Tensor contents in the repeated type that matches the tensor's data type.")
def grpc_typed(target: Target) -> None:
    response = target.call("ModelInfer", target.request(raw=False))
    at = [output.name for output in response.outputs].index("OUTPUT0")
    if response.raw_output_contents:
        same(_raw(response, "OUTPUT0").tolist(), SUM, "OUTPUT0")
    else:
        same(list(response.outputs[at].contents.int_contents), SUM, "OUTPUT0")


@check("grpc", "Tensor contents as raw bytes, little endian, one entry for each input.")
def grpc_raw(target: Target) -> None:
    response = target.call("ModelInfer", target.request())
    same(_raw(response, "OUTPUT0").tolist(), SUM, "OUTPUT0")
    same(_raw(response, "OUTPUT1").tolist(), DIFFERENCE, "OUTPUT1")


@check("grpc", "If raw_output_contents is specified, contents must not be for any output.")
def grpc_raw_or_typed(target: Target) -> None:
    for raw in (True, False):
        response = target.call("ModelInfer", target.request(raw=raw))
        both = response.raw_output_contents and any(each.contents.ListFields() for each in response.outputs)
        assert not both, "raw and typed contents in one response"


@check("grpc", "The id of the inference request is returned in the response.")
def grpc_id(target: Target) -> None:
    same(target.call("ModelInfer", target.request(id="a 42")).id, "a 42", "id")


@check("grpc", "The requested output tensors; all of them where none is specified.")
def grpc_requested_outputs(target: Target) -> None:
    request = target.request()
    request.outputs.add(name="OUTPUT1")
    response = target.call("ModelInfer", request)
    same([each.name for each in response.outputs], ["OUTPUT1"], "outputs")


@check("grpc", "Contents must not be specified if raw_input_contents are: INVALID_ARGUMENT.")
def grpc_raw_and_typed(target: Target) -> None:
    request = target.request()
    request.inputs[0].contents.int_contents.extend([7] * 16)
    same(target.status("ModelInfer", request), "INVALID_ARGUMENT", "status")


@check("triton", "Triton: a model that is not there is NOT_FOUND.")
def grpc_unknown_model(target: Target) -> None:
    request = target.request(model_name="nobody")
    same(target.status("ModelInfer", request), "NOT_FOUND", "status")


@check("triton", "Triton: raw contents of another size than the shape says are INVALID_ARGUMENT.")
def grpc_wrong_size(target: Target) -> None:
    request = target.request()
    request.raw_input_contents[0] = b"\0" * 63
    same(target.status("ModelInfer", request), "INVALID_ARGUMENT", "status")


@check("triton", "Triton: a datatype that the model does not take is INVALID_ARGUMENT.")
def grpc_wrong_datatype(target: Target) -> None:
    request = target.request()
    request.inputs[0].datatype = "FP32"
    same(target.status("ModelInfer", request), "INVALID_ARGUMENT", "status")


@check("triton", "Triton: another shape than the model's is INVALID_ARGUMENT.")
def grpc_wrong_shape(target: Target) -> None:
    request = target.request()
    request.inputs[0].shape[:] = [1, 15]
    request.raw_input_contents[0] = b"\0" * 60
    same(target.status("ModelInfer", request), "INVALID_ARGUMENT", "status")


@check("triton", "Triton: a negative axis is INVALID_ARGUMENT.")
def grpc_negative_shape(target: Target) -> None:
    request = target.request()
    request.inputs[0].shape[:] = [-1, -16]
    same(target.status("ModelInfer", request), "INVALID_ARGUMENT", "status")


@check("triton", "Triton: an output that the model does not have is INVALID_ARGUMENT.")
def grpc_unknown_output(target: Target) -> None:
    request = target.request()
    request.outputs.add(name="OUTPUT9")
    same(target.status("ModelInfer", request), "INVALID_ARGUMENT", "status")


@check("triton", "Triton: a batch larger than max_batch_size (8) is INVALID_ARGUMENT.")
def grpc_batch_too_large(target: Target) -> None:
    request = target.request()
    for at in range(2):
        request.inputs[at].shape[:] = [9, 16]
        request.raw_input_contents[at] = b"\0" * 9 * 64
    same(target.status("ModelInfer", request), "INVALID_ARGUMENT", "status")


@check("triton", "ModelStreamInfer answers the requests of a stream in order.")
def grpc_stream(target: Target) -> None:
    responses = target.stream(*(target.request(id=str(number)) for number in range(4)))
    same([each.infer_response.id for each in responses], list("0123"), "ids")
    same(_raw(responses[0].infer_response, "OUTPUT0").tolist(), SUM, "OUTPUT0")


@check("triton", "ModelStreamInfer tells a request's error in error_message, and the stream goes on.")
def grpc_stream_error(target: Target) -> None:
    wrong = target.request(id="0")
    wrong.inputs[0].datatype = "FP32"
    responses = target.stream(wrong, target.request(id="1"))
    same([bool(each.error_message) for each in responses], [True, False], "errors")


@check("triton", "model_configuration: ModelConfig tells max_batch_size, inputs and outputs.")
def grpc_config(target: Target) -> None:
    config = target.call("ModelConfig", pb.ModelConfigRequest(name=target.model)).config
    same((config.name, config.max_batch_size), (target.model, 8), "name and max_batch_size")
    same(sorted(each.name for each in config.input), ["INPUT0", "INPUT1"], "inputs")


@check("triton", "statistics: a request that was answered is counted in inference_count and success.")
def grpc_statistics(target: Target) -> None:
    def counts() -> tuple[int, int]:
        (stats,) = target.call("ModelStatistics", pb.ModelStatisticsRequest(name=target.model)).model_stats
        return stats.inference_count, stats.inference_stats.success.count

    before = counts()
    target.call("ModelInfer", target.request())
    same(tuple(np.subtract(counts(), before)), (1, 1), "counts")


@check("triton", "model_repository: RepositoryIndex lists the models and their states.")
def grpc_index(target: Target) -> None:
    models = target.call("RepositoryIndex", pb.RepositoryIndexRequest()).models
    states = {each.name: each.state for each in models}
    same(states.get(target.model), "READY", "state")


@check("triton", "ServerMetadata lists an extension if and only if its methods are there.")
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
    same(sorted(told & set(asked)), sorted(here), "extensions")


@check("grpc", "A method that a server does not have is UNIMPLEMENTED (gRPC's own rule).")
def grpc_unimplemented(target: Target) -> None:
    with grpc.insecure_channel(target.grpc) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/NoSuchMethod")
        try:
            call(b"", timeout=10)
        except grpc.RpcError as error:
            same(error.code().name, "UNIMPLEMENTED", "status")
