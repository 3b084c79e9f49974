"""Free TCP ports on loopback, and small HTTP questions to the parties that listen on them."""

import json
import socket
import urllib.request
from contextlib import ExitStack
from typing import Any

LOOPBACK = "127.0.0.1"
# Environment proxies must not see, or fail, what never leaves this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on at this moment."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def get_json(url: str, timeout_s: float = 2.0) -> dict[str, Any] | None:
    """The JSON object at ``url``; None where nothing, or nothing of the kind, answers."""
    try:
        with _OPENER.open(url, timeout=timeout_s) as answer:
            value = json.load(answer)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def answers(url: str, timeout_s: float = 2.0) -> bool:
    """Whether ``url`` answers with success."""
    try:
        with _OPENER.open(url, timeout=timeout_s) as answer:
            return int(answer.status) < 400
    except (OSError, ValueError):
        return False
