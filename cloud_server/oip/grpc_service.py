"""`inference.GRPCInferenceService`: the protocol's messages to requests and back."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError, Message

from siftfunnel.cloud_server.callers import Caller
from siftfunnel.cloud_server.lane import Lane
from siftfunnel.cloud_server.oip import SERVICE
from siftfunnel.cloud_server.oip.core import OpenInference
from siftfunnel.cloud_server.oip.datatypes import BYTES, DATATYPES, Values, from_contents, from_raw, to_raw
from siftfunnel.cloud_server.oip.requests import (
    Given,
    InferRequest,
    InferResponse,
    RequestError,
    Wanted,
    invalid,
)
from siftfunnel.cloud_server.session import DRAINING
from siftfunnel.shared.access import Right
from siftfunnel.shared.rpc import open_inference_pb2 as oip

_FINAL = "triton_final_response"
_RIGHTS = {
    **dict.fromkeys(
        ("ServerMetadata", "ModelMetadata", "ModelConfig", "ModelStatistics", "RepositoryIndex"),
        Right.DESCRIBE,
    ),
    **dict.fromkeys(("RepositoryModelLoad", "RepositoryModelUnload"), Right.ADMINISTER),
}
"""What methods need beside those of inference; probes of health need nothing."""
_AHEAD = 16
"""Requests of one stream that are under way at once; its answers come in order."""


class OpenInferenceService:
    """Handlers of the gRPC service.

    Args:
        core: answers.
    """

    def __init__(self, core: OpenInference) -> None:
        self._core = core

    def handler(self) -> grpc.GenericRpcHandler:
        """For `server.add_generic_rpc_handlers`; other methods are answered with UNIMPLEMENTED."""
        core = self._core
        told: dict[str, tuple[Any, Callable[[Any], Awaitable[Message]]]] = {
            "ServerLive": (oip.ServerLiveRequest, _said(lambda _: oip.ServerLiveResponse(live=True))),
            "ServerReady": (
                oip.ServerReadyRequest,
                _said(lambda _: oip.ServerReadyResponse(ready=core.is_ready())),
            ),
            "ModelReady": (
                oip.ModelReadyRequest,
                _said(lambda asked: oip.ModelReadyResponse(ready=core.ready(asked.name, asked.version))),
            ),
            "ServerMetadata": (
                oip.ServerMetadataRequest,
                _said(lambda _: ParseDict(core.server(), oip.ServerMetadataResponse())),
            ),
            "ModelMetadata": (
                oip.ModelMetadataRequest,
                _said(
                    lambda asked: ParseDict(
                        core.metadata(asked.name, asked.version), oip.ModelMetadataResponse()
                    )
                ),
            ),
            "ModelConfig": (
                oip.ModelConfigRequest,
                _said(
                    lambda asked: ParseDict(
                        {"config": core.config(asked.name, asked.version)}, oip.ModelConfigResponse()
                    )
                ),
            ),
            "ModelStatistics": (
                oip.ModelStatisticsRequest,
                _said(
                    lambda asked: ParseDict(
                        core.statistics(asked.name, asked.version), oip.ModelStatisticsResponse()
                    )
                ),
            ),
            "RepositoryIndex": (oip.RepositoryIndexRequest, self._index),
            "RepositoryModelLoad": (oip.RepositoryModelLoadRequest, self._load),
            "RepositoryModelUnload": (oip.RepositoryModelUnloadRequest, self._unload),
        }
        methods = {
            name: grpc.unary_unary_rpc_method_handler(partial(self._told, kind, answer, _RIGHTS.get(name)))
            for name, (kind, answer) in told.items()
        }
        methods["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self.infer)
        methods["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self.stream)
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def infer(self, message: bytes, context: Any) -> bytes:
        """ModelInfer."""
        caller = await self._enter(context, Right.INFER)
        kind = oip.ModelInferRequest
        return await self._tell(kind, lambda request: self.answer(request, caller), message, context)

    async def answer(self, request: oip.ModelInferRequest, caller: Caller) -> oip.ModelInferResponse:
        """One request's answer; raises RequestError."""
        raw = bool(request.raw_input_contents)
        return as_message(await self._core.infer(as_request(request), caller), raw)

    async def stream(self, unused_requests: object, context: Any) -> None:
        """ModelStreamInfer: an error is told in its answer, and the stream goes on."""
        stream = _Stream(self, context, await self._enter(context, Right.INFER))
        with self._core.service.streaming(stream):
            await stream.run()

    async def _told(
        self,
        kind: Any,
        answer: Callable[[Any], Awaitable[Message]],
        right: Right | None,
        message: bytes,
        context: Any,
    ) -> bytes:
        await self._enter(context, right)
        return await self._tell(kind, answer, message, context)

    async def _tell(
        self, kind: Any, answer: Callable[[Any], Awaitable[Message]], message: bytes, context: Any
    ) -> bytes:
        try:
            return (await answer(_parse(kind, message))).SerializeToString()
        except RequestError as error:
            await context.abort(error.status, error.message)
            raise AssertionError("abort does not return") from error

    async def _enter(self, context: Any, right: Right | None) -> Caller:
        try:
            return self._core.enter(context, right)
        except RequestError as refused:
            await context.abort(refused.status, refused.message)
            raise AssertionError("abort does not return") from refused

    async def _index(self, asked: oip.RepositoryIndexRequest) -> Message:
        return ParseDict({"models": await self._core.index(asked.ready)}, oip.RepositoryIndexResponse())

    async def _load(self, asked: oip.RepositoryModelLoadRequest) -> Message:
        # parameters are a field that our message does not have
        sent_more = asked.ByteSize() > _known_bytes(asked)
        await self._core.load(asked.model_name, parameters=sent_more)
        return oip.RepositoryModelLoadResponse()

    async def _unload(self, asked: oip.RepositoryModelUnloadRequest) -> Message:
        await self._core.unload(asked.model_name)
        return oip.RepositoryModelUnloadResponse()


