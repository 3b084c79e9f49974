"""Answers that were changed on the way are asked for again, never taken."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.edge_client import Answer, FrameFailed, FrameFailure, SplitClient
from siftfunnel.edge_client.frame import EncodedFrame
from siftfunnel.edge_client.outcome import Outcome
from siftfunnel.edge_client.replies import Expected
from siftfunnel.edge_client.settings import ClientSettings, WindowPolicy
from siftfunnel.edge_client.settlement import Agreement, Terms, take_reply
from siftfunnel.edge_client.window import InFlightWindow, Send
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.call_metadata import BUNDLE_KEY, MESSAGE_BYTES_KEY, SEALED, SEALED_KEY, WINDOW_KEY
from siftfunnel.shared.reply_seal import ReplySeal
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tensors import OutputSpec
from tests.edge_client.conftest import pixels
from tests.edge_client.test_faults import prediction, settings

Spoil = Callable[[int, bytes], bytes]
"""(how many replies came before, sealed reply) -> what is sent instead."""

METHODS = ["one by one", "Stream", "StreamBatches"]


@contextmanager
def sealing(bundle: Bundle, spoil: Spoil, announced: bool = True) -> Iterator[str]:
    """A server that seals its replies, and a line that spoils some."""
    seal = ReplySeal(bundle.digest)
    told = [(BUNDLE_KEY, bundle.digest), (WINDOW_KEY, "4"), (MESSAGE_BYTES_KEY, "100000")]
    told += [(SEALED_KEY, SEALED)] * announced
    count = iter(range(10**6))

    def reply(frame: pb.Frame) -> bytes:
        return spoil(next(count), seal.close(frame.payload, prediction(frame).SerializeToString()))

    def stream(messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        context.send_initial_metadata(told)
        yield from (reply(pb.Frame.FromString(message)) for message in messages)

    def batches(messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        context.send_initial_metadata(told)
        for frame in chain.from_iterable(pb.Frames.FromString(message).frames for message in messages):
            yield pb.SerialisedReplies(replies=[reply(frame)]).SerializeToString()

    server = grpc.server(ThreadPoolExecutor(4))
    handlers = {
        "Stream": grpc.stream_stream_rpc_method_handler(stream),
        "StreamBatches": grpc.stream_stream_rpc_method_handler(batches),
    }
    service = grpc.method_handlers_generic_handler("siftfunnel.v1.SplitInference", handlers)
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def outcomes_of(bundle: Bundle, address: str, method: str, frames: int) -> list[Outcome]:
    several = 2 if method == "StreamBatches" else 1
    patient = settings()
    how = ClientSettings(window=patient.window, reconnect=patient.reconnect, frames_per_message=several)
    with SplitClient(bundle, address, settings=how) as client:
        if method != "one by one":
            return list(client.stream(pixels(seed % 4) for seed in range(frames)))
        return [client.classify(pixels(seed % 4)) for seed in range(frames)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bit", [3, 40, 90, -1])
def test_a_flipped_bit_costs_a_second_sending_and_no_answer_is_changed(
    bundle: Bundle, method: str, bit: int
) -> None:
    def spoil(before: int, sealed: bytes) -> bytes:
        if before % 5 != 2:
            return sealed
        place = bit % (len(sealed) * 8)
        spoiled = bytearray(sealed)
        spoiled[place // 8] ^= 1 << place % 8
        return bytes(spoiled)

    with sealing(bundle, spoil) as address:
        outcomes = outcomes_of(bundle, address, method, 10)
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    assert sorted(answer.sequence for answer in answers) == list(range(10))
    assert {(answer.class_name, answer.score) for answer in answers} == {(bundle.manifest.classes[1], 0.75)}
    assert sum(answer.sends - 1 for answer in answers) >= 2


@pytest.mark.parametrize("method", METHODS)
def test_a_reply_without_the_checksum_that_was_announced_is_damaged(bundle: Bundle, method: str) -> None:
    with sealing(bundle, lambda before, sealed: sealed[:-5] if before == 0 else sealed) as address:
        outcomes = outcomes_of(bundle, address, method, 3)
    assert sorted(outcome.sends for outcome in outcomes if isinstance(outcome, Answer)) == [1, 1, 2]


@pytest.mark.parametrize("method", METHODS)
def test_a_server_that_announces_no_checksums_needs_none(bundle: Bundle, method: str) -> None:
    with sealing(bundle, lambda before, sealed: sealed[:-5], announced=False) as address:
        outcomes = outcomes_of(bundle, address, method, 6)
    assert [outcome.sends for outcome in outcomes if isinstance(outcome, Answer)] == [1] * 6


def test_replies_that_are_damaged_each_time_are_a_typed_error_of_their_frame(bundle: Bundle) -> None:
    with sealing(bundle, lambda before, sealed: sealed[:-1]) as address:
        outcomes = outcomes_of(bundle, address, "Stream", 2)
        with pytest.raises(FrameFailed, match="DAMAGED"):
            outcomes_of(bundle, address, "one by one", 1)
    assert [(o.sequence, o.code, o.sends) for o in outcomes if isinstance(o, FrameFailure)] == [
        (0, "DAMAGED", 3),
        (1, "DAMAGED", 3),
    ]


def test_a_single_calls_reply_to_another_number_is_damaged(bundle: Bundle) -> None:
    other = pb.Reply(sequence=99, prediction=pb.Prediction(class_index=[1], score=[0.5])).SerializeToString()
    with (
        sealing(bundle, lambda before, sealed: other if before == 0 else sealed, announced=False) as address,
        SplitClient(bundle, address, settings=settings()) as client,
    ):
        assert client.classify(pixels(0)).sends == 2


SEAL = ReplySeal("ab" * 32)
CLASSES = ("circle", "square")
EXPECTED = Expected(CLASSES, CLASSES, (OutputSpec("logits", "logits", (2,)),))
AGREEMENT = Agreement("tiny", EXPECTED, "q4", 0, SEAL)


def window_of(*payloads: bytes) -> InFlightWindow:
    window = InFlightWindow(WindowPolicy(), lambda: 0.0)
    window.connected(8, 0.0)
    for sequence, payload in enumerate(payloads):
        window.hand_in(EncodedFrame(sequence, f"{sequence}.png", None, payload))
    while isinstance(window.next_step(0.0), Send):
        pass
    return window


def test_an_answer_that_carries_another_frames_number_does_not_cross_over() -> None:
    """The number was changed on the way up, so the server has sealed it: only the payload tells."""
    window = window_of(b"first", b"second")
    crossed = SEAL.close(b"first", prediction(pb.Frame(sequence=1)).SerializeToString())
    assert take_reply(window, crossed, AGREEMENT, Terms(8, True), 0.1) is None
    assert window.unanswered == 2
    assert isinstance(window.next_step(0.1), Send)


@given(st.binary(max_size=64), st.booleans())
def test_whatever_comes_from_the_network_leaves_each_frame_one_outcome(data: bytes, sealed: bool) -> None:
    window = window_of(b"first", b"second")
    settled = take_reply(window, data, AGREEMENT, Terms(8, sealed), 0.1)
    assert window.unanswered + len(window.take_failed()) + (settled is not None) == 2
