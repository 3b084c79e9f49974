"""What the protocol calls a model: a bundle's cloud half, or the example `simple`."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from siftfunnel.cloud_server.callers import Caller
from siftfunnel.cloud_server.catalogue import ServedBundle
from siftfunnel.cloud_server.oip.datatypes import BYTES, DATATYPE_OF, TensorSpec
from siftfunnel.cloud_server.oip.requests import (
    InferRequest,
    Output,
    RequestError,
    Status,
    invalid,
    read_inputs,
    wanted_positions,
)
from siftfunnel.cloud_server.service import SplitInferenceService
from siftfunnel.cloud_server.ticket import Wish
from siftfunnel.shared.output_tensors import read_tensors
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tensors import pack_arrays
from siftfunnel.shared.wire import CodecError, SealedCodec, codec_by_name

VERSION = "1"
PAYLOAD = TensorSpec("payload", BYTES, (1,))
"""Instead of a bundle's tensors: what one of its codecs wrote, one value for each frame."""
CODEC = "codec"
"""Parameter of a request or of its payload: the codec's name; the bundle's default where it is left out."""

_EXACT = "fp32"
_MOST_BYTES = 16 * 2**20
"""Of features in one request, unless one frame alone has more."""
_MOST_BUDGET_US = 2**31
_STATUS = {
    pb.FrameError.INVALID_PAYLOAD: Status.INVALID_ARGUMENT,
    pb.FrameError.UNKNOWN_CODEC: Status.INVALID_ARGUMENT,
    pb.FrameError.OUTPUTS_TOO_LARGE: Status.INVALID_ARGUMENT,
    # as Triton says of a queue that is full, and of a request whose time ran out in it
    pb.FrameError.RESOURCE_EXHAUSTED: Status.UNAVAILABLE,
    pb.FrameError.BUDGET_EXCEEDED: Status.UNAVAILABLE,
    pb.FrameError.UNAVAILABLE: Status.UNAVAILABLE,
}


class Answered(dict[str, int]):
    """Microseconds of a request's frames, by where they went: "queue", "input" (decoding), "infer"."""


class Model(Protocol):
    """Something that answers requests.

    Attributes:
        name: of the model.
        platform: what runs it, as the protocol names such things.
        inputs: what metadata tell.
        outputs: likewise.
        most_rows: what the axis of the batch may be.
    """

    @property
    def name(self) -> str:
        """See above."""

    @property
    def platform(self) -> str:
        """See above."""

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """See above."""

    @property
    def outputs(self) -> Sequence[TensorSpec]:
        """See above."""

    @property
    def most_rows(self) -> int:
        """See above."""

    async def infer(self, request: InferRequest, caller: Caller) -> tuple[list[Output], Answered]:
        """Answer a request, or raise RequestError."""

    def config(self) -> dict[str, Any]:
        """What its configuration says beside names, inputs and outputs."""

    def parameters(self) -> Mapping[str, Any]:
        """What every response says."""


