"""One bundle's lane: a bounded queue, and worker threads that decode, batch, run and answer.

    event loop: submit(ticket) -> BatchQueue -> worker: decode into rows, run, rank -> ticket.reply -> wake

Workers pull from the queue themselves. A worker that is done takes the next batch at once, however busy the
event loop is with its sockets, and the loop is called once per batch, not once per frame.

While every worker is busy a helper thread decodes the frames that will be next, answers for the batch before
and turns away the frames whose budget runs out, so that a worker under load does little but run the model.
That needs the interpreter's lock alone, which a running model leaves free. An idle worker does everything
itself: a lone frame passes through no more threads than it must.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from siftfunnel.cloud_server.answers import Reading
from siftfunnel.cloud_server.batching import BatchCost, BatchPolicy, BatchQueue
from siftfunnel.cloud_server.engine import Engine
from siftfunnel.cloud_server.inference import Finished, Inference
from siftfunnel.cloud_server.metrics import ABANDONED, BundleMetrics
from siftfunnel.cloud_server.rows import Rows
from siftfunnel.cloud_server.settlement import Settlement
from siftfunnel.cloud_server.ticket import Owner, Ticket
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.wire import SealedCodec

_log = logging.getLogger(__name__)

_RETRY_MS = (5, 5000)
_HELP_PAYS_S = 1e-3
"""A batch that runs shorter than this is over before another thread has done anything for it."""
_DRAINING = "the server is shutting down; send the frame over another connection"


class Lane:
    """Takes frames of one bundle and gives each exactly one reply.

    Args:
        codecs: the bundle's, in wire order.
        engine: runs the cloud half.
        reading: what its outputs mean.
        policy: the batcher's limits.
        workers: threads that run batches, at least 1.
        metrics: the bundle's instruments.
        wake: hands owners with new replies to the event loop; called from worker threads.
        name: for thread names and log lines.
        clock: seconds; monotonic.
    """

    def __init__(
        self,
        codecs: Sequence[SealedCodec],
        engine: Engine,
        reading: Reading,
        policy: BatchPolicy,
        workers: int,
        metrics: BundleMetrics,
        wake: Callable[[Iterable[Owner]], None],
        name: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._codecs = codecs
        self._metrics = metrics
        self._name = name
        self._clock = clock
        self._max_batch_size = policy.max_batch_size
        self._settlement = Settlement(metrics, wake, name, clock)
        self._inference = Inference(codecs, engine, reading, metrics, self._settlement, clock)
        self._queue: BatchQueue[Ticket] = BatchQueue(policy)
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        self._help_wanted = threading.Condition(lock)
        self._finished: deque[Finished] = deque()
        self._running: dict[int, tuple[float, list[Ticket]]] = {}
        self._idle = 0
        self._owners_open = 0
        self._closing = False
        self._frame_s = self._run_s = 0.0
        self._cost = BatchCost()
        self._helper_until_s = math.inf
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"{name}-{number}", daemon=True)
            for number in range(workers)
        ]
        self._prober: threading.Thread | None = None
        self._helper = threading.Thread(target=self._help, name=f"{name}-helper", daemon=True)
        metrics.watch_queue(self.__len__)

    def __len__(self) -> int:
        """Frames waiting now."""
        return len(self._queue)

    @property
    def owners(self) -> int:
        """Calls that may submit frames now."""
        return self._owners_open

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
            self._settlement.refuse(ticket, pb.FrameError.UNAVAILABLE, _DRAINING)
        self._settlement.wake(left)
        deadline_s = self._clock() + patience_s
        for thread in (*self._threads, self._helper):
            thread.join(max(deadline_s - self._clock(), 0.0))
            if thread.is_alive():
                _log.error("%s: a batch still runs after %g s; it is abandoned", self._name, patience_s)

    def trouble(self, patience_s: float) -> str | None:
        """Look after the workers and the engine: what is wrong with one of them, or None.

        Frames that have been with a worker for longer than its patience get an error, so that what was
        answered behind them on their streams comes through. The worker is left alone: it may come back.

        Args:
            patience_s: time for one batch.
        """
        now_s = self._clock()
        with self._changed:
            if self._closing:
                return None
            running = list(self._running.values())
        stuck = [batch for since_s, batch in running if now_s - since_s > patience_s]
        for batch in stuck:
            self._settlement.fail(batch, f"the cloud half has not answered for {patience_s:g} s; given up")
        if ended := [thread.name for thread in (*self._threads, self._helper) if not thread.is_alive()]:
            return f"{self._name}: {', '.join(ended)} ended"
        if stuck:
            return f"{self._name}: {len(stuck)} batches have been running for more than {patience_s:g} s"
        away_since_s = self._inference.away_since_s
        if away_since_s is not None and now_s - away_since_s > patience_s:
            self._probe()
            return f"{self._name}: who runs the model has been away for more than {patience_s:g} s"
        return None

    def _probe(self) -> None:
        """Ask an engine that is away again: with health at NOT_SERVING there may be no frame that would."""
        if self._prober is None or not self._prober.is_alive():
            self._prober = threading.Thread(
                target=self._inference.probe, name=f"{self._name}-probe", daemon=True
            )
            self._prober.start()

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
        turned_away: list[Ticket] = []
        with self._changed:
            closing = self._closing
            for ticket, budget_ms in sound:
                budget_s = None if budget_ms is None else budget_ms / 1000
                owner = ticket.owner
                left_over = (
                    ticket
                    if closing
                    else self._queue.offer(ticket, owner, ticket.received_s, budget_s, owner.client)
                )
                if left_over is not None:
                    turned_away.append(left_over)
            self._announce()
            if self._help_pays():
                self._help_wanted.notify()
        for ticket in turned_away:
            self._turn_away(ticket, closing)
        self._settlement.wake(turned_away)

    def _admit(self, ticket: Ticket, budget_ms: int | None) -> bool:
        """Whether a frame may be queued; one that may not has its error."""
        self._metrics.received(ticket.codec, len(ticket.payload))
        if ticket.codec >= len(self._codecs):
            known = ", ".join(f"{codec.index} {codec.name}" for codec in self._codecs)
            self._settlement.refuse(
                ticket, pb.FrameError.UNKNOWN_CODEC, f"no codec {ticket.codec} in this bundle; known: {known}"
            )
            return False
        if budget_ms == 0:
            self._settlement.refuse(ticket, pb.FrameError.BUDGET_EXCEEDED, _over_budget(0.0))
            return False
        return True

    def _turn_away(self, ticket: Ticket, closing: bool) -> None:
        if closing:
            self._settlement.refuse(ticket, pb.FrameError.UNAVAILABLE, _DRAINING)
            return
        waiting = len(self._queue)
        message = f"{waiting} frames are waiting, the queue is full; send again after retry_after_ms"
        retry_after_ms = self._retry_after_ms(waiting)
        self._settlement.refuse(ticket, pb.FrameError.RESOURCE_EXHAUSTED, message, retry_after_ms)

    def _retry_after_ms(self, waiting: int) -> int:
        """Time until about half of the queue is gone, at the rate seen last."""
        low, high = _RETRY_MS
        return min(max(round(waiting / 2 * self._frame_s * 1000 / len(self._threads)), low), high)

    def _announce(self) -> None:
        """Wake whom the waiting frames need; a worker that leaves some behind wakes the next one."""
        if not self._queue:
            return
        self._changed.notify()
        if not self._idle and self._queue.expires_s < self._helper_until_s:
            self._help_wanted.notify()

    def _expire(self, tickets: Sequence[Ticket], now_s: float) -> None:
        for ticket in tickets:
            message = _over_budget(now_s - ticket.received_s)
            self._settlement.refuse(ticket, pb.FrameError.BUDGET_EXCEEDED, message)
        self._settlement.wake(tickets)

    def _work(self, number: int) -> None:
        rows = Rows(self._max_batch_size)
        while batch := self._next_batch(number):
            try:
                self._inference.run(batch, rows, self._before_model, self._deliver)
            except BaseException:  # SystemExit too: nothing that a model does may end its worker
                _log.exception("%s: a batch of %d failed", self._name, len(batch))
                self._settlement.fail(batch)
            since_s, _ = self._running.pop(number)
            took_s = self._clock() - since_s
            self._cost.ran(len(batch), took_s)
            per_frame_s = took_s / len(batch)
            self._frame_s = 0.8 * self._frame_s + 0.2 * per_frame_s if self._frame_s else per_frame_s

    def _next_batch(self, number: int) -> list[Ticket]:
        """Wait for a batch that is due; an empty one means that the lane is closed."""
        with self._changed:
            self._idle += 1
            try:
                while not self._closing:
                    now_s = self._clock()
                    poll = self._queue.poll(now_s, self._owners_open, self._cost.most)
                    self._expire(poll.expired, now_s)
                    if poll.batch:
                        self._running[number] = (now_s, poll.batch)
                        return poll.batch
                    if not poll.expired:
                        self._changed.wait(poll.wait_s)
            finally:
                self._idle -= 1
                self._announce()
        return []

    def _before_model(self) -> None:
        with self._changed:
            if self._help_pays():
                self._help_wanted.notify()

    def _deliver(self, finished: Finished) -> None:
        self._run_s = finished.compute_s
        if not self._hand_over(finished):
            self._inference.answer(finished)

    def _hand_over(self, finished: Finished) -> bool:
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
        """The helper: answers first, then turns away, then decodes what the next batch will need."""
        while (work := self._next_help()) is not None:
            if isinstance(work, Ticket):
                # a worker that took the ticket meanwhile decodes it itself; then this is for nothing
                work.ahead = self._inference.decode(work)
                continue
            try:
                self._inference.answer(work)
            except Exception:
                _log.exception("%s: a batch of %d failed", self._name, len(work.frames))
                self._settlement.fail(work.tickets)

    def _next_help(self) -> Ticket | Finished | None:
        """Wait for something to do; None means that the lane is closed."""
        with self._help_wanted:
            while True:
                if self._finished:
                    return self._finished.popleft()
                if self._closing:
                    return None
                now_s = self._clock()
                self._expire(self._queue.expire(now_s), now_s)
                if self._help_pays():
                    for ticket in self._queue.oldest(self._max_batch_size):
                        if ticket.ahead is None:
                            return ticket
                self._helper_until_s = self._queue.expires_s
                left_s = self._helper_until_s - now_s
                self._help_wanted.wait(None if left_s == math.inf else left_s)


def _over_budget(waited_s: float) -> str:
    return f"the time budget ran out after {waited_s * 1000:.1f} ms, before work could start"
