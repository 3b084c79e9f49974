from typing import Any

import pytest

from siftfunnel.attacker.web.conductor import Conductor, ConductorError
from tests.attacker.web.fakedemo import FakeDemo


async def test_states_are_read_and_orders_are_passed_on_as_they_are(demo: FakeDemo) -> None:
    conductor = Conductor(demo.url + "/")
    assert await conductor.state() == {"tls": False}
    told = await conductor.forward("POST", "/switch", b'{ "tls":true }', "application/json")
    assert told == (200, b'{"tls": false}')
    await conductor.close()
    assert demo.asked == [("GET", "/state", b""), ("POST", "/switch", b'{ "tls":true }')]


async def test_what_the_conductor_refuses_is_told_as_it_said_it(demo: FakeDemo) -> None:
    demo.answer = (422, b'{"error": "no bundle of that name"}')
    conductor = Conductor(demo.url)
    assert (await conductor.forward("POST", "/switch", b"{}"))[0] == 422
    await conductor.close()


@pytest.mark.parametrize("answer", [(503, b"busy"), (200, b"not json"), (200, b"[]"), (200, b"[" * 100_000)])
async def test_a_state_that_is_none_is_an_error(demo: FakeDemo, answer: tuple[int, bytes]) -> None:
    demo.answer = answer
    conductor = Conductor(demo.url)
    with pytest.raises(ConductorError, match="did not tell its state"):
        await conductor.state()
    await conductor.close()


async def test_a_conductor_that_is_gone_is_told(free_port: Any) -> None:
    conductor = Conductor(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ConductorError, match="does not answer"):
        await conductor.state()
    await conductor.close()