class BundleModel:
    """A bundle that is served.

    Args:
        served: the bundle.
        service: takes its frames.
        max_batch_size: of its batches.
        max_output_bytes: of one frame's outputs.
    """

    platform = "onnxruntime_onnx"

    def __init__(
        self, served: ServedBundle, service: SplitInferenceService, max_batch_size: int, max_output_bytes: int
    ) -> None:
        self.name, self._served, self._service = served.label, served, service
        self._manifest = manifest = served.bundle.manifest
        self._max_output_bytes = max_output_bytes
        exact = (codec for codec in served.codecs if codec.name == _EXACT)
        self._exact: SealedCodec | None = next(exact, None)
        self._tensors = [TensorSpec(each.name, "FP32", each.shape) for each in manifest.sent]
        self.inputs = self._tensors if self._exact is not None else [PAYLOAD]
        self.outputs = [
            TensorSpec(
                each.name,
                DATATYPE_OF[each.dtype],
                tuple(-1 if axis is None else axis for axis in each.shape),
            )
            for each in manifest.given
        ]
        self.most_rows = most_rows(served, max_batch_size)

    def config(self) -> dict[str, Any]:
        """See `Model`."""
        codecs = ",".join(codec.name for codec in self._served.codecs)
        said = {
            "digest": self._served.bundle.digest,
            "codecs": codecs,
            "default_codec": self._manifest.default_codec,
        }
        return {
            "max_batch_size": self.most_rows,
            "dynamic_batching": {},
            "input": [
                *({**each.configured(), "optional": True} for each in self._tensors if self._exact),
                {**PAYLOAD.configured(), "optional": True},
            ],
            "parameters": {key: {"string_value": value} for key, value in said.items()},
        }

    def parameters(self) -> Mapping[str, Any]:
        """See `Model`."""
        return {"digest": self._served.bundle.digest}

    async def infer(self, request: InferRequest, caller: Caller) -> tuple[list[Output], Answered]:
        """See `Model`: one frame for each row."""
        positions = wanted_positions(request, self.outputs)
        codec, payloads = self._payloads(request)
        budget_ms = _budget_ms(request)
        frames = [
            pb.Frame(sequence=row, codec=codec.index, payload=payload, budget_ms=budget_ms)
            for row, payload in enumerate(payloads)
        ]
        replies = await self._service.answer(caller, self._served, frames, Wish(1, positions))
        rows = [self._arrays(reply, positions) for reply in replies]
        times = [reply.prediction.timings for reply in replies]
        spent = Answered(
            queue=sum(each.queue_us for each in times),
            input=sum(each.decode_us for each in times),
            infer=sum(each.compute_us // max(each.batch_size, 1) for each in times),
        )
        return [self._stack([row[place] for row in rows], position)
                for place, position in enumerate(positions)], spent  # fmt: skip

    def _payloads(self, request: InferRequest) -> tuple[SealedCodec, list[bytes]]:
        """What would stand in the frames of a client of ours."""
        if len(request.inputs) == 1 and request.inputs[0].datatype == BYTES:
            return self._encoded(request)
        if self._exact is None:
            raise invalid(f"model '{self.name}' has no codec {_EXACT}: send '{PAYLOAD.name}' as BYTES")
        arrays: Any = read_inputs(request, self._tensors, self.most_rows)
        shaped = [
            np.asarray(values, np.float32).reshape(-1, *spec.dims)
            for values, spec in zip(arrays, self._tensors, strict=True)
        ]
        try:
            features = pack_arrays(shaped, self._manifest.sent)
            return self._exact, [self._exact.encode(row) for row in features]
        except CodecError as error:
            raise invalid(f"inputs for model '{self.name}': {error}") from error

    def _encoded(self, request: InferRequest) -> tuple[SealedCodec, list[bytes]]:
        told = request.inputs[0]
        # a vector of payloads will do for one of rows of one payload
        spec = PAYLOAD if len(told.shape) != 1 else PAYLOAD._replace(dims=())
        (payloads,) = read_inputs(request, [spec], self.most_rows)
        name = {**request.parameters, **told.parameters}.get(CODEC, self._manifest.default_codec)
        try:
            codec = codec_by_name(self._served.codecs, str(name)[:64])
        except CodecError as error:
            raise invalid(f"model '{self.name}': {error}") from error
        assert isinstance(payloads, list)
        return codec, payloads

    def _arrays(self, reply: pb.Reply, positions: tuple[int, ...]) -> list[NDArray[np.generic]]:
        if reply.HasField("error"):
            status = _STATUS.get(reply.error.code, Status.INTERNAL)
            raise RequestError(status, f"frame {reply.sequence} of the request: {reply.error.message}")
        given = self._manifest.given
        tensors = read_tensors(reply.prediction.outputs, given, positions, self._max_output_bytes)
        return [tensors[given[position].name] for position in positions]

    def _stack(self, rows: list[NDArray[np.generic]], position: int) -> Output:
        spec = self.outputs[position]
        if len({row.shape for row in rows}) > 1:
            raise invalid(
                f"output '{spec.name}' of model '{self.name}' has another shape for each frame of the "
                "request: send one frame in a request"
            )
        values = np.stack(rows)
        return Output(spec.name, spec.datatype, values.shape, values)


class Simple:
    """Triton's example: sum and difference of two rows of sixteen whole numbers, wrapping round."""

    name, platform, most_rows = "simple", "siftfunnel_example", 8
    inputs = tuple(TensorSpec(name, "INT32", (16,)) for name in ("INPUT0", "INPUT1"))
    outputs = tuple(TensorSpec(name, "INT32", (16,)) for name in ("OUTPUT0", "OUTPUT1"))

    def config(self) -> dict[str, Any]:
        """See `Model`."""
        return {"max_batch_size": self.most_rows, "input": [each.configured() for each in self.inputs]}

    def parameters(self) -> Mapping[str, Any]:
        """See `Model`."""
        return {}

    async def infer(self, request: InferRequest, caller: Caller) -> tuple[list[Output], Answered]:
        """See `Model`; a few microseconds on the event loop."""
        positions = wanted_positions(request, self.outputs)
        read: Any = read_inputs(request, self.inputs, self.most_rows)
        left, right = (np.asarray(values, np.int32).reshape(-1, 16) for values in read)
        both = (left + right, left - right)
        outputs = [
            Output(self.outputs[place].name, "INT32", both[place].shape, both[place]) for place in positions
        ]
        return outputs, Answered(queue=0, input=0, infer=0)


def most_rows(served: ServedBundle, max_batch_size: int) -> int:
    """Frames that one request may hold: a batch, of what is not too large to hold in memory for each call."""
    return min(max_batch_size, max(_MOST_BYTES // (4 * served.bundle.manifest.feature.size), 1))


def most_request_bytes(served: ServedBundle, max_batch_size: int) -> int:
    """Bytes of features in the largest request for a bundle."""
    return 4 * served.bundle.manifest.feature.size * most_rows(served, max_batch_size)


def _budget_ms(request: InferRequest) -> int | None:
    """Triton's `timeout`, microseconds in which work must start; 0 is none."""
    told = request.parameters.get("timeout", 0)
    if type(told) is not int or not 0 <= told <= _MOST_BUDGET_US:
        raise invalid(f"parameter 'timeout' must be a whole number of microseconds, not {str(told)[:64]}")
    return max(told // 1000, 1) if told else None
