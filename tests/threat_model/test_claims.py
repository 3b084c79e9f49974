"""What docs/threat-model.md says, each claim shown by running the attacker against real parties.

A shipped bundle whose payloads differ in length from picture to picture; the device classifies drawn faces.
"""

import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from siftfunnel.attacker.feeds.cloud import CloudFeed
from siftfunnel.attacker.feeds.config import CloudConfig as CloudTap
from siftfunnel.attacker.feeds.relay import RelayFeed
from siftfunnel.attacker.tap.connection import ConnectionTap
from siftfunnel.attacker.tap.events import Direction, Event, Opaque
from siftfunnel.certs import CertificateFiles, make_certificates
from siftfunnel.cloud_server.recorder import RecorderConfig
from siftfunnel.edge_client import Answer, SplitClient
from siftfunnel.edge_client.settings import ClientSettings, WindowPolicy
from siftfunnel.shared.access import hash_of
from siftfunnel.shared.bundle import Bundle, load_bundle
from siftfunnel.shared.padding import Padding
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tls import TlsFiles
from tests.attacker.feeds.sockets import eventually, relay_config, relaying
from tests.attacker.service import frames_heard, messages, replies_heard
from tests.edge_client.conftest import serving

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "threat-model.md"
ASSETS = ROOT / "siftfunnel" / "assets"
PICTURES = 24
SHARED = 4
"""Messages that may share a record with a ping or a window's update, which say nothing of them."""
TOKEN = "the-token-of-this-device-alone"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(ASSETS / "bundles" / "drawnfaces-siftfunnel-rate")


@pytest.fixture(scope="module")
def pictures() -> Sequence[Path]:
    found = sorted((ASSETS / "images" / "drawnfaces").rglob("*.png"))[:PICTURES]
    assert len(found) == PICTURES
    return found


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return make_certificates(tmp_path_factory.mktemp("certificates") / "files")


@dataclass
class Heard:
    """What an eavesdropper in the path has after the device classified the pictures."""

    answers: list[Answer]
    events: list[Event]

    def records(self, direction: str) -> list[int]:
        """Lengths of the encrypted records of that direction, handshakes left out."""
        opaque = [event for event in self.events if isinstance(event, Opaque) and event.reason == "tls"]
        return [event.byte_count for event in opaque if event.direction == direction]

    @property
    def payload_bytes(self) -> list[int]:
        """Of each picture, as the device knows them."""
        return [answer.payload_bytes for answer in self.answers]


@contextmanager
def overheard(
    bundle: Bundle,
    pictures: Sequence[Path],
    tls: CertificateFiles | None = None,
    padding: Padding | None = None,
    token: str | None = None,
    **server: object,
) -> Iterator[Heard]:
    files = None if tls is None else TlsFiles(certificate=tls.server, key=tls.server_key)
    # one frame at a time: each message is one record, as an eavesdropper likes it best
    settings = ClientSettings(window=WindowPolicy(limit=1), pad=padding)
    events: list[Event] = []
    with serving(bundle, tls=files, token=token, **server) as address:
        config = relay_config(int(address.rpartition(":")[2]))
        with relaying(RelayFeed(config), events.append) as feed:
            through = f"localhost:{str(feed.state().address).rpartition(':')[2]}"
            trusted = None if tls is None else TlsFiles(ca=tls.ca)
            with SplitClient(bundle, through, tls=trusted, settings=settings, token=token) as client:
                answers = [each for each in client.stream(pictures) if isinstance(each, Answer)]
        assert len(answers) == len(pictures)
        yield Heard(answers, events)


def test_in_plain_text_everything_is_read(bundle: Bundle, pictures: Sequence[Path]) -> None:
    with overheard(bundle, pictures, token=TOKEN) as heard:
        frames, replies = frames_heard(heard.events), replies_heard(heard.events)
        assert [len(frame.payload) for frame in frames] == heard.payload_bytes
        assert [reply.prediction.class_index[0] for reply in replies] == [
            bundle.manifest.classes.index(answer.class_name) for answer in heard.answers
        ]
        assert {event.digest for event in messages(heard.events, "frame")} == {bundle.digest}


def test_in_plain_text_a_token_can_be_used_by_who_overhears_it(
    bundle: Bundle, pictures: Sequence[Path]
) -> None:
    passed = bytearray()
    original = ConnectionTap.receive

    def receive(self: ConnectionTap, direction: Direction, data: bytes, time_s: float) -> list[Event]:
        passed.extend(data)
        return original(self, direction, data, time_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConnectionTap, "receive", receive)
        with overheard(bundle, pictures[:2], token=TOKEN):
            pass
    shown = f"Bearer {TOKEN}".encode()
    coded = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(shown)
    # HTTP/2 writes it as it is, or in a code that anybody reads; the last byte is shared with its filling
    assert shown in passed or coded[:-1] in passed


