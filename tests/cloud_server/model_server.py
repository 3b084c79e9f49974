"""A model server of the Open Inference Protocol in this process: real sockets, a real model."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import numpy as np

from siftfunnel.cloud_server.engine import Engine
from siftfunnel.shared.manifest import Manifest
from siftfunnel.shared.rpc import open_inference_pb2 as oip
from siftfunnel.shared.tensors import pack_arrays

Tensor = oip.ModelMetadataResponse.TensorMetadata
LOGITS = Tensor(name="logits", datatype="FP32")
SERVICE = "inference.GRPCInferenceService"


@dataclass
class ModelServer:
    """What the server says and does; tests change it.

    Attributes:
        engine: Runs the model.
        manifest: Says how several inputs are packed for it; None for one input.
        name: Of the model.
        inputs: As the metadata tells them.
        outputs: Likewise.
        raw: Whether logits are sent raw or as contents.
        refusal: Status to answer inference with instead, and what is said.
        loading: Requests of each kind that are still refused because the model is not loaded.
        edit: Changes a response before it is sent.
    """

    engine: Engine
    manifest: Manifest | None = None
    name: str = "tiny"
    inputs: list[Tensor] = field(default_factory=lambda: [Tensor(name="feature", datatype="FP32")])
    outputs: list[Tensor] = field(default_factory=lambda: [LOGITS])
    raw: bool = True
    refusal: tuple[grpc.StatusCode, str] | None = None
    loading: dict[str, int] = field(default_factory=dict)
    edit: Callable[[oip.ModelInferResponse], None] = lambda response: None
    batches: list[int] = field(default_factory=list)

    def _load(self, kind: str, context: grpc.ServicerContext) -> None:
        if left := self.loading.get(kind, 0):
            self.loading[kind] = left - 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "the model is still loading")

    def metadata(self, request: oip.ModelMetadataRequest, context: grpc.ServicerContext) -> object:
        self._load("metadata", context)
        if request.name != self.name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Model {request.name} not found")
        return oip.ModelMetadataResponse(name=self.name, inputs=self.inputs, outputs=self.outputs)

    def infer(self, request: oip.ModelInferRequest, context: grpc.ServicerContext) -> object:
        self._load("infer", context)
        if self.refusal is not None:
            context.abort(*self.refusal)
        names = [each.name for each in self.inputs] or ["feature"]
        assert [tensor.name for tensor in request.inputs] == names
        arrays = [
            np.frombuffer(data, "<f4").reshape(tuple(tensor.shape))
            for tensor, data in zip(request.inputs, request.raw_input_contents, strict=True)
        ]
        features = arrays[0] if self.manifest is None else pack_arrays(arrays, self.manifest.sent)
        given = [np.asarray(each) for each in self.engine.run(features)]
        self.batches.append(len(features))
        response = oip.ModelInferResponse(model_name=self.name)
        for told, array in zip(self.outputs or [LOGITS], given, strict=True):
            output = response.outputs.add(name=told.name, datatype=told.datatype, shape=array.shape)
            if self.raw:
                response.raw_output_contents.append(array.tobytes())
            else:
                output.contents.fp32_contents.extend(array.ravel().tolist())
        self.edit(response)
        return response

    @contextmanager
    def serving(self, port: int = 0, *, with_metadata: bool = True) -> Iterator[str]:
        """Serve on loopback; gives HOST:PORT."""
        methods = {"ModelInfer": _unary(self.infer, oip.ModelInferRequest, oip.ModelInferResponse)}
        if with_metadata:
            methods["ModelMetadata"] = _unary(
                self.metadata, oip.ModelMetadataRequest, oip.ModelMetadataResponse
            )
        with ThreadPoolExecutor(2) as pool:
            server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
            chosen = server.add_insecure_port(f"127.0.0.1:{port}")
            server.start()
            try:
                yield f"127.0.0.1:{chosen}"
            finally:
                server.stop(0).wait()


def _unary(behaviour: Callable[..., object], request: type, response: type) -> grpc.RpcMethodHandler:
    return grpc.unary_unary_rpc_method_handler(
        behaviour,
        request_deserializer=request.FromString,  # type: ignore[attr-defined]
        response_serializer=response.SerializeToString,  # type: ignore[attr-defined]
    )