class _Stream:
    """One ModelStreamInfer: requests are taken ahead and answered in order; an `OpenStream`."""

    lane: Lane | None = None
    unanswered = 0
    """The service counts the frames themselves."""

    def __init__(self, service: OpenInferenceService, context: Any, caller: Caller) -> None:
        self.caller = caller
        self._service, self._context = service, context
        self._loop = asyncio.get_running_loop()
        self._pending: deque[asyncio.Task[oip.ModelStreamInferResponse]] = deque()
        self._room, self._work = asyncio.Semaphore(_AHEAD), asyncio.Event()
        self._ends: asyncio.Future[str] = self._loop.create_future()
        self._idle_since_s = self._loop.time()

    @property
    def idle_s(self) -> float:
        """See `OpenStream`."""
        return 0.0 if self._pending or self._ends.done() else self._loop.time() - self._idle_since_s

    @property
    def unread(self) -> int:
        """See `OpenStream`."""
        return sum(task.done() for task in self._pending)

    def drain(self, why: str = DRAINING) -> None:
        """See `OpenStream`."""
        if not self._ends.done():
            self._ends.set_result(why)

    async def run(self) -> None:
        """Serve until the client is done or the stream has to end."""
        reader = self._loop.create_task(self._read())
        try:
            while self._pending or not reader.done():
                if not self._pending:
                    self._work.clear()
                    waker = self._loop.create_task(self._work.wait())
                    await asyncio.wait({waker, reader}, return_when=asyncio.FIRST_COMPLETED)
                    waker.cancel()
                    continue
                await self._context.write((await self._pending[0]).SerializeToString())
                self._pending.popleft()
                self._room.release()
                self._idle_since_s = self._loop.time()
            why = await reader
        finally:
            for task in (reader, *self._pending):
                task.cancel()
            await asyncio.gather(reader, *self._pending, return_exceptions=True)
        if why is not None:
            await self._context.abort(grpc.StatusCode.UNAVAILABLE, why)

    async def _read(self) -> str | None:
        """Take requests; why it stopped, or None where the client is done."""
        while True:
            await self._room.acquire()
            read = self._loop.create_task(self._context.read())
            await asyncio.wait({read, self._ends}, return_when=asyncio.FIRST_COMPLETED)
            if not read.done():
                read.cancel()
                return self._ends.result()
            if (message := await read) is grpc.aio.EOF:
                return None
            self._pending.append(self._loop.create_task(self._answer(message)))
            self._work.set()

    async def _answer(self, message: bytes) -> oip.ModelStreamInferResponse:
        request = oip.ModelInferRequest()
        try:
            request = _parse(oip.ModelInferRequest, message)
            response = await self._service.answer(request, self.caller)
        except RequestError as error:
            failed = oip.ModelInferResponse(model_name=request.model_name, id=request.id)
            return oip.ModelStreamInferResponse(error_message=error.message, infer_response=failed)
        response.parameters[_FINAL].bool_param = True
        return oip.ModelStreamInferResponse(infer_response=response)


