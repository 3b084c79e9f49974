"""The cloud half on another server, over the Open Inference Protocol (KServe's v2) and gRPC.

Ours stays the front: streams, codecs, batches, answers. Each batch goes to the model server as one request.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.cloud_server.engine import (
    EngineError,
    EngineOptions,
    EngineUnavailableError,
    ends_of,
    when_ready,
)
from siftfunnel.cloud_server.oip import SERVICE
from siftfunnel.cloud_server.oip.datatypes import DATATYPE_OF, DATATYPES
from siftfunnel.cloud_server.pieces import Outputs, Pieces
from siftfunnel.shared.access import AUTHORIZATION_KEY, bearer, read_token
from siftfunnel.shared.manifest import Manifest
from siftfunnel.shared.ports import STRAIGHT
from siftfunnel.shared.rpc import open_inference_pb2 as oip

DATATYPE = "FP32"

_MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class OpenInferenceEngine:
    """A model on a server of the Open Inference Protocol.

    Inputs and outputs have the manifest's names there. Of one input, or one output, the server's own name
    will do.

    Args:
        model_path: the bundle's own cloud half, for messages; it is not opened.
        manifest: names its inputs and outputs.
        options: address, name of the model, patience.

    Raises:
        EngineError: no address, nobody there or no such model after all patience, or one with other
            inputs and outputs.
    """

    # one travels or is decoded while the other is computed there
    batches_in_flight = 2

    def __init__(self, model_path: Path, manifest: Manifest, options: EngineOptions) -> None:
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
        tls = options.remote_files
        if tls:
            credentials = grpc.ssl_channel_credentials() if tls is True else tls.channel_credentials()
            self._channel = grpc.secure_channel(options.remote, credentials, options=limits)
        else:
            self._channel = grpc.insecure_channel(options.remote, options=limits)
        token = None if options.remote_token_file is None else read_token(options.remote_token_file)
        metadata = () if token is None else ((AUTHORIZATION_KEY, bearer(token)),)
        self._call = {"timeout": options.remote_timeout_s, "metadata": metadata}
        self._manifest, self._pieces = manifest, Pieces(manifest)
        self._infer = self._method("ModelInfer", oip.ModelInferRequest, oip.ModelInferResponse)
        try:
            self._inputs, self._outputs = when_ready(self._names, options.start_s)
        except (EngineError, RuntimeError) as error:
            raise EngineError(f"{model_path}: {error}") from error

    def run(self, features_NCHW: NDArray[np.float32]) -> Outputs:
        """See `Engine`.

        Raises:
            EngineUnavailableError: the server cannot be reached, is full, or took longer than its time.
            RuntimeError: it answers with an error, or with something that is not the outputs.
        """
        return self._pieces.run(features_NCHW, self._compute)

    def _compute(self, tensors: Sequence[NDArray[np.float32]]) -> Sequence[NDArray[np.generic]]:
        request = oip.ModelInferRequest(
            model_name=self._name,
            inputs=[
                oip.ModelInferRequest.InferInputTensor(name=name, datatype=DATATYPE, shape=tensor.shape)
                for name, tensor in zip(self._inputs, tensors, strict=True)
            ],
            raw_input_contents=[tensor.astype("<f4", copy=False).tobytes() for tensor in tensors],
        )
        try:
            # a server that restarts is waited for; only what was under way when it fell is handed back
            response = self._infer(request, wait_for_ready=True, **self._call)
        except self._grpc.RpcError as error:
            raise self._as_ours(error) from error
        types = (DATATYPE_OF[output.dtype] for output in self._manifest.given)
        return [self._read(response, *each) for each in zip(self._outputs, types, strict=True)]

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

    def _names(self) -> tuple[list[str], list[str]]:
        """Names of inputs and outputs, after waiting for the server and asking it for the model."""
        ask = self._method("ModelMetadata", oip.ModelMetadataRequest, oip.ModelMetadataResponse)
        request = oip.ModelMetadataRequest(name=self._name)
        try:
            told = ask(request, wait_for_ready=True, **self._call)
        except self._grpc.RpcError as error:
            if error.code() == self._grpc.StatusCode.UNIMPLEMENTED:
                return ends_of(self._manifest)
            if error.code() == self._grpc.StatusCode.DEADLINE_EXCEEDED:
                raise EngineUnavailableError(
                    f"no model server answers at {self._remote} within {self._timeout_s:g} s"
                ) from error
            raise self._as_ours(error) from error
        where, (inputs, outputs) = f"model {self._name} on {self._remote}", ends_of(self._manifest)
        types = [DATATYPE_OF[output.dtype] for output in self._manifest.given]
        return (
            _their_names(f"{where} needs the inputs", inputs, [DATATYPE] * len(inputs), told.inputs),
            _their_names(f"{where} needs the outputs", outputs, types, told.outputs),
        )

    def _read(self, response: oip.ModelInferResponse, name: str, datatype: str) -> NDArray[np.generic]:
        places = [place for place, each in enumerate(response.outputs) if each.name == name]
        if not places:
            listed = ", ".join(each.name for each in response.outputs) or "none"
            raise RuntimeError(f"model {self._name} on {self._remote} gives no output {name!r}, but {listed}")
        output = response.outputs[places[0]]
        values_type, contents = DATATYPES[datatype]
        if response.raw_output_contents:
            values = np.frombuffer(response.raw_output_contents[places[0]], values_type)
        else:
            values = np.asarray(getattr(output.contents, contents) if contents else (), values_type)
        if output.datatype != datatype or values.size != math.prod(output.shape):
            raise RuntimeError(
                f"model {self._name} on {self._remote} gives {values.size} values as {output.datatype} "
                f"{list(output.shape)}; {datatype} is needed"
            )
        return values.reshape(tuple(output.shape))


def _their_names(
    what: str,
    ours: Sequence[str],
    datatypes: Sequence[str],
    told: Sequence[oip.ModelMetadataResponse.TensorMetadata],
) -> list[str]:
    """The names under which a model server has our tensors; where it tells none, they are ours.

    Raises:
        EngineError: it does not have them all, or some with another type.
    """
    if not told:
        return list(ours)
    theirs = [told[0].name] if len(told) == len(ours) == 1 else list(ours)
    if {each.name: each.datatype for each in told} != dict(zip(theirs, datatypes, strict=True)):
        needed = ", ".join(f"{name} {datatype}" for name, datatype in zip(theirs, datatypes, strict=True))
        listed = ", ".join(f"{each.name} {each.datatype}" for each in told)
        raise EngineError(f"{what} {needed}, has {listed}")
    return theirs
