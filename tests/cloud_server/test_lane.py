"""One bundle's lane with its real threads: every ticket gets one reply, whatever happens to the others."""

import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from siftfunnel.cloud_server.batching import BatchPolicy
from siftfunnel.cloud_server.engine import Engine, EngineUnavailableError
from siftfunnel.cloud_server.pieces import Outputs
from siftfunnel.cloud_server.rows import Rows
from siftfunnel.cloud_server.settlement import Settlement
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.cloud_server.conftest import Frames
from tests.cloud_server.lane_rig import (
    Code,
    GatedEngine,
    MakeRig,
    PoisonedEngine,
    Waiter,
    errors,
    ticket_of,
)


def test_a_frame_is_answered_with_the_class_that_the_model_gives(make_rig: MakeRig, frames: Frames) -> None:
    rig = make_rig()
    (reply,) = rig.replies(rig.submit(frames.frame(4)))
    assert reply.sequence == 4
    assert list(reply.prediction.class_index) == [frames.right_class(4)]
    assert reply.prediction.timings.batch_size == 1
    assert rig.count("answered") == 1


@pytest.mark.parametrize("workers", [1, 3])
def test_frames_of_many_owners_are_answered_exactly_once_each(
    make_rig: MakeRig, frames: Frames, workers: int
) -> None:
    rig = make_rig(workers=workers)
    owners = [Waiter() for _ in range(3)]
    tickets = [rig.submit(frames.frame(number), owners[number % 3]) for number in range(60)]
    replies = rig.replies(*tickets)
    assert [reply.sequence for reply in replies] == list(range(60))
    assert [reply.prediction.class_index[0] for reply in replies] == [
        frames.right_class(n) for n in range(60)
    ]
    assert rig.count("answered") == 60


def test_frames_that_arrive_while_the_worker_is_busy_share_the_next_batch(
    make_rig: MakeRig, frames: Frames, engine: Engine
) -> None:
    gated = GatedEngine(engine)
    rig = make_rig(gated)
    first = rig.submit(frames.frame(0))
    assert gated.entered.acquire(timeout=10)
    rest = [rig.submit(frames.frame(number)) for number in range(1, 6)]
    gated.gate.set()
    replies = rig.replies(first, *rest)
    assert gated.batch_sizes == [1, 4, 1]
    assert [reply.prediction.timings.batch_size for reply in replies] == [1, 4, 4, 4, 4, 1]


def test_a_damaged_payload_costs_its_own_frame_only(make_rig: MakeRig, frames: Frames) -> None:
    rig = make_rig()
    bad = frames.frame(1)
    bad.payload = bad.payload[:-1] + bytes([bad.payload[-1] ^ 1])
    replies = rig.replies(*(rig.submit(frame) for frame in (frames.frame(0), bad, frames.frame(2))))
    assert errors(replies) == [0, Code.INVALID_PAYLOAD, 0]
    assert "codec fp32" in replies[1].error.message
    assert rig.count("invalid_payload") == 1


def test_a_codec_that_the_bundle_lacks_is_refused_with_the_list(make_rig: MakeRig) -> None:
    rig = make_rig()
    (reply,) = rig.replies(rig.submit(pb.Frame(sequence=1, codec=2**32 - 1, payload=b"x")))
    assert reply.error.code == Code.UNKNOWN_CODEC
    assert "known: 0 fp32, 1 fp16, 2 int8" in reply.error.message
    assert rig.count("unknown_codec", codec="unknown") == 1


