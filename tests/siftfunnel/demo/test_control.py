"""The conductor's control address: who may ask, and what a wish may hold."""

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.demo.control import ControlServer, WishError, is_local, read_wish


class Recorder:
    """A conductor that remembers the wishes it was asked for."""

    def __init__(self) -> None:
        self.wishes: list[dict[str, Any]] = []

    def state(self) -> dict[str, Any]:
        return {"bundle": "tiny", "wishes": len(self.wishes)}

    def switch(self, wish: dict[str, Any]) -> dict[str, Any]:
        if wish.get("bundle") == "nonsense":
            raise WishError("no bundle 'nonsense'")
        self.wishes.append(wish)
        return self.state()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def server(recorder: Recorder) -> Iterator[ControlServer]:
    control = ControlServer(recorder.state, recorder.switch)
    yield control
    control.close()


def ask(
    server: ControlServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    try:
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def post(server: ControlServer, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    return ask(server, "POST", "/switch", body, **{"Content_Type": "application/json", **headers})


def test_state_is_what_the_conductor_says(server: ControlServer) -> None:
    assert ask(server, "GET", "/state") == (200, {"bundle": "tiny", "wishes": 0})


def test_a_switch_reaches_the_conductor_and_returns_the_new_state(
    server: ControlServer, recorder: Recorder
) -> None:
    assert post(server, b'{"codec": "q4", "tls": true}') == (200, {"bundle": "tiny", "wishes": 1})
    assert recorder.wishes == [{"codec": "q4", "tls": True}]


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
        (b"[]", 422, "expected a JSON object"),
        (b"{}", 422, "expected a JSON object"),
        (b'{"bundel": "x"}', 422, "unknown field 'bundel'"),
        (b'{"tls": 1}', 422, "tls must be of type bool"),
        (b'{"bundle": null}', 422, "bundle must be of type str"),
        (b'{"bundle": "nonsense"}', 422, "no bundle 'nonsense'"),
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


@pytest.mark.parametrize(
    ("host", "origin", "local"),
    [
        ("127.0.0.1:9300", None, True),
        ("localhost", "http://localhost:8080", True),
        ("[::1]:80", None, True),
        (None, None, False),
        ("127.0.0.1", "null", False),
        ("127.0.0.1", "https://127.0.0.1.evil.example", False),
        ("127.0.0.1@evil.example", None, False),
        ("[", None, False),
    ],
)
def test_only_loopback_names_are_local(host: str | None, origin: str | None, local: bool) -> None:
    assert is_local(host, origin) is local


@given(st.binary(max_size=200))
def test_any_bytes_are_a_wish_or_a_reason(body: bytes) -> None:
    with contextlib.suppress(WishError):
        assert set(read_wish(body)) <= {"bundle", "codec", "tls"}
