"""What may go wrong between a device and its server, caused on purpose.

One invariant: each frame that was handed in is answered exactly once, or ends in an error that says why; it
never gets another frame's answer; and afterwards the server holds nothing of it.
"""

import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from siftfunnel.cloud_server.ceilings import Ceilings
from siftfunnel.cloud_server.server import CloudServer
from siftfunnel.edge_client import Answer, SplitClient
from siftfunnel.edge_client.settings import ClientSettings, ReconnectPolicy, WindowPolicy
from siftfunnel.shared.access import ClientLimits
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.wire import codec_by_name, make_codecs
from tests.edge_client.conftest import pixels, serving
from tests.faults.soak import soak
from tests.faults.toxics import Direction, Toxic, ToxicRelay, relaying
from tests.tinybundle import make_tiny_bundle

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "faults.md"
PICTURES = 60
HURRY = ClientSettings(
    window=WindowPolicy(reply_timeout_s=0.5),
    reconnect=ReconnectPolicy(initial_ms=20, ceiling_ms=100, connect_timeout_s=30, stalls_max=1000),
)
TOXICS: dict[str, Toxic] = {
    "latency": Toxic(latency_ms=5, jitter_ms=5),
    "bandwidth": Toxic(rate_kb_s=200),
    "slow_close": Toxic(delay_ms=200),
    "timeout": Toxic(timeout_ms=0),
    "timeout, then closed": Toxic(timeout_ms=50),
    "reset_peer": Toxic(reset_ms=0),
    "slicer": Toxic(slice_bytes=7, slice_us=10),
    "limit_data": Toxic(most_bytes=5000),
}
BREAKING = {"timeout", "timeout, then closed", "reset_peer", "limit_data"}
"""Nothing gets through while they are there: they are taken out after a while, as faults end."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="module")
def pictures() -> Sequence[NDArray[np.uint8]]:
    return [pixels(seed) for seed in range(PICTURES)]


@pytest.fixture(scope="module")
def scores(bundle: Bundle, pictures: Sequence[NDArray[np.uint8]]) -> list[float]:
    """What the server says of each picture when nothing goes wrong: different for each."""
    with serving(bundle) as address, SplitClient(bundle, address) as client:
        found = [answer.score for answer in client.stream(pictures) if isinstance(answer, Answer)]
    assert len(set(found)) == PICTURES
    return found


@contextmanager
def watched(bundle: Bundle, **told: object) -> Iterator[tuple[int, CloudServer]]:
    """A server's port, and the server: after the test it must hold nothing."""
    made: list[CloudServer] = []
    original = CloudServer.start

    async def start(self: CloudServer) -> None:
        made.append(self)
        await original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CloudServer, "start", start)
        with serving(bundle, **told) as address:
            yield int(address.rpartition(":")[2]), made[0]
            deadline_s = time.monotonic() + 10
            while made[0]._service.calls_open and time.monotonic() < deadline_s:
                time.sleep(0.02)
            assert made[0]._service.unanswered == 0
            for _, allowance in made[0]._service._door._known.values():
                assert (allowance.frames, allowance.held_bytes) == (0, 0)


def each_answered_once(
    bundle: Bundle, port: int, pictures: Sequence[NDArray[np.uint8]], scores: Sequence[float]
) -> None:
    with SplitClient(bundle, f"127.0.0.1:{port}", settings=HURRY) as client:
        outcomes = list(client.stream(pictures))
    assert sorted(outcome.sequence or 0 for outcome in outcomes) == list(range(len(pictures)))
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    assert len(answers) == len(pictures), {getattr(outcome, "code", "") for outcome in outcomes}
    for answer in answers:
        assert answer.score == pytest.approx(scores[answer.sequence], abs=1e-5)


@contextmanager
def spoiled(relay: ToxicRelay, name: str, direction: Direction) -> Iterator[None]:
    """A toxic that comes while frames pass; one that lets nothing through goes again, and comes again."""
    done = threading.Event()

    def spoil() -> None:
        while not done.is_set():
            relay.toxics[direction] = TOXICS[name]
            done.wait(0.15 if name in BREAKING else 30)
            relay.toxics.pop(direction)
            done.wait(1.0)

    thread = threading.Thread(target=spoil)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


CASES = [(name, direction) for name in TOXICS for direction in ("upstream", "downstream")]
QUICK = {("slicer", "upstream"), ("reset_peer", "downstream")}


