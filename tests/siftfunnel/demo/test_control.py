"""The conductor's control address: who may ask, and what a wish may hold."""

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.demo.control import MAX_PICTURE_BYTES, ControlServer, read_wish
from siftfunnel.demo.selection import WishError


class Recorder:
    """A conductor that remembers what it was asked for."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.wishes: list[dict[str, Any]] = []
        self.pictures: list[bytes] = []
        self.ended: list[str] = []

    def state(self) -> dict[str, Any]:
        return {"bundle": "tiny", "wishes": len(self.wishes)}

    def switch(self, wish: dict[str, Any]) -> dict[str, Any]:
        if wish.get("bundles") == ["nonsense"]:
            raise WishError("no bundle 'nonsense'")
        self.wishes.append(wish)
        return self.state()

    def picture(self, encoded: bytes) -> None:
        self.pictures.append(encoded)

    def end(self, party: str) -> dict[str, Any]:
        self.ended.append(party)
        return self.state()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[ControlServer, Recorder]]:
    recorder = Recorder()
    control = ControlServer(recorder)
    yield control, recorder
    control.close()


@pytest.fixture
def server(served: tuple[ControlServer, Recorder]) -> ControlServer:
    return served[0]


@pytest.fixture
def recorder(served: tuple[ControlServer, Recorder]) -> Recorder:
    served[1].forget()
    return served[1]


def ask(
    server: ControlServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    try:
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")
    finally:
        connection.close()


def post(server: ControlServer, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    return ask(server, "POST", "/switch", body, **{"Content_Type": "application/json", **headers})


def test_state_is_what_the_conductor_says(server: ControlServer, recorder: Recorder) -> None:
    assert ask(server, "GET", "/state") == (200, {"bundle": "tiny", "wishes": 0})


def test_a_switch_reaches_the_conductor_and_returns_the_new_state(
    server: ControlServer, recorder: Recorder
) -> None:
    assert post(server, b'{"codec": {"tiny": "q4"}, "tls": true}') == (200, {"bundle": "tiny", "wishes": 1})
    assert recorder.wishes == [{"codec": {"tiny": "q4"}, "tls": True}]


def test_two_questions_share_one_connection(server: ControlServer) -> None:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    for _ in range(2):
        connection.request("GET", "/state")
        assert json.loads(connection.getresponse().read())["bundle"] == "tiny"
    connection.close()


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 422, "not JSON"),
        (b"[]", 422, "no JSON object"),
        (b"{}", 422, "expected a JSON object"),
        (b'{"bundel": "x"}', 422, "unknown field 'bundel'"),
        (b'{"tls": 1}', 422, "tls must be true or false"),
        (b'{"bundles": "tiny"}', 422, "bundles must be a list"),
        (b'{"codec": {"tiny": 4}}', 422, "codec must be an object"),
        (b'{"pictures": "mine"}', 422, 'pictures must be of "demo" and "own"'),
        (b'{"in_turn": false}', 422, "in_turn must be true"),
        (b'{"in_turn": true, "bundles": ["tiny"]}', 422, "exclude each other"),
        (b'{"bundles": ["nonsense"]}', 422, "no bundle 'nonsense'"),
        (b"[" * 4000, 422, "not JSON"),
        (b" " * 5000, 413, "at most 4096 bytes"),
    ],
)
def test_a_bad_wish_is_refused_with_its_reason(
    body: bytes, status: int, text: str, server: ControlServer, recorder: Recorder
) -> None:
    code, answer = post(server, body)
    assert code == status
    assert text in answer["error"]
    assert recorder.wishes == []


def test_a_form_of_another_site_is_refused(server: ControlServer, recorder: Recorder) -> None:
    assert post(server, b'{"tls": true}', Content_Type="text/plain")[0] == 415
    assert post(server, b'{"tls": true}', Origin="http://evil.example")[0] == 403
    assert post(server, b'{"tls": true}', Host="evil.example")[0] == 403
    assert ask(server, "GET", "/state", Host="evil.example:80")[0] == 403
    assert recorder.wishes == []


def test_other_paths_do_not_exist(server: ControlServer) -> None:
    assert ask(server, "GET", "/switch")[0] == 404
    assert post(server, b"{}")[0] == 422
    assert ask(server, "POST", "/state", b"{}", Content_Type="application/json")[0] == 404


PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def test_a_picture_reaches_the_conductor_unchanged(server: ControlServer, recorder: Recorder) -> None:
    for picture in (PNG, b"\xff\xd8\xff" + bytes(9), b"RIFF\0\0\0\0WEBP"):
        assert ask(server, "POST", "/picture", picture, Content_Type="image/any") == (204, {})
    assert recorder.pictures == [PNG, b"\xff\xd8\xff" + bytes(9), b"RIFF\0\0\0\0WEBP"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (PNG, "application/json", 415),
        (PNG, "text/plain", 415),
        (b"GIF89a", "image/gif", 422),
        (b"", "image/png", 422),
        (PNG + bytes(MAX_PICTURE_BYTES), "image/png", 413),
    ],
)
def test_what_is_no_picture_is_refused(
    body: bytes, kind: str, status: int, server: ControlServer, recorder: Recorder
) -> None:
    with contextlib.suppress(ConnectionError):  # refused before it was all sent
        assert ask(server, "POST", "/picture", body, Content_Type=kind)[0] == status
    assert recorder.pictures == []


def test_a_party_that_is_named_is_ended(server: ControlServer, recorder: Recorder) -> None:
    for party, status in (("cloud", 200), ("edge", 200), ("attacker", 422), (None, 422)):
        body = json.dumps({"party": party}).encode()
        assert ask(server, "POST", "/end", body, Content_Type="application/json")[0] == status
    assert recorder.ended == ["cloud", "edge"]


def test_a_body_that_claims_any_size_is_refused_unread(server: ControlServer) -> None:
    for length, status in (("600000000", 413), ("9" * 400, 400), ("-1", 400), ("x", 400)):
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
        connection.request(
            "POST", "/switch", b"", {"Content-Type": "application/json", "Content-Length": length}
        )
        assert connection.getresponse().status == status
        connection.close()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_wish_or_a_reason(body: bytes) -> None:
    with contextlib.suppress(WishError):
        assert set(read_wish(body)) <= {"bundles", "codec", "tls", "pictures", "in_turn"}
