"""What happens to one batch: payloads to rows, the cloud half, its outputs to replies.

Only the frame that something is wrong with suffers, whatever it is.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from siftfunnel.cloud_server import answers
from siftfunnel.cloud_server.engine import Engine, EngineUnavailableError
from siftfunnel.cloud_server.metrics import BundleMetrics
from siftfunnel.cloud_server.pieces import Outputs
from siftfunnel.cloud_server.rows import Rows
from siftfunnel.cloud_server.settlement import Settlement
from siftfunnel.cloud_server.ticket import Ahead, Ticket
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.wire import CodecError, SealedCodec


class _Decoded(NamedTuple):
    ticket: Ticket
    queue_s: float
    decode_s: float


class Finished(NamedTuple):
    """A batch that only has to be answered."""

    frames: list[_Decoded]
    outputs: Outputs
    compute_s: float

    @property
    def tickets(self) -> list[Ticket]:
        """Who is to be answered."""
        return [frame.ticket for frame in self.frames]


class Inference:
    """Runs batches of one bundle; called from several worker threads.

    Args:
        codecs: the bundle's, in wire order.
        engine: runs the cloud half.
        reading: what its outputs mean.
        metrics: the bundle's instruments.
        settlement: takes the replies.
        clock: seconds; monotonic.

    Attributes:
        away_since_s: when the engine could not be reached for the first time since it last ran; None where it
            ran last.
    """

    def __init__(
        self,
        codecs: Sequence[SealedCodec],
        engine: Engine,
        reading: answers.Reading,
        metrics: BundleMetrics,
        settlement: Settlement,
        clock: Callable[[], float],
    ) -> None:
        self._codecs = codecs
        self._engine = engine
        self._reading = reading
        self._metrics = metrics
        self._settlement = settlement
        self._clock = clock
        self._handed_back_NCHW: NDArray[np.float32] | None = None
        self.away_since_s: float | None = None

    def probe(self) -> None:
        """Try whether an engine that was away is back, with a frame that it did not take."""
        assert self._handed_back_NCHW is not None
        # whatever goes wrong: it is not back
        with contextlib.suppress(Exception):
            self._engine.run(self._handed_back_NCHW)
            self.away_since_s = None

    def decode(self, ticket: Ticket) -> Ahead:
        """The tensor of a payload, or why there is none; never raises."""
        before_s = self._clock()
        features_CHW: NDArray[np.float32] | Exception
        try:
            features_CHW = self._codecs[ticket.codec].decode(ticket.payload)
        except Exception as error:
            features_CHW = error
        return Ahead(features_CHW, self._clock() - before_s)

    def run(
        self,
        batch: Sequence[Ticket],
        rows: Rows,
        before_model: Callable[[], None],
        deliver: Callable[[Finished], None],
    ) -> None:
        """Decode a batch and run the model on it.

        Args:
            batch: taken from the queue; each ticket is settled, or goes to `deliver`.
            rows: the calling thread's own.
            before_model: called before each run of the model.
            deliver: takes what the model said.
        """
        started_s = self._clock()
        rows.begin(len(batch))
        decoded = [frame for ticket in batch if (frame := self._take(ticket, started_s, rows)) is not None]
        if len(decoded) < len(batch):
            self._settlement.wake(ticket for ticket in batch if ticket.reply is not None)
        if decoded:
            self._infer(decoded, rows, 0, before_model, deliver)

    def answer(self, finished: Finished) -> None:
        """Turn what the model said into replies."""
        frames, outputs, _ = finished
        rankings = self._reading.rank(outputs, max(frame.ticket.wish.top_k for frame in frames))
        replies: list[tuple[Ticket, bytes]] = []
        for row, (frame, ranking) in enumerate(zip(frames, rankings, strict=True)):
            if (reply := self._reply(finished, row, ranking)) is not None:
                replies.append((frame.ticket, reply))
        self._settlement.answer(replies)

    def _reply(self, finished: Finished, row: int, ranking: answers.Ranking | None) -> bytes | None:
        """A frame's reply; one that there is none for has its error."""
        frame = finished.frames[row]
        ticket = frame.ticket
        top_k, positions = ticket.wish
        if ranking is None:
            self._settlement.log_failure("scores are not finite", ticket)
            self._settlement.fail([ticket])
            return None
        try:
            tensors = self._reading.tensors(finished.outputs, row, positions) if positions else None
        except answers.OutputsTooLargeError as error:
            self._settlement.refuse(ticket, pb.FrameError.OUTPUTS_TOO_LARGE, str(error))
            self._settlement.wake([ticket])
            return None
        classes, scores = ranking
        times = answers.ServerTimes(frame.queue_s, frame.decode_s, finished.compute_s, len(finished.frames))
        return answers.prediction(ticket.sequence, classes[:top_k], scores[:top_k], times, tensors)

    def _take(self, ticket: Ticket, started_s: float, rows: Rows) -> _Decoded | None:
        """Put a frame's tensor into its row; without one it has its error."""
        waited_s = started_s - ticket.received_s
        if ticket.ahead is None:
            ahead = self.decode(ticket)
        else:
            ahead, ticket.ahead = ticket.ahead, None
            waited_s -= ahead.decode_s
        ticket.payload = b""
        features_CHW = ahead.features_CHW
        if isinstance(features_CHW, CodecError):
            self._settlement.refuse(ticket, pb.FrameError.INVALID_PAYLOAD, str(features_CHW))
            return None
        if isinstance(features_CHW, Exception):
            self._settlement.log_failure("decoding failed", ticket, features_CHW)
            self._settlement.fail([ticket])
            return None
        rows.add(features_CHW)
        self._metrics.decoded(ticket.codec, waited_s, ahead.decode_s)
        return _Decoded(ticket, waited_s, ahead.decode_s)

    def _infer(
        self,
        frames: list[_Decoded],
        rows: Rows,
        start: int,
        before_model: Callable[[], None],
        deliver: Callable[[Finished], None],
    ) -> None:
        """Run the frames whose rows begin at `start`; if that fails, each alone: only the culprit suffers."""
        before_model()
        before_s = self._clock()
        try:
            outputs = self._engine.run(rows.batch_NCHW(start, start + len(frames)))
        except EngineUnavailableError as error:
            if self.away_since_s is None:
                self._handed_back_NCHW = rows.batch_NCHW(start, start + 1).copy()
                self.away_since_s = before_s
            self._hand_back(frames, error)
            return
        except Exception as error:
            if len(frames) > 1:
                for row, frame in enumerate(frames, start):
                    self._infer([frame], rows, row, before_model, deliver)
                return
            self._settlement.log_failure("the cloud half failed", frames[0].ticket, error)
            self._settlement.fail([frames[0].ticket])
            return
        self.away_since_s = None
        compute_s = self._clock() - before_s
        self._metrics.ran(len(frames), compute_s)
        deliver(Finished(frames, outputs, compute_s))

    def _hand_back(self, frames: Sequence[_Decoded], error: EngineUnavailableError) -> None:
        self._settlement.log_failure(str(error), frames[0].ticket)
        for frame in frames:
            code = pb.FrameError.RESOURCE_EXHAUSTED
            self._settlement.refuse(frame.ticket, code, f"{error}; send again", error.retry_after_ms)
        self._settlement.wake(frame.ticket for frame in frames)