def test_a_failing_model_takes_down_the_frame_that_broke_it_and_tells_no_secret(
    make_rig: MakeRig, frames: Frames, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    gated = GatedEngine(PoisonedEngine(engine))
    rig = make_rig(gated)
    poison, nan = frames.features(0), frames.features(0)
    poison[0, 0, 0], nan[0, 0, 0] = 777, 888
    first = rig.submit(frames.frame(9))
    assert gated.entered.acquire(timeout=10)
    codec = frames.codecs[0]
    batch = [
        rig.submit(pb.Frame(sequence=1, payload=codec.encode(poison))),
        rig.submit(frames.frame(2)),
        rig.submit(pb.Frame(sequence=3, payload=codec.encode(nan))),
    ]
    gated.gate.set()
    replies = rig.replies(first, *batch)
    assert errors(replies) == [0, Code.INTERNAL, 0, Code.INTERNAL]
    assert "secret" not in replies[1].error.message
    assert "secret detail of the machine" in caplog.text
    assert rig.count("internal") == 2


def test_a_codec_that_breaks_costs_the_frame_it_broke_on_and_is_logged_once(
    make_rig: MakeRig,
    frames: Frames,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gated = GatedEngine(engine)
    rig = make_rig(gated)
    decode = frames.codecs[0].decode
    poison = frames.frame(2).payload

    def breaks(payload: bytes) -> NDArray[np.float32]:
        if payload == poison:
            raise ZeroDivisionError("a defect")
        return decode(payload)

    monkeypatch.setattr(frames.codecs[0], "decode", breaks)
    first = rig.submit(frames.frame(0))
    assert gated.entered.acquire(timeout=10)
    batch = [rig.submit(frames.frame(number)) for number in (1, 2, 3)]
    gated.gate.set()
    assert errors(rig.replies(first, *batch)) == [0, 0, Code.INTERNAL, 0]
    assert gated.batch_sizes == [1, 2]
    assert caplog.text.count("ZeroDivisionError: a defect") == 1
    assert rig.count("internal") == 1


def test_frames_that_come_together_wake_as_many_workers_as_they_fill(
    make_rig: MakeRig, frames: Frames, engine: Engine
) -> None:
    gated = GatedEngine(engine)
    rig = make_rig(gated, BatchPolicy(max_batch_size=2, queue_limit_frames=64), workers=3)
    owner = Waiter()
    tickets = [ticket_of(owner, frames.frame(number)) for number in range(6)]
    rig.lane.submit_all([(ticket, None) for ticket in tickets])
    for _ in range(3):
        assert gated.entered.acquire(timeout=10)
    gated.gate.set()
    assert errors(rig.replies(*tickets)) == [0] * 6
    assert gated.batch_sizes == [2, 2, 2]


class HangingEngine:
    """The real model, except that a run hangs from when it is told to until it is let go."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.hangs = threading.Event()
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def run(self, features_NCHW: NDArray[np.float32]) -> Outputs:
        if self.hangs.is_set():
            self.entered.set()
            assert self.let_go.wait(10)
        return self._engine.run(features_NCHW)


def test_a_worker_that_hangs_is_noticed_given_up_and_welcome_back(
    make_rig: MakeRig, frames: Frames, engine: Engine
) -> None:
    hanging = HangingEngine(engine)
    rig = make_rig(hanging)
    hanging.hangs.set()
    stuck = rig.submit(frames.frame(0))
    assert hanging.entered.wait(10)
    waiting = rig.submit(frames.frame(1))
    assert rig.lane.trouble(60.0) is None
    time.sleep(0.01)
    assert "1 batches have been running" in (rig.lane.trouble(0.005) or "")
    (reply,) = rig.replies(stuck)
    assert (reply.error.code, waiting.reply) == (Code.INTERNAL, None)
    hanging.hangs.clear()
    hanging.let_go.set()
    assert errors(rig.replies(waiting)) == [0]
    assert rig.lane.trouble(60.0) is None
    # what the worker says of the frame that was given up changes nothing
    assert errors(rig.replies(stuck)) == [Code.INTERNAL]
    assert (rig.count("internal"), rig.count("answered")) == (1, 1)


class AwayEngine:
    """The real model on a server that is away until told."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.is_back = threading.Event()

    def run(self, features_NCHW: NDArray[np.float32]) -> Outputs:
        if not self.is_back.is_set():
            raise EngineUnavailableError("gone fishing")
        return self._engine.run(features_NCHW)


def test_an_engine_that_stays_away_is_trouble_until_it_is_back_with_or_without_frames(
    make_rig: MakeRig, frames: Frames, engine: Engine
) -> None:
    away = AwayEngine(engine)
    rig = make_rig(away)
    assert errors(rig.replies(rig.submit(frames.frame(0)))) == [Code.RESOURCE_EXHAUSTED]
    time.sleep(0.01)
    assert rig.lane.trouble(60.0) is None
    assert "has been away for more than 0.005 s" in (rig.lane.trouble(0.005) or "")
    away.is_back.set()
    deadline_s = time.monotonic() + 10
    while rig.lane.trouble(0.005) is not None:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    assert errors(rig.replies(rig.submit(frames.frame(1)))) == [0]


class LeavingEngine:
    """Ends the thread that runs it, as `sys.exit` in a library does."""

    def run(self, features_NCHW: NDArray[np.float32]) -> Outputs:
        raise SystemExit(3)


def test_a_model_that_ends_its_thread_costs_its_batch_and_no_worker(
    make_rig: MakeRig, frames: Frames
) -> None:
    rig = make_rig(LeavingEngine())
    for number in range(3):
        assert errors(rig.replies(rig.submit(frames.frame(number)))) == [Code.INTERNAL]
    assert rig.lane.trouble(60.0) is None


def test_a_worker_that_is_gone_is_trouble(
    make_rig: MakeRig, frames: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig()
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    monkeypatch.setattr(Rows, "begin", _defect)
    monkeypatch.setattr(Settlement, "fail", _defect)
    rig.submit(frames.frame(0))
    deadline_s = time.monotonic() + 10
    while rig.lane.trouble(60.0) is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    assert rig.lane.trouble(60.0) == "tiny: tiny-0 ended"


def _defect(*arguments: object) -> None:
    raise ZeroDivisionError("a defect")


def test_a_budget_that_runs_out_in_the_queue_is_an_error_and_no_work(
    make_rig: MakeRig, frames: Frames, engine: Engine
) -> None:
    gated = GatedEngine(engine)
    rig = make_rig(gated)
    first = rig.submit(frames.frame(0))
    assert gated.entered.acquire(timeout=10)
    late = rig.submit(frames.frame(1), budget_ms=1)
    patient = rig.submit(frames.frame(2), budget_ms=60_000)
    time.sleep(0.005)
    gated.gate.set()
    replies = rig.replies(first, late, patient)
    assert errors(replies) == [0, Code.BUDGET_EXCEEDED, 0]
    assert gated.batch_sizes == [1, 1]
    assert rig.count("budget_exceeded") == 1


def test_a_budget_of_zero_is_over_on_arrival(make_rig: MakeRig, frames: Frames) -> None:
    rig = make_rig()
    assert errors(rig.replies(rig.submit(frames.frame(0), budget_ms=0))) == [Code.BUDGET_EXCEEDED]


def test_a_full_queue_says_when_to_come_back(make_rig: MakeRig, frames: Frames, engine: Engine) -> None:
    gated = GatedEngine(engine)
    rig = make_rig(gated, BatchPolicy(max_batch_size=2, queue_limit_frames=2))
    running = rig.submit(frames.frame(0))
    assert gated.entered.acquire(timeout=10)
    waiting = [rig.submit(frames.frame(1)), rig.submit(frames.frame(2))]
    refused = rig.submit(frames.frame(3))
    assert refused.reply is not None
    error = pb.Reply.FromString(refused.reply).error
    assert error.code == Code.RESOURCE_EXHAUSTED
    assert 5 <= error.retry_after_ms <= 5000
    gated.gate.set()
    assert errors(rig.replies(running, *waiting)) == [0, 0, 0]


def test_a_full_queue_gives_the_place_of_whoever_has_most_to_who_has_none(
    make_rig: MakeRig, frames: Frames, engine: Engine
) -> None:
    gated = GatedEngine(engine)
    rig = make_rig(gated, BatchPolicy(max_batch_size=2, queue_limit_frames=3))
    greedy, honest = Waiter("greedy"), Waiter("honest")
    running = rig.submit(frames.frame(0), greedy)
    assert gated.entered.acquire(timeout=10)
    hoard = [rig.submit(frames.frame(number), greedy) for number in (1, 2, 3)]
    asked = rig.submit(frames.frame(4), honest)
    (displaced,) = rig.replies(hoard[-1])
    assert displaced.error.code == Code.RESOURCE_EXHAUSTED
    assert displaced.error.retry_after_ms > 0
    assert greedy in rig.woken
    gated.gate.set()
    assert errors(rig.replies(running, *hoard[:2], asked)) == [0] * 4
    assert pb.Reply.FromString(asked.reply or b"").prediction.timings.batch_size == 2


def test_frames_of_an_owner_that_left_are_not_worked_on(
    make_rig: MakeRig, frames: Frames, engine: Engine
) -> None:
    gated = GatedEngine(engine)
    rig = make_rig(gated)
    stays, leaves = Waiter(), Waiter()
    rig.lane.enter()
    rig.lane.enter()
    running = rig.submit(frames.frame(0), stays)
    assert gated.entered.acquire(timeout=10)
    dropped = [rig.submit(frames.frame(number), leaves) for number in (1, 2)]
    kept = rig.submit(frames.frame(3), stays)
    rig.lane.leave(leaves)
    gated.gate.set()
    rig.replies(running, kept)
    assert gated.batch_sizes == [1, 1]
    assert [ticket.reply for ticket in dropped] == [None, None]
    assert rig.count("abandoned") == 2


def test_closing_answers_what_still_waits(make_rig: MakeRig, frames: Frames, engine: Engine) -> None:
    gated = GatedEngine(engine)
    rig = make_rig(gated)
    running = rig.submit(frames.frame(0))
    assert gated.entered.acquire(timeout=10)
    waiting = rig.submit(frames.frame(1))
    threading.Timer(0.05, gated.gate.set).start()
    rig.lane.close(10.0)
    assert errors(rig.replies(running, waiting)) == [0, Code.UNAVAILABLE]
    assert errors(rig.replies(rig.submit(frames.frame(2)))) == [Code.UNAVAILABLE]
