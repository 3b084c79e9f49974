"""Servers that refuse, drain, repeat themselves or talk nonsense: real sockets, scripted replies."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event, Lock
from typing import Any

import grpc
import pytest

from siftfunnel.edge_client import Answer, FrameFailure, SplitClient
from siftfunnel.edge_client.errors import BundleMismatch, FrameFailed, ServerRefused, ServerUnreachable
from siftfunnel.edge_client.outcome import Outcome
from siftfunnel.edge_client.settings import ClientSettings, ReconnectPolicy, WindowPolicy
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.edge_client.conftest import pixels
from tests.split_inference import serve_calls

Script = Callable[[int, Iterator[pb.Frame], Any], Iterator[pb.Reply]]
"""(number of the call, frames, context) -> replies."""


class Scripted:
    """Plays a script per call and keeps what it received."""

    def __init__(self, digest: str, script: Script, metadata: tuple[tuple[str, str], ...] | None) -> None:
        self._metadata = (
            (("siftfunnel-bundle", digest), ("siftfunnel-window", "4")) if metadata is None else metadata
        )
        self._script = script
        self._lock = Lock()
        self.calls = 0
        self.received: list[int] = []

    def Stream(self, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        with self._lock:
            number, self.calls = self.calls, self.calls + 1
        context.send_initial_metadata(self._metadata)
        yield from self._script(number, self._noted(frames), context)

    def _noted(self, frames: Iterator[pb.Frame]) -> Iterator[pb.Frame]:
        for frame in frames:
            self.received.append(frame.sequence)
            yield frame


@contextmanager
def scripted(
    bundle: Bundle, script: Script, metadata: tuple[tuple[str, str], ...] | None = None
) -> Iterator[tuple[str, Scripted]]:
    servicer = Scripted(bundle.digest, script, metadata)
    server = grpc.server(ThreadPoolExecutor(8))
    serve_calls(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", servicer
    finally:
        server.stop(0).wait()


def prediction(frame: pb.Frame) -> pb.Reply:
    return pb.Reply(sequence=frame.sequence, prediction=pb.Prediction(class_index=[1], score=[0.75]))


def error(frame: pb.Frame, code: "pb.FrameError.Code", retry_after_ms: int = 0) -> pb.Reply:
    failure = pb.FrameError(code=code, message="scripted", retry_after_ms=retry_after_ms)
    return pb.Reply(sequence=frame.sequence, error=failure)


def settings(connect_timeout_s: float = 10.0, **window: float) -> ClientSettings:
    limits: Any = {"limit": 4, "retry_floor_ms": 1.0, **window}
    reconnect = ReconnectPolicy(initial_ms=5, ceiling_ms=20, connect_timeout_s=connect_timeout_s)
    return ClientSettings(window=WindowPolicy(**limits), reconnect=reconnect)


def send(bundle: Bundle, address: str, frames: int, how: ClientSettings | None = None) -> list[Outcome]:
    with SplitClient(bundle, address, settings=how or settings()) as client:
        return list(client.stream(pixels(seed % 4) for seed in range(frames)))


def sequences(outcomes: list[Outcome]) -> list[int]:
    return sorted(outcome.sequence for outcome in outcomes if outcome.sequence is not None)


def test_a_call_that_breaks_after_every_third_answer_still_answers_all(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for count, frame in enumerate(frames):
            if count == 3:
                context.abort(grpc.StatusCode.UNAVAILABLE, "cable pulled")
            yield prediction(frame)

    with scripted(bundle, script) as (address, servicer):
        outcomes = send(bundle, address, 20)
    assert sequences(outcomes) == list(range(20))
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    assert servicer.calls >= 7
    assert max(outcome.sends for outcome in outcomes if isinstance(outcome, Answer)) > 1


def test_a_stream_that_ends_in_order_too_early_is_opened_again(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        yield prediction(next(frames))

    with scripted(bundle, script) as (address, servicer):
        assert sequences(send(bundle, address, 6)) == list(range(6))
    assert servicer.calls == 6


def test_a_full_server_gets_the_frame_again_after_its_hint(bundle: Bundle) -> None:
    refused: set[int] = set()

    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for frame in frames:
            if frame.sequence % 2 and frame.sequence not in refused:
                refused.add(frame.sequence)
                yield error(frame, pb.FrameError.RESOURCE_EXHAUSTED, retry_after_ms=2)
            else:
                yield prediction(frame)

    with scripted(bundle, script) as (address, servicer):
        outcomes = send(bundle, address, 10)
    assert sequences(outcomes) == list(range(10))
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    assert sorted(servicer.received) == sorted([*range(10), *range(1, 10, 2)])


def test_a_server_that_stays_full_ends_each_frame_with_its_reason(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for frame in frames:
            yield error(frame, pb.FrameError.RESOURCE_EXHAUSTED, retry_after_ms=1)

    with scripted(bundle, script) as (address, servicer):
        outcomes = send(bundle, address, 3, settings(refusals_max=3))
        with (
            SplitClient(bundle, address, settings=settings(refusals_max=3)) as client,
            pytest.raises(FrameFailed, match="refused 3 times"),
        ):
            client.classify(pixels(0))
    assert [o.code for o in outcomes if isinstance(o, FrameFailure)] == ["RESOURCE_EXHAUSTED"] * 3
    assert len(servicer.received) == 12


def test_a_draining_server_is_left_and_its_frames_go_to_the_next_call(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for frame in frames:
            if call == 0 and frame.sequence >= 2:
                yield error(frame, pb.FrameError.UNAVAILABLE)
            else:
                yield prediction(frame)

    with scripted(bundle, script) as (address, servicer):
        outcomes = send(bundle, address, 8)
    assert sequences(outcomes) == list(range(8))
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    assert servicer.calls >= 2


def test_a_single_call_is_made_again_when_the_server_drains(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        frame = next(frames)
        if call == 0:
            context.abort(grpc.StatusCode.UNAVAILABLE, "draining")
        yield error(frame, pb.FrameError.UNAVAILABLE) if call == 1 else prediction(frame)

    with (
        scripted(bundle, script) as (address, servicer),
        SplitClient(bundle, address, settings=settings()) as client,
    ):
        assert client.classify(pixels(0)).sends == 3
    assert servicer.received == [0, 0, 0]


def test_single_pictures_go_through_one_call_and_a_lost_one_is_made_again(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for frame in frames:
            yield prediction(frame)
            if frame.sequence == 2:
                context.abort(grpc.StatusCode.UNAVAILABLE, "gives way")

    with (
        scripted(bundle, script) as (address, servicer),
        SplitClient(bundle, address, settings=settings()) as client,
    ):
        answers = [client.classify(pixels(0)) for _ in range(6)]
    assert [answer.sequence for answer in answers] == list(range(6))
    assert servicer.calls == 2


def test_replies_said_twice_or_to_nobody_make_no_second_outcome(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for frame in frames:
            yield prediction(frame)
            yield prediction(frame)
            yield error(pb.Frame(sequence=10_000 + frame.sequence), pb.FrameError.INTERNAL)

    with scripted(bundle, script) as (address, _):
        outcomes = send(bundle, address, 9)
    assert sequences(outcomes) == list(range(9))
    assert all(isinstance(outcome, Answer) for outcome in outcomes)


NONSENSE = {
    "no outcome": lambda frame: pb.Reply(sequence=frame.sequence),
    "no class": lambda frame: pb.Reply(sequence=frame.sequence, prediction=pb.Prediction()),
    "an unknown class": lambda frame: pb.Reply(
        sequence=frame.sequence, prediction=pb.Prediction(class_index=[3], score=[1.0])
    ),
    "a class without score": lambda frame: pb.Reply(
        sequence=frame.sequence, prediction=pb.Prediction(class_index=[0])
    ),
    "a score that is not finite": lambda frame: pb.Reply(
        sequence=frame.sequence, prediction=pb.Prediction(class_index=[0], score=[float("nan")])
    ),
    "a score above 1": lambda frame: pb.Reply(
        sequence=frame.sequence, prediction=pb.Prediction(class_index=[0], score=[7.0])
    ),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_a_reply_that_breaks_the_contract_is_an_error_of_its_frame(bundle: Bundle, what: str) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for frame in frames:
            yield NONSENSE[what](frame) if frame.sequence == 1 else prediction(frame)

    with scripted(bundle, script) as (address, _):
        outcomes = send(bundle, address, 3)
    failures = [outcome for outcome in outcomes if isinstance(outcome, FrameFailure)]
    assert [(failure.sequence, failure.code) for failure in failures] == [(1, "BAD_REPLY")]
    assert sequences(outcomes) == [0, 1, 2]


def test_a_code_that_this_device_does_not_know_is_still_an_error_of_its_frame(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for frame in frames:
            yield error(frame, 77)

    with scripted(bundle, script) as (address, _):
        (outcome,) = send(bundle, address, 1)
    assert isinstance(outcome, FrameFailure)
    assert outcome.code == "CODE_77"


def test_a_frame_that_ends_the_call_each_time_is_found_and_the_others_are_answered(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for frame in frames:
            if frame.sequence == 5:
                context.abort(grpc.StatusCode.INTERNAL, "poisoned")
            yield prediction(frame)

    with scripted(bundle, script) as (address, _):
        outcomes = send(bundle, address, 12)
    assert sequences(outcomes) == list(range(12))
    failures = [outcome for outcome in outcomes if isinstance(outcome, FrameFailure)]
    assert [(failure.sequence, failure.code) for failure in failures] == [(5, "REJECTED")]
    assert "poisoned" in failures[0].message


def test_a_server_that_falls_silent_is_left_and_given_up_in_the_end(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        over = Event()
        context.add_callback(over.set)
        frame = next(frames)
        if call == 0:
            yield prediction(frame)
        over.wait(20)

    collected: list[Outcome] = []
    with (
        scripted(bundle, script) as (address, servicer),
        SplitClient(bundle, address, settings=settings(reply_timeout_s=0.3)) as client,
        pytest.raises(ServerUnreachable, match="answered nothing"),
    ):
        collected.extend(client.stream(pixels(seed) for seed in range(4)))
    assert servicer.calls == 2
    assert [o.sequence for o in collected if isinstance(o, Answer)] == [0]
    assert [o.code for o in collected if isinstance(o, FrameFailure)] == ["UNREACHABLE"] * 3
    assert sequences(collected) == [0, 1, 2, 3]


def test_no_feature_is_sent_to_a_server_that_serves_another_bundle(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for frame in frames:
            yield prediction(frame)

    with scripted(bundle, script, (("siftfunnel-bundle", "ab" * 32),)) as (address, servicer):
        with pytest.raises(BundleMismatch, match=bundle.digest):
            send(bundle, address, 3)
        assert servicer.received == []


def test_no_feature_is_sent_to_a_server_that_does_not_say_what_it_serves(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        yield from ()

    with scripted(bundle, script, ()) as (address, servicer):
        with pytest.raises(ServerRefused, match="does not tell which bundle"):
            send(bundle, address, 3)
        assert servicer.received == []


def test_a_server_without_the_service_is_said_so(bundle: Bundle) -> None:
    server = grpc.server(ThreadPoolExecutor(2))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with pytest.raises(ServerRefused, match="UNIMPLEMENTED"):
            send(bundle, f"127.0.0.1:{port}", 1)
    finally:
        server.stop(0).wait()


def test_a_reply_that_is_no_message_is_an_error_of_its_frame(bundle: Bundle) -> None:
    metadata = (("siftfunnel-bundle", bundle.digest), ("siftfunnel-window", "4"))

    def babble(frames: Iterator[bytes], context: Any) -> Iterator[bytes]:
        context.send_initial_metadata(metadata)
        for _ in frames:
            yield b"\xff\xff\xff"

    server = grpc.server(ThreadPoolExecutor(4))
    method = grpc.stream_stream_rpc_method_handler(babble)
    service = grpc.method_handlers_generic_handler("siftfunnel.v1.SplitInference", {"Stream": method})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        outcomes = send(bundle, f"127.0.0.1:{port}", 2)
    finally:
        server.stop(0).wait()
    assert [(o.sequence, o.code) for o in outcomes if isinstance(o, FrameFailure)] == [
        (0, "DAMAGED"),
        (1, "DAMAGED"),
    ]


def test_a_message_over_the_servers_limit_is_an_error_of_its_frame(bundle: Bundle) -> None:
    servicer = Scripted(bundle.digest, lambda call, frames, context: map(prediction, frames), None)
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", 600)])
    serve_calls(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with SplitClient(bundle, f"127.0.0.1:{port}", codec="fp32", settings=settings()) as client:
            outcomes = list(client.stream([pixels(0), pixels(1)]))
    finally:
        server.stop(0).wait()
    assert [o.code for o in outcomes if isinstance(o, FrameFailure)] == ["REJECTED", "REJECTED"]
    assert all("RESOURCE_EXHAUSTED" in o.message for o in outcomes if isinstance(o, FrameFailure))


@pytest.mark.parametrize("window", ["9" * 5000, "0", "-3", "a lot", ""])
def test_a_window_that_no_server_would_tell_costs_no_frame(bundle: Bundle, window: str) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        yield from map(prediction, frames)

    told = (("siftfunnel-bundle", bundle.digest), ("siftfunnel-window", window))
    with scripted(bundle, script, told) as (address, _):
        outcomes = send(bundle, address, 6)
    assert [type(outcome) for outcome in outcomes] == [Answer] * 6


def test_a_compressed_message_is_refused_and_not_inflated(bundle: Bundle) -> None:
    def script(call: int, frames: Iterator[pb.Frame], context: Any) -> Iterator[pb.Reply]:
        for frame in frames:
            yield pb.Reply(sequence=frame.sequence, error=pb.FrameError(message="A" * 10**6))

    servicer = Scripted(bundle.digest, script, None)
    server = grpc.server(ThreadPoolExecutor(4), compression=grpc.Compression.Gzip)
    serve_calls(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # gRPC ends the call, unless the message is faster
    refusals = "'gzip' is disabled|DAMAGED"
    try:
        with SplitClient(bundle, f"127.0.0.1:{port}", settings=settings()) as client:
            for _ in range(5):
                with pytest.raises((ServerRefused, FrameFailed), match=refusals) as told:
                    client.classify(pixels(0))
                assert "AAAA" not in str(told.value)
            with suppress(ServerRefused):
                (outcome,) = client.stream([pixels(0)])
                assert isinstance(outcome, FrameFailure)
                assert outcome.code == "DAMAGED"
    finally:
        server.stop(0).wait()
