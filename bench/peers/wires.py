"""How a client speaks to each kind of peer: one connection, one request under way, bytes in and bytes out.

Requests are made before the clock starts. What a request costs the client is the socket and the protocol.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from siftfunnel.bench.halves import BareModel
from siftfunnel.bench.peers.http import HEADERS, HttpConnection, http_request
from siftfunnel.cloud_server.oip import SERVICE as OPEN_INFERENCE
from siftfunnel.cloud_server.service import SERVICE
from siftfunnel.edge_client.address import ServerAddress
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.call_metadata import BUNDLE_KEY
from siftfunnel.shared.ports import STRAIGHT, Endpoint
from siftfunnel.shared.rpc import open_inference_pb2 as oip
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.wire import codec_by_name, make_codecs

Ask = Callable[[bytes], Awaitable[bytes]]
"""One request, its reply."""

_ATOL = 1e-3
_READY_TIMEOUT_S = 5.0
# without it all channels of a process to one address share a connection
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1), STRAIGHT)
_FLOATS = np.dtype("<f4")


@asynccontextmanager
async def own_channel(address: str) -> AsyncIterator[Any]:
    """A gRPC channel with a connection of its own."""
    import grpc

    async with grpc.aio.insecure_channel(address, options=_OWN_CONNECTION) as channel:
        yield channel


@asynccontextmanager
async def open_stream(
    address: str, digest: str, method: str = "Stream", token: str | None = None
) -> AsyncIterator[Any]:
    """A stream of our service for a bundle, over a connection of its own; cancelled afterwards."""
    metadata = ServerAddress(address, token=token).metadata
    async with own_channel(address) as channel:
        call = channel.stream_stream(f"/{SERVICE}/{method}")(metadata=((BUNDLE_KEY, digest), *metadata))
        try:
            yield call
        finally:
            call.cancel()


def _ask_once(address: str, path: str, request: bytes) -> bytes:
    """One call of a method on a channel of its own, waited for."""
    import grpc

    with grpc.insecure_channel(address, options=(STRAIGHT,)) as channel:
        return bytes(channel.unary_unary(path)(request, timeout=_READY_TIMEOUT_S))


class WrongAnswerError(RuntimeError):
    """A peer that answers with an error, or with something that is no answer."""


class Wire(Protocol):
    """A protocol, from the client's side."""

    @property
    def title(self) -> str:
        """For tables."""

    def ready(self, address: str, bundle: Bundle) -> bool:
        """Whether the peer would answer now; any error means no."""

    def encode(self, bundle: Bundle, feature_CHW: NDArray[np.float32]) -> bytes:
        """A request with one frame."""

    def received(self, bundle: Bundle, feature_CHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """The tensor that the peer sees, after whatever the encoding loses."""

    def agrees(self, reply: bytes, logits_K: NDArray[np.float32]) -> bool:
        """Whether a reply is what the model says."""

    def connected(self, address: str, bundle: Bundle) -> Any:
        """A context with an `Ask` over a connection of its own."""


class _Exact:
    """Requests carry the float32 tensor, replies the float32 logits."""

    def received(self, bundle: Bundle, feature_CHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """The tensor that the peer sees."""
        return feature_CHW

    def encode(self, bundle: Bundle, feature_CHW: NDArray[np.float32]) -> bytes:
        """A request with one frame."""
        return feature_CHW.astype(_FLOATS, copy=False).tobytes()

    def logits(self, reply: bytes) -> NDArray[np.float32]:
        """Logits [K] of one frame.

        Raises:
            WrongAnswerError: not whole float32 values.
        """
        if not reply or len(reply) % _FLOATS.itemsize:
            raise WrongAnswerError(f"a reply of {len(reply)} bytes is not a float32 tensor")
        return np.frombuffer(reply, _FLOATS)

    def agrees(self, reply: bytes, logits_K: NDArray[np.float32]) -> bool:
        """Whether a reply is what the model says."""
        made = self.logits(reply)
        return made.shape == logits_K.shape and bool(np.allclose(made, logits_K, atol=_ATOL))


@dataclass(frozen=True)
class GrpcBytes(_Exact):
    """A gRPC method that takes and gives tensors as bytes."""

    method: str
    title: str = "gRPC, tensor bytes"

    def ready(self, address: str, bundle: Bundle) -> bool:
        """Whether it would answer now."""
        return bool(_ask_once(address, self.method, self.encode(bundle, _no_feature(bundle))))

    @asynccontextmanager
    async def connected(self, address: str, bundle: Bundle) -> AsyncIterator[Ask]:
        """A connection of its own."""
        async with own_channel(address) as channel:
            yield channel.unary_unary(self.method)


@dataclass(frozen=True)
class OpenInferenceWire(_Exact):
    """The Open Inference Protocol over gRPC, tensors in ``raw_input_contents``."""

    title: str = "Open Inference Protocol over gRPC, raw tensors"

    def ready(self, address: str, bundle: Bundle) -> bool:
        """Whether it would answer now."""
        asked = oip.ModelReadyRequest(name=bundle.name).SerializeToString()
        reply = _ask_once(address, f"/{OPEN_INFERENCE}/ModelReady", asked)
        return bool(oip.ModelReadyResponse.FromString(reply).ready)

    def encode(self, bundle: Bundle, feature_CHW: NDArray[np.float32]) -> bytes:
        """A request with one frame."""
        tensor = oip.ModelInferRequest.InferInputTensor(
            name="feature", datatype="FP32", shape=(1, *feature_CHW.shape)
        )
        request = oip.ModelInferRequest(
            model_name=bundle.name, inputs=[tensor], raw_input_contents=[super().encode(bundle, feature_CHW)]
        )
        return bytes(request.SerializeToString())

    def logits(self, reply: bytes) -> NDArray[np.float32]:
        """Logits [K] of one frame."""
        response = oip.ModelInferResponse.FromString(reply)
        if response.raw_output_contents:
            return super().logits(response.raw_output_contents[0])
        return np.asarray(response.outputs[0].contents.fp32_contents, _FLOATS)

    @asynccontextmanager
    async def connected(self, address: str, bundle: Bundle) -> AsyncIterator[Ask]:
        """A connection of its own."""
        async with own_channel(address) as channel:
            yield channel.unary_unary(f"/{OPEN_INFERENCE}/ModelInfer")


@dataclass(frozen=True)
class HttpBytes(_Exact):
    """HTTP/1.1 over a connection that stays open, tensors as bodies."""

    path: str
    title: str = "HTTP/1.1, tensor bytes"

    def ready(self, address: str, bundle: Bundle) -> bool:
        """Whether it would answer now."""
        server = Endpoint.parse(address)
        with closing(HTTPConnection(server.host, server.port, timeout=_READY_TIMEOUT_S)) as connection:
            connection.request("POST", self.path, super().encode(bundle, _no_feature(bundle)), HEADERS)
            return connection.getresponse().status == HTTPStatus.OK

    def encode(self, bundle: Bundle, feature_CHW: NDArray[np.float32]) -> bytes:
        """A request with one frame."""
        return http_request(self.path, super().encode(bundle, feature_CHW))

    @asynccontextmanager
    async def connected(self, address: str, bundle: Bundle) -> AsyncIterator[Ask]:
        """A connection of its own."""
        connection = await HttpConnection.open(address)
        try:
            yield connection.ask
        finally:
            connection.close()


@dataclass(frozen=True)
class SplitInferenceWire:
    """Ours: one stream per client, frames in one of the bundle's codecs."""

    codec: str

    @property
    def title(self) -> str:
        """For tables."""
        return f"gRPC stream, codec {self.codec}"

    def ready(self, address: str, bundle: Bundle) -> bool:
        """Whether it would answer now."""
        reply = _ask_once(address, f"/{SERVICE}/Describe", pb.DescribeRequest().SerializeToString())
        return bool(pb.DescribeReply.FromString(reply).bundles)

    def received(self, bundle: Bundle, feature_CHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """The tensor that the peer sees."""
        codec = codec_by_name(make_codecs(bundle.manifest, bundle.digest), self.codec)
        return codec.decode(codec.encode(feature_CHW))

    def encode(self, bundle: Bundle, feature_CHW: NDArray[np.float32]) -> bytes:
        """A request with one frame."""
        codec = codec_by_name(make_codecs(bundle.manifest, bundle.digest), self.codec)
        frame = pb.Frame(sequence=0, codec=codec.index, payload=codec.encode(feature_CHW))
        return bytes(frame.SerializeToString())

    def agrees(self, reply: bytes, logits_K: NDArray[np.float32]) -> bool:
        """Whether a reply is what the model says."""
        prediction = pb.Reply.FromString(reply).prediction
        if not prediction.class_index or prediction.class_index[0] >= logits_K.size:
            return False
        powers = np.exp(logits_K - logits_K.max())
        scores = powers / powers.sum()
        named = float(scores[prediction.class_index[0]])
        return bool(np.allclose((prediction.score[0], named), scores.max(), atol=_ATOL))

    @asynccontextmanager
    async def connected(self, address: str, bundle: Bundle) -> AsyncIterator[Ask]:
        """A connection of its own."""
        import grpc

        async with open_stream(address, bundle.digest) as call:

            async def ask(frame: bytes) -> bytes:
                await call.write(frame)
                reply = await call.read()
                if reply is grpc.aio.EOF:
                    raise WrongAnswerError(f"the stream ended: {await call.details()}")
                if not pb.Reply.FromString(reply).HasField("prediction"):
                    raise WrongAnswerError(f"not a prediction: {pb.Reply.FromString(reply).error.message}")
                return bytes(reply)

            yield ask


def _no_feature(bundle: Bundle) -> NDArray[np.float32]:
    return np.zeros(bundle.manifest.feature.shape, np.float32)


def expected_logits(
    wire: Wire, bundle: Bundle, features_NCHW: NDArray[np.float32], model: BareModel
) -> list[NDArray[np.float32]]:
    """What ONNX Runtime makes of the features as the peer receives them, logits [K] each."""
    seen: Sequence[NDArray[np.float32]] = [wire.received(bundle, feature) for feature in features_NCHW]
    return [model.logits(feature[np.newaxis])[0] for feature in seen]
