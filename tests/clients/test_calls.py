"""The reference clients against the real server, in the attacker's earshot, and against one made by hand."""

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest

from siftfunnel.certs import make_certificates
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.reply_seal import ReplySeal
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shipped import assets_directory
from tests.clients.conftest import Client
from tests.cloud_server.conftest import Frames
from tests.conftest import Processes
from tests.shared.golden.vectors import NAMES
from tests.tinybundle import make_tiny_bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
STREAMED, ALONE = 150, 5
"""Frames of each codec: more than two windows in one call, and one call each."""
SHIPPED = "cifar10-siftfunnel"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def frames(bundle: Bundle) -> Frames:
    return Frames(bundle)


class Service(NamedTuple):
    """Where a cloud is found, in plain text and with TLS."""

    plain: str
    tls: str
    ca: Path


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    processes = Processes(tmp_path_factory.mktemp("processes"))
    yield processes
    processes.stop()


@pytest.fixture(scope="module")
def service(children: Processes, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A cloud of two bundles."""
    certificates = make_certificates(tmp_path_factory.mktemp("certs"))
    tls = ("--tls-cert", certificates.server, "--tls-key", certificates.server_key)
    child = children.siftfunnel(
        *("cloud", "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", *tls),
        *("--bundle", bundle.directory, "--bundle", assets_directory() / "bundles" / SHIPPED),
    )
    ready = ready_line(child.wait_for('"pid"', timeout_s=60))
    return Service(ready["grpc"], ready["grpc_tls"].replace("127.0.0.1", "localhost"), certificates.ca)


@pytest.fixture
def attacker(processes: Processes, bundle: Bundle, service: Service) -> dict[str, Any]:
    """What an attacker in the path prints: where it listens, and where its page is."""
    tap = f"relay:0:{service.plain}"
    child = processes.siftfunnel(
        "attacker", "--tap", tap, "--http", "127.0.0.1:0", "--bundle", bundle.directory
    )
    return ready_line(child.wait_for('"ready": true', timeout_s=60))


def ready_line(output: str) -> dict[str, Any]:
    (line,) = re.findall(r'^\{"ready": true.*\}$', output, re.MULTILINE)
    return dict(json.loads(line))


def test_every_frame_is_answered_rightly_and_found_by_the_tap(
    client: Client, attacker: dict[str, Any], bundle: Bundle, frames: Frames
) -> None:
    relay, manifest = attacker["taps"][0]["address"], bundle.directory / "manifest.json"
    features = np.stack([frames.features(seed) for seed in range(STREAMED + ALONE)])
    right = [frames.right_class(seed) for seed in range(STREAMED + ALONE)]
    for name in NAMES:
        streamed = client.answers("stream", manifest, name, client.written(features[:STREAMED]), relay)
        alone = client.answers("infer", manifest, name, client.written(features[STREAMED:]), relay)
        assert [answer["sequence"] for answer in streamed + alone] == [*range(STREAMED), *range(ALONE)]
        best = [answer["classes"][0] for answer in streamed + alone]
        agreement = np.mean([each["index"] == wanted for each, wanted in zip(best, right, strict=True)])
        assert agreement >= (1.0 if name == "fp32" else 0.8), name
        assert all(each["name"] == bundle.manifest.classes[each["index"]] for each in best)
    expected = {name: STREAMED + ALONE for name in NAMES}
    tally = heard(attacker["http"], expected, bundle.manifest.name)
    assert {name: codec["frames"] for name, codec in tally["codecs"].items()} == expected
    assert tally["answers_overheard"] == sum(expected.values())
    assert (tally["frames_undecodable"], tally["errors_overheard"], tally["frames_resent"]) == (0, 0, 0)


def heard(http: str, expected: dict[str, int], name: str) -> dict[str, Any]:
    """The attacker's books, once they are as long as is expected, or after a while."""
    deadline = time.monotonic() + 30
    while True:
        with urllib.request.urlopen(f"http://{http}/summary", timeout=20) as response:
            tally: dict[str, Any] = json.load(response)["bundles"].get(name, {})
        if tally.get("answers_overheard") == sum(expected.values()) or time.monotonic() > deadline:
            return tally
        time.sleep(0.1)


def test_the_readme_does_what_it_says(client: Client, service: Service) -> None:
    result = client.story("use", service.plain)
    assert result.returncode == 0, result.stderr
    described, *answers = map(json.loads, result.stdout.splitlines())
    assert SHIPPED in [each["name"] for each in described["bundles"]]
    assert [len(answer["classes"]) for answer in answers] == [3] * 10 + [1] * 10
    assert (client.folder / "decoded.f32").read_bytes() == (client.folder / "features.f32").read_bytes()


def test_tls_is_spoken_to_a_server_that_has_it(
    client: Client, service: Service, bundle: Bundle, frames: Frames
) -> None:
    file = client.written(frames.features(0))
    asked = ("--ca", service.ca, "infer", bundle.directory / "manifest.json", "fp32", file, service.tls)
    (answer,) = client.answers(*asked)
    assert answer["classes"][0]["index"] == frames.right_class(0)


@pytest.mark.parametrize("command", ["infer", "stream"])
def test_a_call_that_is_turned_down_says_why(
    client: Client, service: Service, bundle: Bundle, frames: Frames, command: str
) -> None:
    file = client.written(frames.features(0))
    result = client.run(
        "--top-k", "0", command, bundle.directory / "manifest.json", "q4", file, service.plain
    )
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"must be a whole number of at least 1, not '0'" in result.stderr


def test_a_server_of_other_bundles_is_named_with_what_it_serves(
    client: Client, service: Service, bundle: Bundle, frames: Frames, tmp_path: Path
) -> None:
    other = make_tiny_bundle(tmp_path / "other", name="other", seed=7)
    file = client.written(frames.features(0))
    result = client.run("infer", other.directory / "manifest.json", "q4", file, service.plain)
    assert (result.returncode, result.stdout) == (1, b"")
    assert all(each in result.stderr.decode() for each in (other.digest, bundle.digest))


class Pretender:
    """A server by hand: tells a window of 3, and replies only once no more frames come than that.

    Args:
        bundle: what it claims to serve.
        damaged: the place of the reply in which a bit flips.
        sealed: it tells that it seals replies; where not, the damaged one alone is sealed.
        told: the digest with which it opens calls.
        best: the class that it says.

    Attributes:
        most_unanswered: frames that came at most before a reply to the first of them went out.
        metadata: what calls brought.
    """

    WINDOW = 3

    def __init__(
        self,
        bundle: Bundle,
        damaged: int | None = None,
        sealed: bool = True,
        told: str | None = None,
        best: int = 0,
    ) -> None:
        self._bundle = bundle
        self._seal = ReplySeal(bundle.digest)
        self._damaged, self._sealed = damaged, sealed
        self._told = told or bundle.digest
        self._best = best
        self.most_unanswered = 0
        self.metadata: dict[str, str] = {}

    def describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeReply:
        described = pb.BundleDescription(name=self._bundle.manifest.name, digest=self._bundle.digest)
        return pb.DescribeReply(bundles=[described], window=64)

    def stream(self, requests: Iterator[pb.Frame], context: Any) -> Iterator[bytes]:
        self.metadata = dict(context.invocation_metadata())
        told = {"siftfunnel-bundle": self._told, "siftfunnel-window": str(self.WINDOW)}
        told |= {"siftfunnel-sealed": "crc32c"} if self._sealed else {}
        context.send_initial_metadata(tuple(told.items()))
        taken: list[pb.Frame] = []
        with ThreadPoolExecutor(1) as reader:
            reading = reader.submit(lambda: taken.extend(requests))
            for place in range(10_000):
                wait_until(lambda place=place: len(taken) > place or reading.done(), 20)
                wait_until(lambda place=place: len(taken) - place > self.WINDOW, 0.05)
                if place == len(taken):
                    return
                self.most_unanswered = max(self.most_unanswered, len(taken) - place)
                yield self._reply(taken[place], place)

    def _reply(self, frame: pb.Frame, place: int) -> bytes:
        prediction = pb.Prediction(class_index=[self._best], score=[1.0])
        reply = pb.Reply(sequence=frame.sequence, prediction=prediction).SerializeToString()
        sealed = bytearray(self._seal.close(frame.payload, reply))
        if place == self._damaged:
            sealed[-1] ^= 1
        return bytes(sealed) if self._sealed or place == self._damaged else reply


def wait_until(done: Any, patience_s: float) -> None:
    """Wait until something is so, or for that long."""
    deadline = time.monotonic() + patience_s
    while not done() and time.monotonic() < deadline:
        time.sleep(0.002)


@contextmanager
def pretending(pretender: Pretender) -> Iterator[str]:
    """The address at which it serves."""
    methods = {
        "Describe": grpc.unary_unary_rpc_method_handler(
            pretender.describe, pb.DescribeRequest.FromString, pb.DescribeReply.SerializeToString
        ),
        "Stream": grpc.stream_stream_rpc_method_handler(pretender.stream, pb.Frame.FromString),
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("siftfunnel.v1.SplitInference", methods),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize("sealed", [True, False])
def test_no_more_frames_fly_than_the_window_and_a_damaged_reply_is_told_from_a_good_one(
    client: Client, bundle: Bundle, frames: Frames, sealed: bool
) -> None:
    pretender = Pretender(bundle, damaged=4, sealed=sealed)
    file = client.written(np.stack([frames.features(seed) for seed in range(10)]))
    asked = ("--top-k", "2", "stream", bundle.directory / "manifest.json", "q4", file)
    with pretending(pretender) as address:
        answers = client.answers(*asked, address, SIFTFUNNEL_TOKEN="a-token-of-mine")
    assert pretender.most_unanswered == pretender.WINDOW
    assert [answer["sequence"] for answer in answers] == list(range(10))
    errors = [answer["error"]["code"] if "error" in answer else None for answer in answers]
    assert errors == [None] * 4 + ["DAMAGED_REPLY"] + [None] * 5
    told = {key: pretender.metadata[f"siftfunnel-{key}"] for key in ("bundle", "top-k")}
    assert told == {"bundle": bundle.digest, "top-k": "2"}
    assert pretender.metadata["authorization"] == "Bearer a-token-of-mine"


def test_a_server_that_opens_the_call_with_another_digest_gets_no_frame(
    client: Client, bundle: Bundle, frames: Frames
) -> None:
    with pretending(Pretender(bundle, told="ab" * 32)) as address:
        file = client.written(frames.features(0))
        result = client.run("stream", bundle.directory / "manifest.json", "q4", file, address)
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"ab" * 32 in result.stderr


def test_a_class_that_the_bundle_does_not_have_is_an_error(
    client: Client, bundle: Bundle, frames: Frames
) -> None:
    with pretending(Pretender(bundle, best=len(bundle.manifest.classes))) as address:
        file = client.written(frames.features(0))
        result = client.run("stream", bundle.directory / "manifest.json", "q4", file, address)
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"has no name or no score" in result.stderr
