"""The protocol over HTTP: JSON, and tensors behind it as bytes (the binary tensor data extension).

It has an address of its own: who may ask for inference need not see what the admin side tells. Requests are
answered on the event loop of the streams, as calls that came over gRPC are.
"""

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from siftfunnel.cloud_server.callers import Caller
from siftfunnel.cloud_server.http_server import HttpCall, error_response
from siftfunnel.cloud_server.oip.core import OpenInference
from siftfunnel.cloud_server.oip.datatypes import Values, flatten, from_contents, from_raw, to_raw
from siftfunnel.cloud_server.oip.requests import (
    Given,
    InferRequest,
    InferResponse,
    Output,
    RequestError,
    Status,
    Wanted,
    invalid,
)
from siftfunnel.shared.access import Right

HEADER_LENGTH = "Inference-Header-Content-Length"
BINARY_SIZE, BINARY, ALL_BINARY = "binary_data_size", "binary_data", "binary_data_output"
_TEXT_OF_BYTES = 16
"""JSON takes so many times what the values would as bytes, at most."""
_WBITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}

Result = TypeVar("Result")


def make_app(
    core: OpenInference, loop: asyncio.AbstractEventLoop, most_bytes: int, compression: bool
) -> FastAPI:
    """The application.

    Args:
        core: answers, on its own loop.
        loop: that loop.
        most_bytes: tensors that one request may hold as bytes.
        compression: whether bodies may be compressed.
    """
    app = FastAPI(title="Open Inference Protocol", docs_url=None, redoc_url=None)
    rest = _Rest(core, loop, most_bytes, compression)
    anybody, describe, administer = None, Right.DESCRIBE, Right.ADMINISTER
    for path, methods, answer, right in (
        ("/v2", ["GET"], rest.server, describe),
        ("/v2/health/live", ["GET"], rest.live, anybody),
        ("/v2/health/ready", ["GET"], rest.ready, anybody),
        ("/v2/models/stats", ["GET"], rest.statistics, describe),
        ("/v2/repository/index", ["POST"], rest.index, describe),
        ("/v2/repository/models/{model}/load", ["POST"], rest.load, administer),
        ("/v2/repository/models/{model}/unload", ["POST"], rest.unload, administer),
        *(
            (f"/v2/models/{{model}}{version}{what}", [method], answer, right)
            for version in ("", "/versions/{version}")
            for what, method, answer, right in (
                ("", "GET", rest.metadata, describe),
                ("/ready", "GET", rest.model_ready, anybody),
                ("/config", "GET", rest.config, describe),
                ("/stats", "GET", rest.statistics, describe),
                ("/infer", "POST", rest.infer, Right.INFER),
            )
        ),
    ):
        app.add_api_route(path, partial(rest.guarded, answer, right), methods=methods, name=path)
    return app


