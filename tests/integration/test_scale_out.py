"""Three servers in containers, as docs/scale.md starts them; the edge's connections spread over them."""

import shlex
import socket
from collections.abc import Iterator

import pytest

from siftfunnel.shared.ports import free_ports
from tests.integration.compose import Stack, answered_frames, fetch
from tests.readme.blocks import ROOT, blocks

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]

SERVERS = 3
FRAMES_PER_TURN = 6


def command_of_the_guide() -> tuple[set[str], list[str]]:
    """Names of the settings, and what follows `docker compose`."""
    (block,) = [each for each in blocks((ROOT / "docs/scale.md").read_text()) if each.story == "docker"]
    (command,) = block.commands
    before, after = command.split(" docker compose ")
    return {setting.partition("=")[0] for setting in shlex.split(before)}, shlex.split(after)


def port_range() -> str:
    """Ports in a row that nobody listens on at this moment."""
    while True:
        (first,) = free_ports(1)
        if all(is_free(first + step) for step in range(SERVERS)):
            return f"{first}-{first + SERVERS - 1}"


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return port < 65_536 and probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture(scope="module")
def group() -> Iterator[Stack]:
    settings, arguments = command_of_the_guide()
    stack = Stack(
        {
            **{setting: port_range() for setting in settings},
            # a device that starts again takes one of the servers at random for each network
            "SIFTFUNNEL_FRAMES": "250",
            "SIFTFUNNEL_RATE": "20",
        }
    )
    up, *flags = arguments
    try:
        stack.compose(up, "--detach", *flags)
        yield stack
    finally:
        stack.down()


def admin_ports(stack: Stack) -> list[int]:
    first, last = map(int, stack.settings["SIFTFUNNEL_ADMIN_PORT"].split("-"))
    return list(range(first, last + 1))


def test_every_server_answers_its_share(group: Stack) -> None:
    assert len(group.container("cloud").split()) == SERVERS

    def counts() -> list[float] | None:
        pages = [fetch(f"http://127.0.0.1:{port}/metrics") for port in admin_ports(group)]
        answered = [answered_frames(page or "") for page in pages]
        return answered if min(answered) >= FRAMES_PER_TURN else None

    answered = group.wait_until(f"{FRAMES_PER_TURN} frames answered by each of {SERVERS}", counts)
    assert len(answered) == SERVERS
