"""What a lane's helper does while every worker is busy, and that nobody can tell from the replies."""

import random
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from siftfunnel.cloud_server import answers
from siftfunnel.cloud_server.answers import Ranking
from siftfunnel.cloud_server.batching import BatchPolicy
from siftfunnel.cloud_server.engine import Engine
from siftfunnel.cloud_server.pieces import Outputs
from siftfunnel.cloud_server.ticket import Ticket
from tests.cloud_server.conftest import Frames
from tests.cloud_server.lane_rig import Code, GatedEngine, MakeRig, Rig, Waiter, errors


class SlowEngine:
    """The real model, slow enough for help to pay."""

    def __init__(self, engine: Engine, seconds: float = 0.004) -> None:
        self._engine = engine
        self._seconds = seconds

    def run(self, features_NCHW: NDArray[np.float32]) -> Outputs:
        time.sleep(self._seconds)
        return self._engine.run(features_NCHW)


def eventually(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.001)


class Busy(NamedTuple):
    """A lane whose only worker is inside the model, after a run long enough for help to pay."""

    rig: Rig
    gated: GatedEngine
    running: Ticket


@pytest.fixture
def busy(make_rig: MakeRig, frames: Frames, engine: Engine) -> Busy:
    gated = GatedEngine(engine)
    rig = make_rig(gated)
    opener = rig.submit(frames.frame(0))
    assert gated.entered.acquire(timeout=10)
    time.sleep(0.003)
    gated.gate.set()
    rig.replies(opener)
    gated.gate.clear()
    running = rig.submit(frames.frame(0))
    assert gated.entered.acquire(timeout=10)
    return Busy(rig, gated, running)


def test_frames_that_wait_are_decoded_while_the_model_runs(busy: Busy, frames: Frames) -> None:
    rig, gated, running = busy
    waiting = [rig.submit(frames.frame(number)) for number in range(1, 7)]
    eventually(lambda: all(ticket.ahead is not None for ticket in waiting[:4]))
    # one batch ahead and no more: what waits behind it keeps its small payload
    assert [ticket.ahead for ticket in waiting[4:]] == [None, None]
    gated.gate.set()
    replies = rig.replies(running, *waiting)
    assert [reply.prediction.class_index[0] for reply in replies[1:]] == [
        frames.right_class(number) for number in range(1, 7)
    ]
    assert not any(ticket.payload for ticket in waiting)


def test_time_spent_decoding_ahead_is_not_counted_as_waiting_too(busy: Busy, frames: Frames) -> None:
    rig, gated, running = busy
    sent_s = time.perf_counter()
    waiting = rig.submit(frames.frame(1))
    eventually(lambda: waiting.ahead is not None)
    time.sleep(0.01)
    gated.gate.set()
    _, reply = rig.replies(running, waiting)
    whole_us = (time.perf_counter() - sent_s) * 1e6
    timings = reply.prediction.timings
    assert timings.decode_us > 0
    assert 10_000 <= timings.queue_us + timings.decode_us + timings.compute_us <= whole_us


def test_a_damaged_payload_found_ahead_costs_its_own_frame_only(busy: Busy, frames: Frames) -> None:
    rig, gated, running = busy
    bad = frames.frame(1)
    bad.payload = bad.payload[:-1] + bytes([bad.payload[-1] ^ 1])
    waiting = [rig.submit(frame) for frame in (bad, frames.frame(2))]
    eventually(lambda: all(ticket.ahead is not None for ticket in waiting))
    gated.gate.set()
    assert errors(rig.replies(running, *waiting)) == [0, Code.INVALID_PAYLOAD, 0]
    assert rig.count("invalid_payload") == 1