@pytest.mark.parametrize(
    ("name", "direction"),
    [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES],
)
def test_under_a_toxic_each_frame_is_answered_once_with_its_own_answer(
    name: str,
    direction: Direction,
    bundle: Bundle,
    pictures: Sequence[NDArray[np.uint8]],
    scores: Sequence[float],
) -> None:
    with watched(bundle) as (port, _), relaying(port) as relay:
        with spoiled(relay, name, direction):
            each_answered_once(bundle, relay.port, pictures, scores)
        assert relay.connections


def test_a_relay_that_goes_down_and_comes_back_costs_no_frame(
    bundle: Bundle, pictures: Sequence[NDArray[np.uint8]], scores: Sequence[float]
) -> None:
    with watched(bundle) as (port, _), relaying(port) as relay:

        def flap() -> None:
            for enabled in (False, True) * 4:
                time.sleep(0.1)
                relay.enabled = enabled

        thread = threading.Thread(target=flap)
        thread.start()
        each_answered_once(bundle, relay.port, pictures * 2, [*scores, *scores])
        thread.join()


def test_connections_that_come_and_go_leave_nothing_behind(bundle: Bundle) -> None:
    """Whole ones, silent ones, ones that say nonsense, ones that vanish in the middle."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
    with watched(bundle) as (port, server):
        for said in (
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            preface,
            preface[:30],
            bytes(64),
            preface + b"\xff" * 50,
        ) * 30:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(said)
        assert server.state() == "serving"
        with SplitClient(bundle, f"127.0.0.1:{port}") as client:
            assert client.classify(pixels(0)).class_name


@pytest.mark.slow
def test_a_thousand_streams_each_get_their_own_answers(bundle: Bundle) -> None:
    codec = codec_by_name(make_codecs(bundle.manifest, bundle.digest), "fp32")
    rng = np.random.default_rng(0)
    payload = codec.encode(rng.random(bundle.manifest.feature.shape, np.float32))
    ceilings = Ceilings(connections=100, calls=1100, client=ClientLimits(calls=1100, frames=2200))
    metadata = (("siftfunnel-bundle", bundle.digest),)
    with watched(bundle, ceilings=ceilings) as (port, _):
        channels = [grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.channel_id", n)]) for n in range(10)]
        frames = [
            [
                pb.Frame(sequence=2 * n + k, codec=codec.index, payload=payload).SerializeToString()
                for k in (0, 1)
            ]
            for n in range(1000)
        ]
        opened = [
            channels[n % 10].stream_stream("/siftfunnel.v1.SplitInference/Stream")(
                iter(two), metadata=metadata
            )
            for n, two in enumerate(frames)
        ]
        for n, call in enumerate(opened):
            replies = [pb.Reply.FromString(message) for message in call]
            assert [reply.sequence for reply in replies] == [2 * n, 2 * n + 1]
            assert all(reply.HasField("prediction") for reply in replies)
        for channel in channels:
            channel.close()


def test_a_drain_under_load_answers_what_was_taken_and_the_rest_goes_to_the_next_server(
    bundle: Bundle, pictures: Sequence[NDArray[np.uint8]], scores: Sequence[float]
) -> None:
    with watched(bundle) as (second, _), watched(bundle) as (first, server):
        both = f"127.0.0.1:{first},127.0.0.1:{second}"
        with SplitClient(bundle, both, settings=HURRY) as client:
            outcomes = []
            for outcome in client.stream(pictures):
                outcomes.append(outcome)
                if len(outcomes) == PICTURES // 3:
                    server._loop.call_soon_threadsafe(server._service.drain)
    assert sorted(outcome.sequence or 0 for outcome in outcomes) == list(range(PICTURES))
    for answer in outcomes:
        assert isinstance(answer, Answer)
        assert answer.score == pytest.approx(scores[answer.sequence], abs=1e-5)


def test_every_fault_of_the_page_has_its_tests() -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", PAGE.read_text("utf-8"))
    assert len(named) > 20
    for place, test in named:
        assert f"def {test}(" in (ROOT / "tests" / place).read_text("utf-8"), (place, test)


@pytest.mark.slow
def test_a_server_that_is_used_and_abused_for_a_while_holds_no_more_than_before() -> None:
    found = soak(1.0)
    assert found["frames_answered"] > 0
    assert (found["frames_wrong_or_lost"], found["frames_failed"]) == (0, 0)
    assert found["growth_mib"] < 16
