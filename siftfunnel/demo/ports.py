"""Whether a port is free, and small HTTP questions to the parties that listen on loopback."""

import json
import socket
from typing import Any

from siftfunnel.shared.ports import LOOPBACK


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on the port now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def get_json(url: str, timeout_s: float = 2.0) -> dict[str, Any] | None:
    """The JSON object at ``url``; None where nothing, or nothing of the kind, answers."""
    from siftfunnel.attacker.asking import AskError, ask

    try:
        value = json.loads(ask(url, timeout_s)[1])
    except (AskError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def answers(url: str, timeout_s: float = 2.0) -> bool:
    """Whether ``url`` answers with success."""
    from siftfunnel.attacker.asking import AskError, ask

    try:
        return ask(url, timeout_s)[0] < 400
    except AskError:
        return False


def own_address() -> str:
    """This machine's address as others in its network see it; nothing is sent to find out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address that is kept for documents
            return str(probe.getsockname()[0])
        except OSError:
            return LOOPBACK
