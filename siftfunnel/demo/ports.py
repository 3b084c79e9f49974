"""Whether a port is free, and small HTTP questions to the parties that listen on loopback."""

import json
import socket
import urllib.request
from typing import Any

from shared.ports import LOOPBACK

# Environment proxies must not see, or fail, what never leaves this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


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
