"""The cloud half on another server, over the Open Inference Protocol (KServe's v2) and gRPC.

Ours stays the front: streams, codecs, batches, answers. Each batch goes to the model server as one request.
"""

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from siftfunnel.cloud_server.engine import (
    INPUT,
    OUTPUT,
    EngineError,
    EngineOptions,
    EngineUnavailableError,
    when_ready,
)
from siftfunnel.shared.ports import STRAIGHT
from siftfunnel.shared.rpc import open_inference_pb2 as oip

SERVICE = "inference.GRPCInferenceService"
DATATYPE = "FP32"
_VALUES = np.dtype("<f4")
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class OpenInferenceEngine:
    """A model on a server of the Open Inference Protocol.

    Where the server tells one input and one output, whatever their names, those are used; where it tells
    none, ``feature`` and ``logits``.

    Args:
        model_path: the bundle's own cloud half, for messages; it is not opened.
        options: address, name of the model, patience.

    Raises:
        EngineError: no address, nobody there or no such model after all patience, or one that does not take
            float32 features.
    """

    # one travels or is decoded while the other is computed there
    batches_in_flight = 2

    def __init__(self, model_path: Path, options: EngineOptions) -> None:
        import grpc

        if options.remote is None:
            raise EngineError(
                f"{model_path}: the engine open-inference needs the address of the model server (--remote)"
            )
        self._grpc = grpc
        self._remote, self._name, self._timeout_s = (
            options.remote,
            options.remote_model,
            options.remote_timeout_s,
        )
        limits = [
            STRAIGHT,
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        ]
        self._channel = grpc.insecure_channel(options.remote, options=limits)
        self._infer = self._method("ModelInfer", oip.ModelInferRequest, oip.ModelInferResponse)
        try:
            self._input, self._output = when_ready(self._names, options.start_s)
        except (EngineError, RuntimeError) as error:
            raise EngineError(f"{model_path}: {error}") from error

    def run(self, features_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [N, K].

        Raises:
            EngineUnavailableError: the server cannot be reached, is full, or took longer than its time.
            RuntimeError: it answers with an error, or with something that is not the output.
        """
        request = oip.ModelInferRequest(
            model_name=self._name,
            inputs=[
                oip.ModelInferRequest.InferInputTensor(
                    name=self._input, datatype=DATATYPE, shape=features_NCHW.shape
                )
            ],
            raw_input_contents=[features_NCHW.astype(_VALUES, copy=False).tobytes()],
        )
        try:
            # a server that restarts is waited for; only what was under way when it fell is handed back
            response = self._infer(request, timeout=self._timeout_s, wait_for_ready=True)
        except self._grpc.RpcError as error:
            raise self._as_ours(error) from error
        return self._logits(response)

    def _method(self, name: str, request: type[Any], response: type[Any]) -> Any:
        return self._channel.unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )

    def _as_ours(self, error: Any) -> Exception:
        code, said = error.code(), error.details()
        passing = (
            self._grpc.StatusCode.UNAVAILABLE,
            self._grpc.StatusCode.RESOURCE_EXHAUSTED,
            self._grpc.StatusCode.DEADLINE_EXCEEDED,
            # the server is starting and has not loaded the model yet
            self._grpc.StatusCode.NOT_FOUND,
        )
        message = f"the model server {self._remote} answers {code.name} for model {self._name}: {said}"
        return EngineUnavailableError(message) if code in passing else RuntimeError(message)

    def _names(self) -> tuple[str, str]:
        """Names of input and output, after waiting for the server and asking it for the model."""
        ask = self._method("ModelMetadata", oip.ModelMetadataRequest, oip.ModelMetadataResponse)
        request = oip.ModelMetadataRequest(name=self._name)
        try:
            told = ask(request, timeout=self._timeout_s, wait_for_ready=True)
        except self._grpc.RpcError as error:
            if error.code() == self._grpc.StatusCode.UNIMPLEMENTED:
                return INPUT, OUTPUT
            if error.code() == self._grpc.StatusCode.DEADLINE_EXCEEDED:
                raise EngineUnavailableError(
                    f"no model server answers at {self._remote} within {self._timeout_s:g} s"
                ) from error
            raise self._as_ours(error) from error
        names = []
        for ours, tensors, what in ((INPUT, told.inputs, "input"), (OUTPUT, told.outputs, "output")):
            if len(tensors) > 1 or any(tensor.datatype != DATATYPE for tensor in tensors):
                listed = ", ".join(f"{tensor.name} {tensor.datatype}" for tensor in tensors)
                raise EngineError(
                    f"model {self._name} on {self._remote} needs one {what} of type {DATATYPE}, has {listed}"
                )
            names.append(tensors[0].name if tensors else ours)
        return names[0], names[1]

    def _logits(self, response: oip.ModelInferResponse) -> NDArray[np.float32]:
        places = [place for place, each in enumerate(response.outputs) if each.name == self._output]
        if not places:
            listed = ", ".join(each.name for each in response.outputs) or "none"
            raise RuntimeError(
                f"model {self._name} on {self._remote} gives no output {self._output!r}, but {listed}"
            )
        output = response.outputs[places[0]]
        if response.raw_output_contents:
            values = np.frombuffer(response.raw_output_contents[places[0]], dtype=_VALUES)
        else:
            values = np.asarray(output.contents.fp32_contents, dtype=_VALUES)
        if output.datatype != DATATYPE or values.size != math.prod(output.shape):
            raise RuntimeError(
                f"model {self._name} on {self._remote} gives {values.size} values as {output.datatype} "
                f"{list(output.shape)}; {DATATYPE} is needed"
            )
        return cast("NDArray[np.float32]", values.reshape(tuple(output.shape)))
