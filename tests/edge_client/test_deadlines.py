"""Budgets, closing and cancelling end what waits, with a server that takes everything and says nothing."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest

from siftfunnel.edge_client import Answer, FrameFailed, FrameFailure, SplitClient
from siftfunnel.edge_client.delivery import Delivery
from siftfunnel.edge_client.settings import ClientSettings
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.edge_client.conftest import pixels
from tests.edge_client.test_faults import error, prediction, scripted, sequences, settings

PATIENCE_S = 20.0
"""Far beyond what a call takes that does not hang, far below the minute that one that hangs would take."""


@contextmanager
def silent(bundle: Bundle) -> Iterator[str]:
    """A server that answers nothing until it ends."""
    over = Event()

    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for _ in frames:
            over.wait(60)
        yield from ()

    with scripted(bundle, script) as (address, _):
        try:
            yield address
        finally:
            over.set()


def within_patience(do: Callable[[], object]) -> object:
    """What a call on a thread of its own gives or raises."""
    told: list[object] = []

    def run() -> None:
        try:
            told.append(do())
        except Exception as trouble:
            told.append(trouble)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert told, "still waiting"
    return told[0]


def test_classify_comes_back_when_its_budget_is_over(bundle: Bundle) -> None:
    with silent(bundle) as address, SplitClient(bundle, address, budget_ms=300) as client:
        failed = within_patience(lambda: client.classify(pixels(0)))
    assert isinstance(failed, FrameFailed)
    assert failed.failure.code == "BUDGET_EXCEEDED"
    assert "before the answer came" in failed.failure.message


def test_frames_in_flight_expire_and_the_stream_goes_on(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siftfunnel.edge_client.delivery._END_TIMEOUT_S", 0.2)
    with silent(bundle) as address, SplitClient(bundle, address, budget_ms=300) as client:
        outcomes = within_patience(lambda: list(client.stream(pixels(seed) for seed in range(6))))
    assert isinstance(outcomes, list)
    assert sequences(outcomes) == list(range(6))
    assert {each.code for each in outcomes} == {"BUDGET_EXCEEDED"}


def test_an_answer_that_is_later_than_its_budget_is_none(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for frame in frames:
            time.sleep(0.6 if frame.sequence == 0 else 0.0)
            yield prediction(frame)

    def late() -> Iterator[object]:
        yield pixels(0)
        time.sleep(1.0)
        yield pixels(1)

    with scripted(bundle, script) as (address, _), SplitClient(bundle, address, budget_ms=500) as client:
        outcomes = list(client.stream(late()))
    kinds = {each.sequence: getattr(each, "code", "answer") for each in outcomes}
    assert kinds == {0: "BUDGET_EXCEEDED", 1: "answer"}


def test_a_budget_bounds_the_wait_for_a_server_that_is_not_there(
    bundle: Bundle, free_port: Callable[[], int]
) -> None:
    server = f"127.0.0.1:{free_port()}"
    with SplitClient(bundle, server, budget_ms=200) as client:
        failed = within_patience(lambda: client.classify(pixels(0)))
        streamed = within_patience(lambda: list(client.stream([pixels(0)])))
    assert isinstance(failed, FrameFailed)
    assert isinstance(streamed, list)
    for failure in (failed.failure, *streamed):
        assert failure.code == "BUDGET_EXCEEDED"
        assert f"no server at {server}; is `siftfunnel cloud` running there?" in failure.message


def test_close_ends_a_call_that_waits(bundle: Bundle) -> None:
    with silent(bundle) as address:
        client = SplitClient(bundle, address)
        closing = threading.Timer(0.3, client.close)
        closing.start()
        failed = within_patience(lambda: client.classify(pixels(0)))
        closing.join()
    assert isinstance(failed, FrameFailed)
    assert failed.failure.code == "CANCELLED"


def test_close_ends_a_call_that_waits_for_a_server_to_come_back(
    bundle: Bundle, free_port: Callable[[], int]
) -> None:
    client = SplitClient(bundle, f"127.0.0.1:{free_port()}", connect_timeout_s=60)
    closing = threading.Timer(0.3, client.close)
    closing.start()
    failed = within_patience(lambda: client.classify(pixels(0)))
    closing.join()
    assert isinstance(failed, FrameFailed)
    assert failed.failure.code == "CANCELLED"


def test_a_cancelled_task_leaves_no_call_behind(bundle: Bundle) -> None:
    async def main(address: str) -> None:
        async with SplitClient(bundle, address) as client:
            tasks = [asyncio.create_task(client.aclassify(pixels(0))) for _ in range(3)]
            await asyncio.sleep(0.3)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(each) for each in ended] == [asyncio.CancelledError] * 3

    # asyncio.run waits for the threads that the calls were made on
    with silent(bundle) as address:
        assert within_patience(lambda: asyncio.run(main(address))) is None


def test_a_call_that_is_late_does_not_take_the_connection_from_others(bundle: Bundle) -> None:
    release = Event()
    devices = set()

    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for frame in frames:
            devices.add(context.peer())
            if frame.sequence == 1:
                release.wait(10)
            yield prediction(frame)

    with scripted(bundle, script) as (address, _):
        with SplitClient(bundle, address, budget_ms=400) as client:
            assert client.classify(pixels(0)).sends == 1
            with pytest.raises(FrameFailed, match="BUDGET_EXCEEDED"):
                client.classify(pixels(1))
            assert client.classify(pixels(2)).sends == 1
        release.set()
    assert len(devices) == 1


def test_a_frame_that_a_busy_server_skips_has_its_outcome_while_the_stream_goes_on(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for frame in frames:
            if frame.sequence != 1:
                yield prediction(frame)

    stop = Event()

    def source() -> Iterator[object]:
        while not stop.is_set():
            yield pixels(0)
            stop.wait(0.02)

    patient = settings(passed_over_s=0.2, losses_max=2)
    with scripted(bundle, script) as (address, servicer):
        outcomes = []
        with SplitClient(bundle, address, settings=patient) as client:
            for outcome in client.stream(source()):
                outcomes.append(outcome)
                if isinstance(outcome, FrameFailure):
                    stop.set()
    (failure,) = (outcome for outcome in outcomes if isinstance(outcome, FrameFailure))
    assert (failure.sequence, failure.code, failure.sends) == (1, "NO_REPLY", 2)
    assert sequences(outcomes) == list(range(len(outcomes)))
    assert servicer.calls == 1


def test_who_stops_waiting_leaves_no_answer_for_the_next(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for frame in frames:
            time.sleep(0.05)
            yield prediction(frame)

    def interrupted(delivery: Delivery, timeout_s: float | None = None) -> None:
        raise KeyboardInterrupt

    with scripted(bundle, script) as (address, _), SplitClient(bundle, address) as client:
        assert client.classify(pixels(0)).sequence == 0
        with monkeypatch.context() as patched:
            patched.setattr(Delivery, "next_outcome", interrupted)
            with pytest.raises(KeyboardInterrupt):
                client.classify(pixels(0))
        assert client.classify(pixels(0)).sequence == 2


def test_a_frame_that_is_skipped_is_sent_again_when_nothing_else_is_under_way(bundle: Bundle) -> None:
    skipped: list[int] = []

    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for frame in frames:
            if frame.sequence == 1 and not skipped:
                skipped.append(1)
            else:
                yield prediction(frame)

    def source() -> Iterator[object]:
        yield from (pixels(0), pixels(1), pixels(2))
        assert answered.wait(PATIENCE_S)

    answered = Event()
    patient = settings(passed_over_s=0.2, reply_timeout_s=60.0)
    with scripted(bundle, script) as (address, _), SplitClient(bundle, address, settings=patient) as client:
        outcomes = []
        for outcome in client.stream(source()):
            outcomes.append(outcome)
            if outcome.sequence == 1:
                answered.set()
    assert {each.sequence: each.sends for each in outcomes if isinstance(each, Answer)} == {0: 1, 1: 2, 2: 1}


def test_a_hint_of_seven_weeks_is_cut_to_the_longest_wait(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for frame in frames:
            if frame.sequence in seen:
                yield prediction(frame)
            else:
                seen.add(frame.sequence)
                yield error(frame, pb.FrameError.RESOURCE_EXHAUSTED, retry_after_ms=2**32 - 1)

    seen: set[int] = set()
    short: ClientSettings = settings(retry_ceiling_ms=50.0)
    with scripted(bundle, script) as (address, _), SplitClient(bundle, address, settings=short) as client:
        outcomes = within_patience(lambda: list(client.stream([pixels(0), pixels(1)])))
        answer = within_patience(lambda: client.classify(pixels(2)))
    assert isinstance(outcomes, list)
    assert all(isinstance(each, Answer) for each in (*outcomes, answer))


def test_a_flood_of_replies_to_nothing_is_told_and_ends(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for number in range(10**6):
            yield prediction(pb.Frame(sequence=10_000 + number))

    with scripted(bundle, script) as (address, servicer):
        trouble = within_patience(
            lambda: list(SplitClient(bundle, address, settings=settings()).stream([pixels(0)]))
        )
    assert "sends replies to frames that it was not sent" in str(trouble)
    assert address in str(trouble)
    assert servicer.calls == 2