def test_a_codec_that_breaks_in_the_helper_costs_the_frame_it_broke_on_and_is_logged(
    busy: Busy, frames: Frames, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig, gated, running = busy
    broken = threading.Event()

    def decode(payload: bytes) -> NDArray[np.float32]:
        broken.set()
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patched:
        patched.setattr(frames.codecs[0], "decode", decode)
        waiting = rig.submit(frames.frame(1))
        assert broken.wait(10)
        eventually(lambda: waiting.ahead is not None)
    company = [rig.submit(frames.frame(number)) for number in (2, 3)]
    gated.gate.set()
    assert errors(rig.replies(running, waiting, *company)) == [0, Code.INTERNAL, 0, 0]
    assert caplog.text.count("ZeroDivisionError: a defect") == 1
    assert errors(rig.replies(*(rig.submit(frames.frame(number)) for number in range(8)))) == [0] * 8


def test_an_empty_payload_does_not_keep_the_helper_from_what_waits_behind_it(
    busy: Busy, frames: Frames
) -> None:
    rig, gated, running = busy
    empty = frames.frame(1)
    empty.payload = b""
    waiting = [rig.submit(frame) for frame in (empty, frames.frame(2))]
    eventually(lambda: all(ticket.ahead is not None for ticket in waiting))
    gated.gate.set()
    assert errors(rig.replies(running, *waiting)) == [0, Code.INVALID_PAYLOAD, 0]


def test_who_has_an_error_already_hears_of_it_when_the_rest_of_the_batch_fails(
    busy: Busy, frames: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, gated, running = busy

    def decode(payload: bytes) -> NDArray[np.float32]:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(frames.codecs[1], "decode", decode)
    owners = [Waiter(), Waiter()]
    damaged, broken = frames.frame(1), frames.frame(2)
    damaged.payload, broken.codec = damaged.payload[:-1], 1
    waiting = [rig.submit(frame, owner) for frame, owner in zip((damaged, broken), owners, strict=True)]
    gated.gate.set()
    assert errors(rig.replies(running, *waiting)) == [0, Code.INVALID_PAYLOAD, Code.INTERNAL]
    eventually(lambda: rig.woken >= set(owners))


def test_a_budget_that_runs_out_is_answered_while_every_worker_is_inside_the_model(
    busy: Busy, frames: Frames
) -> None:
    rig, gated, running = busy
    patient = rig.submit(frames.frame(1), budget_ms=60_000)
    late = [rig.submit(frames.frame(number), budget_ms=20) for number in (2, 3)]
    assert errors(rig.replies(*late)) == [Code.BUDGET_EXCEEDED] * 2
    assert running.reply is None
    gated.gate.set()
    assert errors(rig.replies(running, patient)) == [0, 0]


def test_a_budget_still_runs_out_for_a_frame_that_was_decoded_ahead(busy: Busy, frames: Frames) -> None:
    rig, gated, running = busy
    late = rig.submit(frames.frame(1), budget_ms=400)
    eventually(lambda: late.ahead is not None)
    time.sleep(0.41)
    gated.gate.set()
    assert errors(rig.replies(running, late)) == [0, Code.BUDGET_EXCEEDED]


@pytest.mark.parametrize("workers", [1, 3])
def test_under_load_with_damage_and_departures_every_ticket_that_stays_has_one_reply(
    make_rig: MakeRig, frames: Frames, engine: Engine, workers: int
) -> None:
    rig = make_rig(SlowEngine(engine), BatchPolicy(4, 0.0, 512), workers=workers)
    chance = random.Random(0)
    stay, leave = [Waiter() for _ in range(4)], [Waiter() for _ in range(6)]
    for _ in (*stay, *leave):
        rig.lane.enter()
    kept, expected = [], []
    for number in range(300):
        frame = frames.frame(number)
        if broken := chance.random() < 0.1:
            frame.payload = frame.payload[:-1]
        if chance.random() < 0.3:
            rig.submit(frame, chance.choice(leave))
        else:
            kept.append(rig.submit(frame, chance.choice(stay)))
            expected.append((number, Code.INVALID_PAYLOAD if broken else 0))
        if number % 60 == 59:
            rig.lane.leave(leave.pop())
    replies = rig.replies(*kept)
    assert [(reply.sequence, reply.error.code) for reply in replies] == expected
    answered = [reply for reply in replies if not reply.error.code]
    assert [r.prediction.class_index[0] for r in answered] == [
        frames.right_class(r.sequence) for r in answered
    ]
    outcomes = ("answered", "invalid_payload", "abandoned")
    eventually(lambda: sum(rig.count(outcome) for outcome in outcomes) == 300)


@pytest.mark.parametrize("patience_s", [0.0, 0.006, 0.02])
def test_closing_under_load_leaves_no_frame_without_a_reply(
    make_rig: MakeRig, frames: Frames, engine: Engine, patience_s: float
) -> None:
    others = set(threading.enumerate())
    rig = make_rig(SlowEngine(engine), BatchPolicy(4, 0.0, 512))
    tickets = [rig.submit(frames.frame(number)) for number in range(40)]
    time.sleep(patience_s)
    rig.lane.close(10.0)
    replies = rig.replies(*tickets)
    assert {reply.error.code for reply in replies} <= {0, Code.UNAVAILABLE}
    assert rig.count("answered") == sum(not reply.error.code for reply in replies)
    assert not any(thread.is_alive() for thread in {*threading.enumerate()} - others)


def test_an_answer_left_to_the_helper_that_cannot_be_made_is_an_error(
    busy: Busy,
    frames: Frames,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig, gated, running = busy
    waiting = rig.submit(frames.frame(1))
    time.sleep(0.003)
    by: list[str] = []

    def rank(reading: answers.Reading, outputs: Outputs, top_k: int) -> list[Ranking | None]:
        by.append(threading.current_thread().name)
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patched:
        patched.setattr(answers.Reading, "rank", rank)
        gated.gate.set()
        assert errors(rig.replies(running, waiting)) == [Code.INTERNAL, Code.INTERNAL]
    assert sorted(by) == ["tiny-0", "tiny-helper"]
    assert "a batch of 1 failed" in caplog.text
    assert errors(rig.replies(rig.submit(frames.frame(2)))) == [0]
