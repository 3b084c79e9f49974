"""The preview: private pictures, so closed by default, and exact where it is open."""

import base64
import http.client
import json
import re
import socket
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image

from siftfunnel.edge_client import Answer, SplitClient
from siftfunnel.edge_client.preview import InputRing, PreviewServer
from siftfunnel.edge_client.run import _publisher
from siftfunnel.edge_client.settings import PreviewConfig
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.ports import Endpoint
from siftfunnel.shared.preprocess import prepare
from tests.edge_client.conftest import pixels

DIGEST = "ab" * 32


@pytest.fixture
def preview() -> Iterator[PreviewServer]:
    warnings: list[str] = []
    server = PreviewServer(PreviewConfig(Endpoint("127.0.0.1", 0), linger_s=0.0), warnings.append)
    assert "WARNING" in warnings[0]
    assert "private picture" in warnings[0]
    yield server
    server.close()


def get(
    server: PreviewServer, path: str, host: str | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(server.address, timeout=15)
    try:
        connection.request("GET", path, headers={**({"Host": host} if host else {}), **(headers or {})})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_inputs_come_back_exactly_with_their_pairing_key(preview: PreviewServer) -> None:
    picture = pixels(0, 5, 7)
    preview.ring.publish(DIGEST, 42, "cat", picture, b"payload")
    status, answer = get(preview, "/inputs?after=0")
    assert status == 200
    assert (answer["cursor"], answer["missed"], answer["session"]) == (1, 0, preview.ring.session)
    (frame,) = answer["frames"]
    assert (frame["sequence"], frame["digest"], frame["label"]) == (42, DIGEST, "cat")
    assert frame["payload_crc32"] == zlib.crc32(b"payload")
    assert (frame["height"], frame["width"]) == (5, 7)
    raw = np.frombuffer(base64.b64decode(frame["pixels_b64"]), np.uint8).reshape(5, 7, 3)
    np.testing.assert_array_equal(raw, picture)


def test_a_reader_waits_for_what_comes_next(preview: PreviewServer) -> None:
    preview.ring.publish(DIGEST, 0, None, pixels(0))
    later = threading.Timer(0.1, preview.ring.publish, (DIGEST, 1, None, pixels(1)))
    later.start()
    _, answer = get(preview, "/inputs?after=1")
    later.join()
    assert [frame["sequence"] for frame in answer["frames"]] == [1]


def test_what_the_ring_let_go_is_counted() -> None:
    ring = InputRing(memory_bytes=3 * pixels(0).nbytes)
    for sequence in range(10):
        ring.publish(DIGEST, sequence, None, pixels(0))
    answer = ring.read(2, 0.0)
    assert [frame["sequence"] for frame in answer["frames"]] == [7, 8, 9]
    assert answer["missed"] == 5
    assert ring.read(answer["cursor"], 0.0)["frames"] == []


def test_a_picture_larger_than_the_memory_is_still_shown() -> None:
    ring = InputRing(memory_bytes=1)
    ring.publish(DIGEST, 0, None, pixels(0))
    assert len(ring.read(0, 0.0)["frames"]) == 1


def test_a_cursor_of_an_earlier_process_reads_from_the_start() -> None:
    ring = InputRing(memory_bytes=10**6)
    ring.publish(DIGEST, 0, None, pixels(0))
    assert len(ring.read(500, 0.0)["frames"]) == 1


def test_many_frames_come_in_several_answers() -> None:
    ring = InputRing(memory_bytes=10**7)
    for sequence in range(150):
        ring.publish(DIGEST, sequence, None, pixels(0, 4, 4))
    found, cursor = [], 0
    while frames := (answer := ring.read(cursor, 0.0))["frames"]:
        cursor = answer["cursor"]
        found += [frame["sequence"] for frame in frames]
    assert found == list(range(150))


def test_an_answer_holds_no_more_than_a_megabyte_of_pixels() -> None:
    ring = InputRing(memory_bytes=10**8)
    for sequence in range(40):
        ring.publish(DIGEST, sequence, None, pixels(0, 224, 224))
    found, cursor = [], 0
    while frames := (answer := ring.read(cursor, 0.0))["frames"]:
        assert sum(len(frame["pixels_b64"]) for frame in frames) <= 4 / 3 * 1_000_000 + 4
        assert answer["missed"] == 0
        cursor = answer["cursor"]
        found += [frame["sequence"] for frame in frames]
    assert found == list(range(40))


def test_a_crowd_of_connections_is_turned_away_and_readers_are_served_again(preview: PreviewServer) -> None:
    preview.ring.publish(DIGEST, 0, None, pixels(0))
    host, port = preview.address.split(":")
    threads = threading.active_count()
    crowd = [socket.create_connection((host, int(port)), 10) for _ in range(46)]
    try:
        for each in crowd[:16]:
            each.sendall(b"GET /inputs?after=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert [each.recv(12) for each in crowd[16:]] == [b"HTTP/1.1 503"] * 30
        assert threading.active_count() - threads <= 16
    finally:
        for each in crowd:
            each.close()
    preview.ring.publish(DIGEST, 1, None, pixels(0))
    deadline_s = time.monotonic() + 30
    while (status := healthy(preview)) != 200:
        assert time.monotonic() < deadline_s, status
        time.sleep(0.05)


def healthy(preview: PreviewServer) -> int:
    try:
        return get(preview, "/healthz")[0]
    except (OSError, ValueError, http.client.HTTPException):
        return 0


def test_the_end_waits_until_a_reader_has_everything() -> None:
    ring = InputRing(memory_bytes=10**6)
    assert ring.wait_until_read(0.0)
    ring.publish(DIGEST, 0, None, pixels(0))
    assert not ring.wait_until_read(0.0)
    cursor = ring.read(0, 0.0)["cursor"]
    assert not ring.wait_until_read(0.0)
    ring.read(cursor, 0.0)
    assert ring.wait_until_read(0.0)


def test_a_web_page_with_a_name_of_its_own_for_this_machine_is_turned_away(preview: PreviewServer) -> None:
    preview.ring.publish(DIGEST, 0, None, pixels(0))
    status, answer = get(preview, "/inputs?after=0", host="evil.example")
    assert status == 403
    assert "frames" not in answer


@pytest.mark.parametrize(
    ("path", "status"),
    [("/healthz", 200), ("/", 404), ("/inputs?after=x", 400), ("/inputs?after=-1", 400)],
)
def test_other_paths(preview: PreviewServer, path: str, status: int) -> None:
    assert get(preview, path)[0] == status


@pytest.mark.parametrize("address", ["0.0.0.0:8090", "192.0.2.1:8090", "example.org:8090", "[::]:8090"])
def test_other_machines_are_let_in_only_on_demand(address: str) -> None:
    with pytest.raises(ValueError, match="--preview-anywhere"):
        PreviewConfig(Endpoint.parse(address))
    assert PreviewConfig(Endpoint.parse(address), anywhere=True).anywhere


@pytest.mark.parametrize("anyone", [False, True])
def test_other_machines_show_a_token_unless_it_is_waived(anyone: bool) -> None:
    told: list[str] = []
    names = ("edge",)
    config = PreviewConfig(Endpoint("127.0.0.1", 0), anywhere=True, anyone=anyone, names=names)
    server = PreviewServer(config, told.append)
    try:
        server.ring.publish(DIGEST, 0, None, pixels(0))
        host, drawn = server.address, re.search(r"http://:([\w-]{16,})@", told[0])
        assert (drawn is None) == anyone
        token = "" if drawn is None else drawn[1]
        for asked, shown, status in (
            ("edge:8090", None, 200 if anyone else 401),
            (host, "x", 200 if anyone else 401),
            (host, token, 200),
            ("192.0.2.1", token, 200),
            ("evil.example", token, 403),
        ):
            headers = {"Authorization": f"Bearer {shown}"} if shown else {}
            assert get(server, "/inputs?after=0", asked, headers)[0] == status, (asked, shown)
            if shown:
                headers = {"Authorization": "Basic " + base64.b64encode(f":{shown}".encode()).decode()}
                assert get(server, "/inputs?after=0", asked, headers)[0] == status, (asked, shown)
        assert get(server, "/healthz", host)[0] == 200
    finally:
        server.close()


def test_a_taken_port_is_named(preview: PreviewServer) -> None:
    with pytest.raises(OSError, match=f"--preview {preview.address}: the port is in use"):
        PreviewServer(PreviewConfig(Endpoint.parse(preview.address)), lambda text: None)


def test_every_frame_of_a_stream_is_shown_before_its_answer_comes(
    bundle: Bundle, server: str, preview: PreviewServer
) -> None:
    seen = 0
    with SplitClient(bundle, server, first_sequence=500) as client:
        stream = client.stream((pixels(seed) for seed in range(20)), on_handed_in=_publisher(client, preview))
        for outcome in stream:
            assert isinstance(outcome, Answer)
            shown = {frame["sequence"]: frame for frame in preview.ring.read(0, 0.0)["frames"]}
            assert outcome.sequence in shown
            assert shown[outcome.sequence]["digest"] == bundle.digest
            seen += 1
    assert seen == 20
    model_input = prepare(Image.fromarray(pixels(3)), bundle.manifest.input).pixels_HWC
    assert base64.b64decode(shown[503]["pixels_b64"]) == model_input.tobytes()