def test_over_tls_lengths_and_times_alone_are_read_and_lengths_tell_pictures_apart(
    bundle: Bundle, pictures: Sequence[Path], certificates: CertificateFiles
) -> None:
    with overheard(bundle, pictures, certificates) as heard:
        assert messages(heard.events) == []
        # a record is as long as its payload and a constant more, unless HTTP/2's own frames share it
        up = Counter(heard.records("up"))
        found = [(Counter(size + more for size in heard.payload_bytes) & up).total() for more in range(200)]
        assert max(found) >= PICTURES - SHARED
        assert len(set(heard.payload_bytes)) > PICTURES / 2


def test_padding_leaves_one_length_for_every_frame_and_for_every_reply(
    bundle: Bundle, pictures: Sequence[Path], certificates: CertificateFiles
) -> None:
    step = 512
    with overheard(bundle, pictures, certificates, Padding(step)) as heard:
        assert len(set(heard.payload_bytes)) > PICTURES / 2
        for direction in ("up", "down"):
            ((_, count),) = Counter(heard.records(direction)).most_common(1)
            assert count >= PICTURES - SHARED


def test_the_server_itself_reads_every_frame_whatever_protects_the_way(
    bundle: Bundle, pictures: Sequence[Path], certificates: CertificateFiles, tmp_path: Path
) -> None:
    flows = tmp_path / "flows.jsonl"
    record = RecorderConfig(flows)
    with overheard(bundle, pictures, certificates, Padding(), TOKEN, record=record) as heard:
        pass
    events: list[Event] = []
    feed = CloudFeed(CloudTap(flows))
    feed.start(events.append)
    try:
        assert eventually(lambda: len(messages(events, "frame")) == PICTURES)
    finally:
        feed.stop()
    assert sorted(len(frame.payload) for frame in frames_heard(events)) == sorted(heard.payload_bytes)
    assert TOKEN not in flows.read_text()


def test_nobody_without_a_token_is_served_and_the_server_keeps_its_hash_alone(
    bundle: Bundle, certificates: CertificateFiles, tmp_path: Path
) -> None:
    clients = tmp_path / "clients.toml"
    clients.write_text(
        f'[clients.device]\ntoken-sha256 = "{hash_of(TOKEN)}"\nrights = ["infer", "describe"]\n'
    )
    files = TlsFiles(certificate=certificates.server, key=certificates.server_key)
    with serving(bundle, tls=files, clients=clients) as address:
        credentials = TlsFiles(ca=certificates.ca).channel_credentials()
        with grpc.secure_channel(address, credentials) as channel:
            describe = channel.unary_unary("/siftfunnel.v1.SplitInference/Describe")
            for shown in ((), (("authorization", f"Bearer {TOKEN}x"),)):
                with pytest.raises(grpc.RpcError) as refused:
                    describe(b"", metadata=shown)
                assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
            told = describe(b"", metadata=(("authorization", f"Bearer {TOKEN}"),))
            assert pb.DescribeReply.FromString(told).bundles
    assert TOKEN not in clients.read_text()


def test_another_authoritys_certificate_gets_nobody_in(
    bundle: Bundle, certificates: CertificateFiles, tmp_path: Path
) -> None:
    strangers = make_certificates(tmp_path / "strangers")
    files = TlsFiles(certificates.ca, certificates.server, certificates.server_key)
    with serving(bundle, tls=files) as address:
        for shown, gets_in in ((certificates, True), (strangers, False)):
            own = TlsFiles(certificates.ca, shown.client, shown.client_key)
            with grpc.secure_channel(address, own.channel_credentials()) as channel:
                describe = channel.unary_unary("/siftfunnel.v1.SplitInference/Describe")
                if gets_in:
                    assert describe(b"", timeout=10)
                else:
                    with pytest.raises(grpc.RpcError) as refused:
                        describe(b"", timeout=10)
                    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


def test_one_that_stays_silent_or_reads_nothing_stops_no_other(
    bundle: Bundle, pictures: Sequence[Path]
) -> None:
    stop = threading.Event()

    def deaf(address: str) -> None:
        with grpc.insecure_channel(address) as channel:
            call = channel.stream_stream("/siftfunnel.v1.SplitInference/Stream")
            call(iter(lambda: stop.wait(30) and None, None), metadata=(("siftfunnel-bundle", bundle.digest),))
            stop.wait(30)

    with serving(bundle) as address:
        threads = [threading.Thread(target=deaf, args=(address,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        try:
            with SplitClient(bundle, address) as client:
                assert len(list(client.stream(pictures))) == PICTURES
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def test_every_claim_of_the_page_names_a_test_that_is_here_or_elsewhere() -> None:
    named = re.findall(r"`(test_\w+)`(?: in `([\w/.]+)`)?", PAGE.read_text("utf-8"))
    assert len(named) >= 12
    here = Path(__file__).relative_to(ROOT)
    for test, place in named:
        assert f"def {test}(" in (ROOT / (place or here)).read_text("utf-8"), (test, place)
