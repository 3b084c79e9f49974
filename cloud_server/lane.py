"""One bundle's lane: a bounded queue, and worker threads that decode, batch, run and answer.

    event loop: submit(ticket) -> BatchQueue -> worker: decode into rows, run, rank -> ticket.reply -> wake

Workers pull from the queue themselves. A worker that is done takes the next batch at once, however busy the
event loop is with its sockets, and the loop is called once per batch, not once per frame.

While every worker is busy a helper thread decodes the frames that will be next and answers for the batch
before, so that a worker under load does little but run the model. That needs the interpreter's lock alone,
which a running model leaves free. An idle worker does everything itself: a lone frame passes through no
more threads than it must.
"""

import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud_server import answers
from cloud_server.batching import BatchPolicy, BatchQueue
from cloud_server.engine import Engine, EngineUnavailableError
from cloud_server.metrics import ABANDONED, ANSWERED, ERROR_OUTCOMES, BundleMetrics
from cloud_server.rows import Rows
from cloud_server.ticket import Ahead, Owner, Ticket
from shared.rpc import split_inference_pb2 as pb
from shared.wire import Codec, CodecError

_log = logging.getLogger(__name__)

_RETRY_MS = (5, 5000)
_HELP_PAYS_S = 1e-3
"""A batch that runs shorter than this is over before another thread has done anything for it."""
_FAILED = "the cloud half failed on this frame; the server's log says why"
_DRAINING = "the server is shutting down; send the frame over another connection"


class _Decoded(NamedTuple):
    ticket: Ticket
    queue_s: float
    decode_s: float


class _Finished(NamedTuple):
    """A batch that only has to be answered."""

    frames: list[_Decoded]
    logits_NK: NDArray[np.float32]
    compute_s: float


