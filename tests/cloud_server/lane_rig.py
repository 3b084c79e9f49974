"""A lane with its real threads, driven from a test, and models that a test can hold back or make fail."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from siftfunnel.cloud_server.answers import Reading
from siftfunnel.cloud_server.batching import BatchPolicy
from siftfunnel.cloud_server.engine import Engine
from siftfunnel.cloud_server.lane import Lane
from siftfunnel.cloud_server.metrics import BundleMetrics, Metrics
from siftfunnel.cloud_server.pieces import Outputs
from siftfunnel.cloud_server.ticket import Owner, Ticket, Wish
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tensors import OutputSpec
from siftfunnel.shared.wire import SealedCodec

Code = pb.FrameError


class Waiter:
    """An owner of one client; stands where a stream would."""

    def __init__(self, client: str = "somebody") -> None:
        self.client = client

    def wake(self) -> None:
        """Nothing waits on a loop here."""


class GatedEngine:
    """The real model behind a gate, so that a test decides when a batch ends."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.batch_sizes: list[int] = []

    def run(self, features_NCHW: NDArray[np.float32]) -> Outputs:
        self.batch_sizes.append(len(features_NCHW))
        self.entered.release()
        assert self.gate.wait(10)
        return self._engine.run(features_NCHW)


class PoisonedEngine:
    """The real model, except that it fails when a feature holds the number 777, and gives NaN for 888."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, features_NCHW: NDArray[np.float32]) -> Outputs:
        if (features_NCHW == 777).any():
            raise RuntimeError("secret detail of the machine")
        (logits,) = self._engine.run(features_NCHW)
        assert isinstance(logits, np.ndarray)
        logits[(features_NCHW == 888).any(axis=(1, 2, 3))] = np.nan
        return (logits,)


class Rig:
    """A lane with its metrics and a way to wait for replies."""

    def __init__(
        self, codecs: Sequence[SealedCodec], engine: Engine, policy: BatchPolicy, workers: int
    ) -> None:
        self.metrics = Metrics()
        self._changed = threading.Condition()
        self.woken: set[Owner] = set()
        instruments: BundleMetrics = self.metrics.for_bundle("tiny", "0" * 64, [c.name for c in codecs])
        reading = Reading((OutputSpec("logits", "logits", (3,)),))
        self.lane = Lane(codecs, engine, reading, policy, workers, instruments, self._notify, "tiny")
        self.lane.start()

    def _notify(self, owners: Iterable[Owner]) -> None:
        with self._changed:
            self.woken.update(owners)
            self._changed.notify_all()

    def submit(self, frame: pb.Frame, owner: Owner | None = None, budget_ms: int | None = None) -> Ticket:
        ticket = ticket_of(owner or Waiter(), frame)
        self.lane.submit(ticket, budget_ms)
        return ticket

    def replies(self, *tickets: Ticket) -> list[pb.Reply]:
        with self._changed:
            assert self._changed.wait_for(lambda: all(t.reply is not None for t in tickets), 10)
        return [pb.Reply.FromString(ticket.reply or b"") for ticket in tickets]

    def count(self, outcome: str, codec: str = "fp32") -> float:
        labels = {"bundle": "tiny", "codec": codec, "outcome": outcome}
        return self.metrics.registry.get_sample_value("siftfunnel_frames_total", labels) or 0.0


def ticket_of(owner: Owner, frame: pb.Frame) -> Ticket:
    """A ticket that has just arrived."""
    return Ticket(owner, frame.sequence, frame.codec, frame.payload, Wish(), time.perf_counter(), 0)


MakeRig = Callable[..., Rig]


def errors(replies: list[pb.Reply]) -> list[int]:
    """The error of each reply, 0 where there is none."""
    return [reply.error.code for reply in replies]
