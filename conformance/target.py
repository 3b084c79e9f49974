"""A server under test, and the two ways of asking it."""

from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

PATIENCE_S = 10.0
LEFT, RIGHT = np.arange(16, dtype="<i4")[None], np.full((1, 16), 3, "<i4")
HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Target:
    """Where a server listens.

    Attributes:
        grpc: HOST:PORT.
        http: HOST:PORT.
        model: the example's name there.
    """

    grpc: str
    http: str
    model: str = "simple"

    def call(self, method: str, request: Any) -> Any:
        """The response to a unary request; raises grpc.RpcError."""
        with grpc.insecure_channel(self.grpc) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            return getattr(stub, method)(request, timeout=PATIENCE_S)

    def stream(self, *requests: Any) -> list[Any]:
        """The responses of a stream; raises grpc.RpcError."""
        with grpc.insecure_channel(self.grpc) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            return list(stub.ModelStreamInfer(iter(requests), timeout=PATIENCE_S))

    def status(self, method: str, request: Any) -> str:
        """Name of the status with which a request ends."""
        try:
            self.call(method, request)
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"

    def get(self, path: str) -> httpx.Response:
        """An answer over HTTP; {model} in the path is the example's name."""
        return httpx.get(self._url(path), timeout=PATIENCE_S, trust_env=False)

    def post(self, path: str, **how: Any) -> httpx.Response:
        """The same with a body."""
        return httpx.post(self._url(path), timeout=PATIENCE_S, trust_env=False, **how)

    def infer(self, **changes: Any) -> httpx.Response:
        """The example's request in JSON, with some of its fields changed."""
        return self.post("v2/models/{model}/infer", json={"inputs": inputs(), **changes})

    def _url(self, path: str) -> str:
        return f"http://{self.http}/{path.format(model=self.model)}"

    def request(self, raw: bool = True, **fields: Any) -> Any:
        """The example's request for gRPC."""
        request = pb.ModelInferRequest(**{"model_name": self.model, **fields})
        for name, values in (("INPUT0", LEFT), ("INPUT1", RIGHT)):
            tensor = request.inputs.add(name=name, datatype="INT32", shape=values.shape)
            if raw:
                request.raw_input_contents.append(values.tobytes())
            else:
                tensor.contents.int_contents.extend(values.ravel().tolist())
        return request


def inputs(**first: Any) -> list[dict[str, Any]]:
    """The example's inputs in JSON, the first one changed; None leaves a field out."""
    made = [
        {"name": name, "datatype": "INT32", "shape": [1, 16], "data": values.ravel().tolist()}
        for name, values in (("INPUT0", LEFT), ("INPUT1", RIGHT))
    ]
    made[0] = {key: value for key, value in {**made[0], **first}.items() if value is not None}
    return made
