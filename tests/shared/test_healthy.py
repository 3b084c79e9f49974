"""The containers' health check, run as the compose file runs it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import yaml

from siftfunnel.shared.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Keep the terminal."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def check(service: str, ports: list[int]) -> int:
    """The exit code of a service's health check, with these ports in place of its own and proxies named."""
    kind, *command = SERVICES[service]["healthcheck"]["test"]
    assert kind == "CMD"
    own = [word for word in command if word.isdigit()]
    assert len(own) == len(ports)
    command = [word for word in command if not word.isdigit()]
    assert command[0] == "python"
    (nobody,) = free_ports(1)
    proxies = {
        name: f"http://127.0.0.1:{nobody}" for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
    }
    environment = {**os.environ, **proxies, "PYTHONPATH": str(ROOT)}
    environment.pop("no_proxy", None)
    command = [sys.executable, *command[1:], *map(str, ports)]
    return subprocess.run(command, env=environment, check=False, timeout=30).returncode


def test_a_service_is_healthy_where_it_answers_whatever_proxies_are_named() -> None:
    with answering(200) as port:
        assert [check(service, [port]) for service in ("cloud", "edge")] == [0, 0]
    with answering(503) as port:
        assert check("cloud", [port]) == 1
    assert check("cloud", free_ports(1)) == 1


def test_an_attacker_beside_no_cloud_is_not_healthy() -> None:
    with answering(200) as page, answering(200) as cloud:
        assert check("attacker", [page, cloud]) == 0
    with answering(200) as page:
        assert check("attacker", [page, *free_ports(1)]) == 1


def test_every_service_starts_again_when_it_ends() -> None:
    assert {name: service["restart"] for name, service in SERVICES.items()} == dict.fromkeys(
        SERVICES, "unless-stopped"
    )