def as_request(message: oip.ModelInferRequest) -> InferRequest:
    """A message as a request; raises RequestError where raw and typed contents are mixed up."""
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise invalid(
            f"expected raw_input_contents for {len(message.inputs)} inputs of model '{message.model_name}', "
            f"got {len(raw)}"
        )
    inputs = []
    for place, tensor in enumerate(message.inputs):
        if raw and tensor.HasField("contents"):
            raise invalid(
                "contents field must not be specified when using raw_input_contents for "
                f"'{tensor.name}' for model '{message.model_name}'"
            )
        read = partial(from_raw, raw[place]) if raw else partial(_typed, tensor.contents)
        shape = tuple(tensor.shape) or (0,)
        inputs.append(Given(tensor.name, tensor.datatype, shape, _plain(tensor.parameters), read))
    wanted = [Wanted(each.name, _plain(each.parameters)) for each in message.outputs]
    parameters = _plain(message.parameters)
    return InferRequest(message.model_name, message.model_version, message.id, inputs, wanted, parameters)


def as_message(response: InferResponse, raw: bool) -> oip.ModelInferResponse:
    """A response as a message; raw is answered raw, and so is what has no typed contents."""
    asked = response.request
    message = oip.ModelInferResponse(model_name=asked.model, model_version=response.version, id=asked.id)
    for name, value in response.parameters.items():
        message.parameters[name].string_param = value
    raw = raw or any(_field(each.datatype) is None for each in response.outputs)
    for each in response.outputs:
        output = message.outputs.add(name=each.name, datatype=each.datatype, shape=each.shape)
        if raw:
            message.raw_output_contents.append(to_raw(each.values))
        else:
            values = each.values if isinstance(each.values, list) else each.values.ravel().tolist()
            getattr(output.contents, _field(each.datatype) or "").extend(values)
    return message


def _typed(contents: oip.InferTensorContents, datatype: str, count: int) -> Values:
    wanted = _field(datatype)
    others = [field.name for field, _ in contents.ListFields() if field.name != wanted]
    if wanted is None or others:
        raise ValueError(f"{datatype} is sent in {wanted or 'raw_input_contents'}, not {', '.join(others)}")
    return from_contents(getattr(contents, wanted), datatype, count)


def _field(datatype: str) -> str | None:
    return "bytes_contents" if datatype == BYTES else DATATYPES[datatype][1]


def _plain(parameters: Mapping[str, oip.InferParameter]) -> dict[str, Any]:
    return {
        name: getattr(value, chosen) if (chosen := value.WhichOneof("parameter_choice")) else None
        for name, value in parameters.items()
    }


def _parse(kind: Any, message: bytes) -> Any:
    try:
        return kind.FromString(message)
    except DecodeError as error:
        raise invalid(f"the message is no {kind.DESCRIPTOR.name}") from error


def _known_bytes(message: Message) -> int:
    copy = type(message)()
    copy.CopyFrom(message)
    copy.DiscardUnknownFields()
    return copy.ByteSize()


def _said(answer: Callable[[Any], Message]) -> Callable[[Any], Awaitable[Message]]:
    async def say(asked: Any) -> Message:
        return answer(asked)

    return say
