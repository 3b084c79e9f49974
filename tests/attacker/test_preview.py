import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.attacker.preview import PreviewClient, Truth, TruthStore, read_batch
from siftfunnel.shared.json_fields import FieldError, parse_object
from tests.attacker.scene import eventually

DIGEST = "ab" * 32


def told(sequence: int = 3, **changes: Any) -> dict[str, Any]:
    pixels = base64.b64encode(bytes(range(2 * 3 * 3))).decode()
    frame = {
        "sequence": sequence,
        "digest": DIGEST,
        "time_s": 1.5,
        "label": "ada",
        "payload_crc32": 5,
        "height": 2,
        "width": 3,
        "pixels_b64": pixels,
    }
    return {**frame, **changes}


def batch(*frames: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"session": "s1", "cursor": len(frames), "missed": 0, "frames": list(frames), **changes}


def test_an_answer_of_the_preview_becomes_pictures() -> None:
    read = read_batch(json.loads(json.dumps(batch(told(), told(4, label=None), missed=2))))
    assert (read.session, read.cursor, read.missed) == ("s1", 2, 2)
    first, second = read.frames
    assert (first.sequence, first.digest, first.label, second.label) == (3, DIGEST, "ada", None)
    assert first.pixels_HWC.shape == (2, 3, 3)
    assert first.pixels_HWC[0, 1].tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ({}, "session"),
        (batch(cursor="3"), "cursor"),
        (batch(missed=True), "missed"),
        (batch("x"), "list of objects"),
        (batch(told(digest="xyz")), "digest"),
        (batch(told(height=0)), "height"),
        (batch(told(height=100_000)), "height"),
        (batch(told(height=3)), "18 bytes, 3x3 RGB needs 27"),
        (batch(told(pixels_b64="!")), "not base64"),
        (batch(told(sequence=None)), "sequence"),
        (batch(told(payload_crc32=None)), "payload_crc32"),
        (batch(told(time_s=10**400)), "time_s"),
    ],
)
def test_what_is_no_answer_of_a_preview_is_refused_by_field(answer: Any, complaint: str) -> None:
    with pytest.raises(FieldError, match=complaint):
        read_batch(answer)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "session",
                    "cursor",
                    "missed",
                    "frames",
                    "sequence",
                    "digest",
                    "height",
                    "width",
                    "time_s",
                    "pixels_b64",
                    "payload_crc32",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_read_or_refused(value: Any) -> None:
    with contextlib.suppress(FieldError):
        read_batch(parse_object(json.dumps(value), "an answer"))


def test_a_store_gives_each_picture_once_and_forgets_the_oldest() -> None:
    store = TruthStore(capacity=2)
    for sequence in range(3):
        store.put(Truth(DIGEST, sequence, 0.0, None, np.zeros((1, 1, 3), np.uint8), 5))
    assert store.take((DIGEST, 0, 5)) is None
    taken = store.take((DIGEST, 2, 5))
    assert taken is not None
    assert taken.sequence == 2
    assert store.take((DIGEST, 2, 5)) is None
    assert len(store) == 1


def test_a_store_is_bounded_by_bytes_too_and_keeps_the_newest() -> None:
    store = TruthStore(limit_bytes=2 * 30 * 40 * 3)
    for sequence in (0, 1, 1, 2, 3):
        store.put(Truth(DIGEST, sequence, 0.0, None, np.zeros((30, 40, 3), np.uint8), 5))
    assert len(store) == 2
    assert store.take((DIGEST, 1, 5)) is None
    store.put(Truth(DIGEST, 9, 0.0, None, np.zeros((300, 400, 3), np.uint8), 5))
    assert len(store) == 1
    assert store.take((DIGEST, 9, 5)) is not None


class Edge:
    """A real HTTP preview whose answers a test sets; it may be replaced by another on the same port."""

    def __init__(self, session: str, frames: list[dict[str, Any]], port: int = 0) -> None:
        self.session, self.frames, self.asked = session, frames, list[int]()
        edge = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                after = int(parse_qs(urlsplit(self.path).query)["after"][0])
                edge.asked.append(after)
                threading.Event().wait(0.02)
                fresh = edge.frames[after:]
                body = json.dumps(
                    batch(*fresh, session=edge.session, cursor=max(after, len(edge.frames)))
                ).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def port(self) -> int:
        return self.server.server_address[1]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def edge() -> Iterator[Edge]:
    server = Edge("s1", [told(0), told(1)])
    yield server
    server.close()


def test_a_client_follows_the_preview_with_its_cursor(edge: Edge) -> None:
    seen: list[int] = []
    client = PreviewClient(f"http://127.0.0.1:{edge.port}/")
    client.start(lambda truth: seen.append(truth.sequence))
    assert eventually(lambda: seen == [0, 1])
    edge.frames.append(told(2))
    assert eventually(lambda: seen == [0, 1, 2])
    assert client.state().phase == "connected"
    assert client.state().frames == 3
    client.stop()
    assert edge.asked[0] == 0


def test_a_client_starts_anew_with_the_next_edge_process(edge: Edge) -> None:
    seen: list[int] = []
    client = PreviewClient(f"http://127.0.0.1:{edge.port}")
    client.start(lambda truth: seen.append(truth.sequence))
    assert eventually(lambda: seen == [0, 1])
    edge.session, edge.frames = "s2", [told(10), told(11), told(12)]
    assert eventually(lambda: seen == [0, 1, 10, 11, 12])
    client.stop()


def test_a_client_waits_for_an_edge_that_is_not_there_and_says_so(free_port: Any) -> None:
    port = free_port()
    seen: list[int] = []
    client = PreviewClient(f"http://127.0.0.1:{port}")
    client.start(lambda truth: seen.append(truth.sequence))
    assert eventually(lambda: str(port) in client.state().detail)
    assert client.state().phase == "waiting"
    edge = Edge("s1", [told(5)], port)
    assert eventually(lambda: seen == [5])
    client.stop()
    edge.close()


def test_credentials_of_the_preview_are_used_and_not_shown(edge: Edge) -> None:
    seen: list[int] = []
    client = PreviewClient(f"http://me:geheim@127.0.0.1:{edge.port}")
    assert "geheim" not in str(client.state())
    client.start(lambda truth: seen.append(truth.sequence))
    assert eventually(lambda: seen == [0, 1])
    assert client.state().url == f"http://***@127.0.0.1:{edge.port}"
    edge.frames = [told(digest="no digest")] * 4
    assert eventually(lambda: client.state().phase == "waiting")
    assert "geheim" not in str(client.state())
    client.stop()


def test_an_endless_answer_is_given_up(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siftfunnel.attacker.preview.MAX_PREVIEW_BYTES", 300)
    client = PreviewClient(f"http://127.0.0.1:{edge.port}")
    client.start(lambda truth: None)
    assert eventually(lambda: "more than 300 bytes" in client.state().detail)
    client.stop()


def test_an_answer_that_makes_no_sense_is_told_and_survived(edge: Edge) -> None:
    good, edge.frames = edge.frames, [told(digest="no digest")]
    seen: list[int] = []
    client = PreviewClient(f"http://127.0.0.1:{edge.port}")
    client.start(lambda truth: seen.append(truth.sequence))
    assert eventually(lambda: "digest" in client.state().detail)
    edge.frames = good
    assert eventually(lambda: seen == [0, 1])
    client.stop()
