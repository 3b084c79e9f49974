"""What the specification asks of a server over HTTP."""

import json
from typing import Any

import httpx
import numpy as np

from .grid import DIFFERENCE, SUM, check, same
from .target import HEADER_LENGTH, LEFT, RIGHT, Target, inputs


def _error_object(answer: httpx.Response) -> None:
    assert answer.status_code >= 400, f"HTTP {answer.status_code}"
    try:
        told = answer.json()
    except ValueError:
        raise AssertionError(f"HTTP {answer.status_code}, and a body that is not JSON") from None
    assert isinstance(told, dict), f"HTTP {answer.status_code}, and {str(told)[:60]}"
    assert isinstance(told.get("error"), str), f"HTTP {answer.status_code}, and {str(told)[:60]}"


def _values(answer: httpx.Response, name: str) -> list[int]:
    same(answer.status_code, 200, "HTTP status")
    (output,) = (each for each in answer.json()["outputs"] if each["name"] == name)
    return list(np.asarray(output["data"]).ravel())


@check("rest", 'The "server live" health API: GET v2/health/live.')
def rest_live(target: Target) -> None:
    same(target.get("v2/health/live").status_code, 200, "HTTP status")


@check("rest", '$live_server_response = {"live": $bool}.')
def rest_live_body(target: Target) -> None:
    body = target.get("v2/health/live").content
    assert body, "an empty body"
    same(json.loads(body).get("live"), True, "live")


@check("rest", 'The "server ready" health API: GET v2/health/ready.')
def rest_ready(target: Target) -> None:
    same(target.get("v2/health/ready").status_code, 200, "HTTP status")


@check("rest", 'The "model ready" health API indicates if a specific model is ready for inferencing.')
def rest_model_ready(target: Target) -> None:
    same(target.get("v2/models/{model}/ready").status_code, 200, "HTTP status")
    unknown = target.get("v2/models/nobody/ready").status_code
    assert unknown >= 400, f"a model that is not there: HTTP {unknown}"


@check("rest", '$ready_model_response = {"name": $string, "ready": $bool}.')
def rest_model_ready_body(target: Target) -> None:
    body = target.get("v2/models/{model}/ready").content
    assert body, "an empty body"
    same(json.loads(body), {"name": target.model, "ready": True}, "body")


@check("rest", "$metadata_server_response holds name, version and extensions.")
def rest_server_metadata(target: Target) -> None:
    answer = target.get("v2")
    same(answer.status_code, 200, "HTTP status")
    told = answer.json()
    same([type(told.get(key)) for key in ("name", "version", "extensions")], [str, str, list], "types")


@check("rest", "$metadata_model_response holds name, platform, inputs and outputs; sizes that vary are -1.")
def rest_model_metadata(target: Target) -> None:
    told = target.get("v2/models/{model}").json()
    same((told.get("name"), type(told.get("platform"))), (target.model, str), "name and platform")
    found = {each["name"]: (each["datatype"], list(each["shape"])[-1]) for each in told["inputs"]}
    same(found, {"INPUT0": ("INT32", 16), "INPUT1": ("INT32", 16)}, "inputs")
    same(sorted(each["name"] for each in told["outputs"]), ["OUTPUT0", "OUTPUT1"], "outputs")


@check(
    "rest",
    "A failed model metadata request must be indicated by an HTTP error status; the body must hold error.",
)
def rest_unknown_model_metadata(target: Target) -> None:
    _error_object(target.get("v2/models/nobody"))


@check("rest", "The inference response object is returned in the HTTP body, with status 200.")
def rest_infer(target: Target) -> None:
    answer = target.infer()
    same(_values(answer, "OUTPUT0"), SUM, "OUTPUT0")
    same(_values(answer, "OUTPUT1"), DIFFERENCE, "OUTPUT1")
    same(answer.json()["model_name"], target.model, "model_name")


@check("rest", "Tensor data may be flat or nested in row-major order.")
def rest_nested_data(target: Target) -> None:
    same(_values(target.infer(inputs=inputs(data=LEFT.tolist())), "OUTPUT0"), SUM, "OUTPUT0")


@check("rest", '"id": if specified this identifier must be returned in the response.')
def rest_id(target: Target) -> None:
    same(target.infer(id="a 42").json().get("id"), "a 42", "id")


@check("rest", '"outputs": the output tensors requested for this inference.')
def rest_requested_outputs(target: Target) -> None:
    told = target.infer(outputs=[{"name": "OUTPUT1"}]).json()["outputs"]
    same([each["name"] for each in told], ["OUTPUT1"], "outputs")


@check(
    "rest",
    "A failed inference request: an HTTP error status, and the error object (a model that is not there).",
)
def rest_unknown_model(target: Target) -> None:
    _error_object(target.post("v2/models/nobody/infer", json={"inputs": inputs()}))


@check("rest", "The same, of a body that is not JSON.")
def rest_not_json(target: Target) -> None:
    _error_object(target.post("v2/models/{model}/infer", content=b"{"))


@check("rest", "The same, of data that are fewer than the shape says.")
def rest_too_few_values(target: Target) -> None:
    _error_object(target.infer(inputs=inputs(data=[1, 2])))


@check("rest", "The same, of a datatype that the model does not take.")
def rest_wrong_datatype(target: Target) -> None:
    _error_object(target.infer(inputs=inputs(datatype="BYTES", data=["1"] * 16)))


@check("rest", "The same, of an input that the model does not have.")
def rest_unknown_input(target: Target) -> None:
    _error_object(target.infer(inputs=inputs(name="INPUT9")))


@check("rest", "The same, of an input that is missing.")
def rest_missing_input(target: Target) -> None:
    _error_object(target.infer(inputs=inputs()[:1]))


@check("rest", "A failed request is the client's fault (4xx) where its shape is wrong, not the server's.")
def rest_clients_fault(target: Target) -> None:
    status = target.infer(inputs=inputs(shape=[1, 15], data=[1] * 15)).status_code
    assert 400 <= status < 500, f"HTTP {status}"


@check("triton", "Binary tensor data: an input with binary_data_size has its values behind the JSON.")
def rest_binary_input(target: Target) -> None:
    same(_values(_binary(target), "OUTPUT0"), SUM, "OUTPUT0")


@check("triton", "Binary tensor data: an output with binary_data true is given behind the JSON.")
def rest_binary_output(target: Target) -> None:
    answer = _binary(target, outputs=[{"name": "OUTPUT0", "parameters": {"binary_data": True}}])
    same(answer.status_code, 200, "HTTP status")
    length = answer.headers.get(HEADER_LENGTH)
    assert length, f"no {HEADER_LENGTH}"
    told = json.loads(answer.content[: int(length)])["outputs"][0]
    same(told["parameters"]["binary_data_size"], 64, "binary_data_size")
    same(np.frombuffer(answer.content[int(length) :], "<i4").tolist(), SUM, "OUTPUT0")


def _binary(target: Target, **fields: Any) -> httpx.Response:
    told = [
        {"name": name, "datatype": "INT32", "shape": [1, 16], "parameters": {"binary_data_size": 64}}
        for name in ("INPUT0", "INPUT1")
    ]
    head = json.dumps({"inputs": told, **fields}).encode()
    headers = {HEADER_LENGTH: str(len(head)), "Content-Type": "application/octet-stream"}
    content = head + LEFT.tobytes() + RIGHT.tobytes()
    return target.post("v2/models/{model}/infer", content=content, headers=headers)
