"""The parties that stay up for a whole run, cloud and attacker, and the starting and ending of all."""

import time
from pathlib import Path
from threading import Event
from typing import Any

from shared.ports import LOOPBACK
from siftfunnel.certs import make_certificates
from siftfunnel.demo import parties, ports
from siftfunnel.demo.choice import DemoConfig
from siftfunnel.demo.parties import Meeting
from siftfunnel.demo.processes import Party, PartyError

START_TIMEOUT_S = 60.0
_POLL_S = 0.1


class Services:
    """Cloud and attacker of one run, and the edge that comes and goes between them.

    Args:
        config: what the run plays.
        directory: receives logs, certificates and the curious cloud's record.
        stop: set when somebody asks the run to end.
    """

    def __init__(self, config: DemoConfig, directory: Path, stop: Event) -> None:
        self._config = config
        self._directory = directory
        self._stop = stop
        self._cloud: Party | None = None
        self._attacker: Party | None = None
        self._edge: Party | None = None
        if config.http_port and not ports.port_is_free(config.http_port):
            raise OSError(
                f"port {config.http_port} for the page is in use; choose another with --http-port (0: any)"
            )
        certificates = make_certificates(directory / "certificates", force=True)
        flows = directory / "flows.jsonl"
        flows.touch(mode=0o600)
        self.meeting = Meeting.arrange(config.http_port, certificates, flows)

    def start(self, control: str | None) -> None:
        """Start cloud and attacker and wait until both answer, or somebody asks the run to end.

        Args:
            control: address of the conductor's control server; None offers no switches.

        Raises:
            PartyError: one of them ended, or did not come up in time.
        """
        self._cloud = self._party("cloud", parties.cloud_arguments(self._config.bundles, self.meeting))
        arguments = parties.attacker_arguments(self._config, self.meeting, control)
        self._attacker = self._party("attacker", arguments)
        self._wait_until_up(self._cloud, f"http://{LOOPBACK}:{self.meeting.cloud_http}/healthz")
        self._wait_until_up(self._attacker, f"{self.meeting.page_url}healthz")

    def start_edge(self, turn: parties.Turn, outcomes: Path, summary: Path) -> Party:
        """Start an edge for one turn; the one before it must have ended."""
        arguments = parties.edge_arguments(self._config, turn, self.meeting, outcomes, summary)
        self._edge = self._party("edge", arguments)
        return self._edge

    def check(self) -> None:
        """Complain if cloud or attacker has ended by itself.

        Raises:
            PartyError: one has; the text holds its last log lines.
        """
        for party in (self._cloud, self._attacker):
            if party is not None:
                party.check()

    def attacker_summary(self) -> dict[str, Any] | None:
        """The attacker's ``GET /summary``; None where it does not answer."""
        return ports.get_json(f"{self.meeting.page_url}summary")

    def end(self) -> None:
        """End the edge first, so that it can drain, then who listens, then who serves."""
        for party in (self._edge, self._attacker, self._cloud):
            if party is not None:
                party.end()
        self._edge = self._attacker = self._cloud = None

    def _party(self, name: str, arguments: list[str]) -> Party:
        return Party(name, arguments, self._directory / f"{name}.log")

    def _wait_until_up(self, party: Party, url: str) -> None:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._stop.is_set() and not ports.answers(url):
            self.check()
            if time.monotonic() > deadline_s:
                raise PartyError(f"{party.name} is not up after {START_TIMEOUT_S:.0f} s:\n{party.tail()}")
            self._stop.wait(_POLL_S)
