"""The conductor's state as the page's server asks for it."""

from typing import Any

import pytest

from siftfunnel.attacker.web.app import conductor_state
from tests.attacker.web.fakedemo import FakeDemo


async def test_a_state_is_read(demo: FakeDemo) -> None:
    assert await conductor_state(demo.url + "/") == {"reachable": True, "tls": False}
    assert demo.asked == [("GET", "/state", b"")]


@pytest.mark.parametrize("answer", [(503, b"busy"), (200, b"not json"), (200, b"[]"), (200, b"[" * 100_000)])
async def test_a_state_that_is_none_is_told(demo: FakeDemo, answer: tuple[int, bytes]) -> None:
    demo.answer = answer
    told = await conductor_state(demo.url)
    assert not told["reachable"]
    assert "did not tell its state" in told["error"]


async def test_a_conductor_that_is_gone_is_told(free_port: Any) -> None:
    told = await conductor_state(f"http://me:geheim@127.0.0.1:{free_port()}")
    assert not told["reachable"]
    assert "does not answer" in told["error"]
    assert "geheim" not in told["error"]