class Lane:
    """Takes frames of one bundle and gives each exactly one reply.

    Args:
        codecs: the bundle's, in wire order.
        engine: runs the cloud half.
        policy: the batcher's limits.
        workers: threads that run batches, at least 1.
        metrics: the bundle's instruments.
        wake: hands owners with new replies to the event loop; called from worker threads.
        name: for thread names and log lines.
        clock: seconds; monotonic.
    """

    def __init__(
        self,
        codecs: Sequence[Codec],
        engine: Engine,
        policy: BatchPolicy,
        workers: int,
        metrics: BundleMetrics,
        wake: Callable[[Iterable[Owner]], None],
        name: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._codecs = codecs
        self._engine = engine
        self._metrics = metrics
        self._wake = wake
        self._name = name
        self._clock = clock
        self._max_batch_size = policy.max_batch_size
        self._queue: BatchQueue[Ticket] = BatchQueue(policy)
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        self._help_wanted = threading.Condition(lock)
        self._finished: deque[_Finished] = deque()
        self._idle = 0
        self._owners_open = 0
        self._closing = False
        self._frame_s = self._run_s = 0.0
        self._log_again_s = -math.inf
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(workers)
        ]
        self._helper = threading.Thread(target=self._help, name=f"{name}-helper", daemon=True)
        metrics.watch_queue(self.__len__)

    def __len__(self) -> int:
        """Frames waiting now."""
        return len(self._queue)

    def start(self) -> None:
        """Start the workers."""
        for thread in (*self._threads, self._helper):
            thread.start()

    def close(self, patience_s: float) -> None:
        """Answer what still waits with UNAVAILABLE and end the workers.

        Args:
            patience_s: time for the workers to finish what they run; a model that hangs is left behind.
        """
        with self._changed:
            self._closing = True
            left = self._queue.clear()
            self._changed.notify_all()
            self._help_wanted.notify_all()
        for ticket in left:
            self._refuse(ticket, pb.FrameError.UNAVAILABLE, _DRAINING)
        self._wake_owners(left)
        deadline_s = self._clock() + patience_s
        for thread in (*self._threads, self._helper):
            thread.join(max(deadline_s - self._clock(), 0.0))
            if thread.is_alive():
                _log.error("%s: a batch still runs after %g s; it is abandoned", self._name, patience_s)

    def enter(self) -> None:
        """One more owner may submit."""
        with self._changed:
            self._owners_open += 1

    def leave(self, owner: Owner) -> None:
        """An owner is gone; its waiting frames are dropped, nobody would read the answers."""
        with self._changed:
            self._owners_open -= 1
            gone = self._queue.discard(owner)
            # With one stream less to wait for a held batch may be due.
            self._changed.notify()
        for ticket in gone:
            self._metrics.ended(ticket.codec, ABANDONED)

    def submit(self, ticket: Ticket, budget_ms: int | None) -> None:
        """Queue a frame, or give it its error at once; never blocks for long and never raises.

        Args:
            ticket: a fresh one.
            budget_ms: time after `received_s` within which work must start; None: any time.
        """
        self.submit_all([(ticket, budget_ms)])

    def submit_all(self, entries: Sequence[tuple[Ticket, int | None]]) -> None:
        """`submit` for several frames, which so enter the queue together and can share a batch."""
        sound = [entry for entry in entries if self._admit(*entry)]
        refused: list[Ticket] = []
        with self._changed:
            closing = self._closing
            for ticket, budget_ms in sound:
                budget_s = None if budget_ms is None else budget_ms / 1000
                if closing or not self._queue.offer(ticket, ticket.owner, ticket.received_s, budget_s):
                    refused.append(ticket)
            if len(refused) < len(sound):
                self._changed.notify()
                if self._help_pays():
                    self._help_wanted.notify()
        for ticket in refused:
            self._turn_away(ticket, closing)

    def _admit(self, ticket: Ticket, budget_ms: int | None) -> bool:
        """Whether a frame may be queued; one that may not has its error."""
        self._metrics.received(ticket.codec, len(ticket.payload))
        if ticket.codec >= len(self._codecs):
            known = ", ".join(f"{codec.index} {codec.name}" for codec in self._codecs)
            self._refuse(
                ticket, pb.FrameError.UNKNOWN_CODEC, f"no codec {ticket.codec} in this bundle; known: {known}"
            )
            return False
        if budget_ms == 0:
            self._refuse(ticket, pb.FrameError.BUDGET_EXCEEDED, _over_budget(0.0))
            return False
        return True

    def _turn_away(self, ticket: Ticket, closing: bool) -> None:
        if closing:
            self._refuse(ticket, pb.FrameError.UNAVAILABLE, _DRAINING)
            return
        waiting = len(self._queue)
        message = f"{waiting} frames are waiting, the queue is full; send again after retry_after_ms"
        self._refuse(ticket, pb.FrameError.RESOURCE_EXHAUSTED, message, self._retry_after_ms(waiting))

    def _retry_after_ms(self, waiting: int) -> int:
        """Time until about half of the queue is gone, at the rate seen last."""
        low, high = _RETRY_MS
        return min(max(round(waiting / 2 * self._frame_s * 1000 / len(self._threads)), low), high)

    def _work(self) -> None:
        rows = Rows(self._max_batch_size)
        while batch := self._next_batch():
            started_s = self._clock()
            try:
                self._serve(batch, rows)
            except Exception:
                _log.exception("%s: a batch of %d failed", self._name, len(batch))
                self._fail(batch)
            per_frame_s = (self._clock() - started_s) / len(batch)
            self._frame_s = 0.8 * self._frame_s + 0.2 * per_frame_s if self._frame_s else per_frame_s

    def _next_batch(self) -> list[Ticket]:
        """Wait for a batch that is due; an empty one means that the lane is closed."""
        with self._changed:
            self._idle += 1
            try:
                while not self._closing:
                    now_s = self._clock()
                    poll = self._queue.poll(now_s, self._owners_open)
                    for ticket in poll.expired:
                        message = _over_budget(now_s - ticket.received_s)
                        self._refuse(ticket, pb.FrameError.BUDGET_EXCEEDED, message)
                    self._wake_owners(poll.expired)
                    if poll.batch:
                        return poll.batch
                    if not poll.expired:
                        self._changed.wait(poll.wait_s)
            finally:
                self._idle -= 1
        return []

    def _serve(self, batch: list[Ticket], rows: Rows) -> None:
        started_s = self._clock()
        rows.begin(len(batch))
        decoded = [frame for ticket in batch if (frame := self._take(ticket, started_s, rows)) is not None]
        if len(decoded) < len(batch):
            self._wake_owners(ticket for ticket in batch if ticket.reply is not None)
        if decoded:
            self._infer(decoded, rows, 0)

    def _take(self, ticket: Ticket, started_s: float, rows: Rows) -> _Decoded | None:
        """Put a frame's tensor into its row; without one it has its error."""
        waited_s = started_s - ticket.received_s
        if ticket.ahead is None:
            ahead = self._decode(ticket)
        else:
            ahead, ticket.ahead = ticket.ahead, None
            waited_s -= ahead.decode_s
        ticket.payload = b""
        features_CHW = ahead.features_CHW
        if isinstance(features_CHW, CodecError):
            self._refuse(ticket, pb.FrameError.INVALID_PAYLOAD, str(features_CHW))
            return None
        if isinstance(features_CHW, Exception):
            raise features_CHW
        rows.add(features_CHW)
        self._metrics.decoded(ticket.codec, waited_s, ahead.decode_s)
        return _Decoded(ticket, waited_s, ahead.decode_s)

    def _decode(self, ticket: Ticket) -> Ahead:
        before_s = self._clock()
        features_CHW: NDArray[np.float32] | Exception
        try:
            features_CHW = self._codecs[ticket.codec].decode(ticket.payload)
        except Exception as error:  # for who takes the ticket: the helper must not end
            features_CHW = error
        return Ahead(features_CHW, self._clock() - before_s)

    def _infer(self, frames: list[_Decoded], rows: Rows, start: int) -> None:
        """Run the frames whose rows begin at `start`; if that fails, each alone: only the culprit suffers."""
        with self._changed:
            if self._help_pays():
                self._help_wanted.notify()
        before_s = self._clock()
        try:
            logits_NK = self._engine.run(rows.batch_NCHW(start, start + len(frames)))
        except EngineUnavailableError as error:
            self._log_failure(str(error), frames[0].ticket)
            for frame in frames:
                code = pb.FrameError.RESOURCE_EXHAUSTED
                self._refuse(frame.ticket, code, f"{error}; send again", error.retry_after_ms)
            self._wake_owners(frame.ticket for frame in frames)
            return
        except Exception:
            if len(frames) > 1:
                for row, frame in enumerate(frames, start):
                    self._infer([frame], rows, row)
                return
            self._log_failure("the cloud half failed", frames[0].ticket, with_trace=True)
            self._fail([frames[0].ticket])
            return
        # kept apart: another worker may put its own time there
        self._run_s = compute_s = self._clock() - before_s
        self._metrics.ran(len(frames), compute_s)
        finished = _Finished(frames, logits_NK, compute_s)
        if not self._hand_over(finished):
            self._answer(finished)

    def _hand_over(self, finished: _Finished) -> bool:
        """Leave a batch to the helper, if the next one waits and the helper is not behind."""
        with self._changed:
            if self._closing or self._finished or not self._help_pays():
                return False
            self._finished.append(finished)
            self._help_wanted.notify()
        return True

    def _help_pays(self) -> bool:
        """Whether to wake the helper: for nothing it costs a lone frame two changes of thread."""
        return len(self._queue) > 0 and not self._idle and self._run_s >= _HELP_PAYS_S

    def _help(self) -> None:
        """The helper: answers first, then decodes what the next batch will need."""
        while (work := self._next_help()) is not None:
            if isinstance(work, Ticket):
                # a worker that took the ticket meanwhile decodes it itself; then this is for nothing
                work.ahead = self._decode(work)
                continue
            try:
                self._answer(work)
            except Exception:
                _log.exception("%s: a batch of %d failed", self._name, len(work.frames))
                self._fail([frame.ticket for frame in work.frames])

    def _next_help(self) -> Ticket | _Finished | None:
        """Wait for something to do; None means that the lane is closed."""
        with self._help_wanted:
            while True:
                if self._finished:
                    return self._finished.popleft()
                if self._closing:
                    return None
                if self._help_pays():
                    for ticket in self._queue.oldest(self._max_batch_size):
                        if ticket.ahead is None:
                            return ticket
                self._help_wanted.wait()

    def _answer(self, finished: _Finished) -> None:
        frames, logits_NK, compute_s = finished
        rankings = answers.rank(logits_NK, max(frame.ticket.top_k for frame in frames))
        replies: list[tuple[Ticket, bytes]] = []
        for frame, ranking in zip(frames, rankings, strict=True):
            ticket = frame.ticket
            if ranking is None:
                self._log_failure("logits are not finite", ticket)
                self._fail([ticket])
                continue
            classes, scores = ranking
            top_k = ticket.top_k
            times = answers.ServerTimes(frame.queue_s, frame.decode_s, compute_s, len(frames))
            reply = answers.prediction(ticket.sequence, classes[:top_k], scores[:top_k], times)
            replies.append((ticket, reply))
        # Counted before anybody can see them: who has a reply finds it in the metrics.
        for codec, count in Counter(ticket.codec for ticket, _ in replies).items():
            self._metrics.ended(codec, ANSWERED, count)
        for ticket, reply in replies:
            ticket.reply = reply
        self._wake_owners(ticket for ticket, _ in replies)

    def _wake_owners(self, tickets: Iterable[Ticket]) -> None:
        if owners := {ticket.owner for ticket in tickets}:
            self._wake(owners)

    def _log_failure(self, what: str, ticket: Ticket, with_trace: bool = False) -> None:
        """Once a second at most: a client that sends only poison must not fill the disk."""
        now_s = self._clock()
        if now_s >= self._log_again_s:
            self._log_again_s = now_s + 1.0
            _log.error("%s: %s on frame %d", self._name, what, ticket.sequence, exc_info=with_trace)

    def _fail(self, tickets: Sequence[Ticket]) -> None:
        """An error for those that have no reply yet; all are woken, who has one may not have been."""
        for ticket in tickets:
            if ticket.reply is None:
                self._refuse(ticket, pb.FrameError.INTERNAL, _FAILED)
        self._wake_owners(tickets)

    def _refuse(
        self, ticket: Ticket, code: pb.FrameError.Code, message: str, retry_after_ms: int = 0
    ) -> None:
        self._metrics.ended(ticket.codec, ERROR_OUTCOMES[code])
        ticket.payload = b""
        ticket.reply = answers.failure(ticket.sequence, code, message, retry_after_ms)


def _over_budget(waited_s: float) -> str:
    return f"the time budget ran out after {waited_s * 1000:.1f} ms, before work could start"