class _Rest:
    def __init__(
        self, core: OpenInference, loop: asyncio.AbstractEventLoop, most_bytes: int, compression: bool
    ) -> None:
        self._core, self._loop = core, loop
        self._most_bytes, self._compression = most_bytes, compression

    async def guarded(
        self,
        answer: Callable[[Request, Caller], Awaitable[Response]],
        right: Right | None,
        request: Request,
    ) -> Response:
        """Let a call in, answer it, and tell an error as JSON does."""
        call = HttpCall(request)
        try:
            return await answer(request, await self._there(_soon(self._core.enter, call, right)))
        except RequestError as error:
            return error_response(error.status, error.message)
        finally:
            self._loop.call_soon_threadsafe(call.close)

    async def server(self, request: Request, caller: Caller) -> Response:
        return JSONResponse(self._core.server())

    async def live(self, request: Request, caller: Caller) -> Response:
        return JSONResponse({"live": True})

    async def ready(self, request: Request, caller: Caller) -> Response:
        # the specification's object tells "live" here, KServe's server and client "ready"
        ready = self._core.is_ready()
        return JSONResponse({"live": True, "ready": ready}, 200 if ready else 503)

    async def model_ready(self, request: Request, caller: Caller) -> Response:
        name, version = _named(request)
        ready = self._core.ready(name, version)
        # as Triton says of a model that is not there
        return JSONResponse({"name": name, "ready": ready}, 200 if ready else 400)

    async def metadata(self, request: Request, caller: Caller) -> Response:
        return JSONResponse(self._core.metadata(*_named(request)))

    async def config(self, request: Request, caller: Caller) -> Response:
        return JSONResponse(self._core.config(*_named(request)))

    async def statistics(self, request: Request, caller: Caller) -> Response:
        return JSONResponse(self._core.statistics(*_named(request)))

    async def index(self, request: Request, caller: Caller) -> Response:
        asked = _object(await self._body(request) or b"{}")
        return JSONResponse(await self._there(self._core.index(asked.get("ready") is True)))

    async def load(self, request: Request, caller: Caller) -> Response:
        asked = _object(await self._body(request) or b"{}")
        await self._there(self._core.load(_named(request)[0], bool(asked.get("parameters"))))
        return Response()

    async def unload(self, request: Request, caller: Caller) -> Response:
        await self._body(request)
        await self._there(self._core.unload(_named(request)[0]))
        return Response()

    async def infer(self, request: Request, caller: Caller) -> Response:
        body = await self._body(request)
        length = _header_length(request.headers.get(HEADER_LENGTH), len(body))
        asked = _object(body[:length])
        read = read_request(asked, body[length:], *_named(request))
        return write_response(await self._there(self._core.infer(read, caller)), asked)

    async def _there(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for work on the streams' loop; it is cancelled with the request."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _body(self, request: Request) -> bytes:
        encoding = request.headers.get("content-encoding", "identity")
        inflate = None
        if encoding != "identity":
            if not self._compression or encoding not in _WBITS:
                raise RequestError(
                    Status.UNIMPLEMENTED,
                    f"bodies in {encoding[:32]!r} are not taken; the operator allows gzip and deflate with "
                    "--compression",
                )
            inflate = zlib.decompressobj(_WBITS[encoding])
        most, body = _TEXT_OF_BYTES * self._most_bytes, bytearray()
        try:
            async for chunk in request.stream():
                body += inflate.decompress(chunk, most + 1 - len(body)) if inflate else chunk
                if len(body) > most:
                    raise invalid(f"the body is larger than the {most} bytes that this server takes")
        except zlib.error as error:
            raise invalid(f"the body is not {encoding}: {error}") from error
        return bytes(body)


def read_request(asked: Mapping[str, Any], binary: bytes, model: str, version: str) -> InferRequest:
    """JSON, and the bytes behind it, as a request.

    Raises:
        RequestError: something is missing or of another type, or the bytes are not those that are told.
    """
    inputs, at = [], 0
    for told in _list(asked, "inputs"):
        parameters = _object_in(told, "parameters")
        if (size := parameters.get(BINARY_SIZE)) is not None:
            if type(size) is not int or not 0 <= size <= len(binary) - at:
                raise invalid(
                    f"{BINARY_SIZE} {str(size)[:32]}: {len(binary) - at} bytes are left in the body"
                )
            if "data" in told:
                raise invalid(f"input with both data and {BINARY_SIZE}")
            read = partial(from_raw, binary[at : at + size])
            at += size
        else:
            read = partial(_from_json, told.get("data"))
        shape = told.get("shape")
        if not isinstance(shape, list) or not shape or not all(type(axis) is int for axis in shape):
            raise invalid("an input needs a shape, a list of whole numbers")
        inputs.append(Given(_text(told, "name"), _text(told, "datatype"), tuple(shape), parameters, read))
    if at != len(binary):
        raise invalid(f"{len(binary) - at} bytes behind the JSON belong to no input")
    wanted = [
        Wanted(_text(told, "name"), _object_in(told, "parameters")) for told in _list(asked, "outputs", ())
    ]
    identity = asked.get("id", "")
    if not isinstance(identity, str):
        raise invalid("id must be a string")
    return InferRequest(model, version, identity, inputs, wanted, _object_in(asked, "parameters"))


def write_response(response: InferResponse, asked: Mapping[str, Any]) -> Response:
    """A response: outputs as bytes behind the JSON where the request asks for that, else in it."""
    everywhere = bool(_object_in(asked, "parameters").get(ALL_BINARY, False))
    as_bytes = {each.name: bool(each.parameters.get(BINARY, everywhere)) for each in response.request.outputs}
    told, binary = [], []
    for output in response.outputs:
        entry: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": list(output.shape),
        }
        if as_bytes.get(output.name, everywhere):
            binary.append(to_raw(output.values))
            entry["parameters"] = {BINARY_SIZE: len(binary[-1])}
        else:
            entry["data"] = _flat(output)
        told.append(entry)
    answer: dict[str, Any] = {
        "model_name": response.request.model,
        "model_version": response.version,
        "outputs": told,
    }
    if response.request.id:
        answer["id"] = response.request.id
    if response.parameters:
        answer["parameters"] = dict(response.parameters)
    text = json.dumps(answer).encode()
    if not binary:
        return Response(text, media_type="application/json")
    headers = {HEADER_LENGTH: str(len(text))}
    return Response(b"".join([text, *binary]), media_type="application/octet-stream", headers=headers)


def _from_json(data: Any, datatype: str, count: int) -> Values:
    return from_contents(flatten(data, count), datatype, count)


def _flat(output: Output) -> list[Any]:
    if isinstance(output.values, list):
        return [value.decode(errors="replace") for value in output.values]
    flat: list[Any] = output.values.ravel().tolist()
    return flat


def _header_length(told: str | None, most: int) -> int:
    if told is None:
        return most
    if not (told.isascii() and told.isdigit() and len(told) < 12) or int(told) > most:
        raise invalid(f"{HEADER_LENGTH} {told[:32]!r} is no length within a body of {most} bytes")
    return int(told)


def _object(text: bytes) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(f"failed to parse the request JSON buffer: {str(error)[:64]}") from error
    if not isinstance(read, dict):
        raise invalid("the request is no JSON object")
    return read


def _object_in(told: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = told.get(key, {})
    if not isinstance(value, dict):
        raise invalid(f"{key} must be an object")
    return value


def _list(told: Mapping[str, Any], key: str, default: Any = None) -> list[dict[str, Any]]:
    value = told.get(key, default)
    if not isinstance(value, list | tuple) or not all(isinstance(each, dict) for each in value):
        raise invalid(f"the request needs {key}, a list of objects")
    return list(value)


def _text(told: Mapping[str, Any], key: str) -> str:
    value = told.get(key)
    if not isinstance(value, str):
        raise invalid(f"a tensor needs a {key}")
    return value


def _named(request: Request) -> tuple[str, str]:
    return request.path_params.get("model", ""), request.path_params.get("version", "")


async def _soon(work: Callable[..., Result], *arguments: Any) -> Result:
    return work(*arguments)
