"""The parties that stay up for a whole run, cloud and attacker, and the starting and ending of all."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from siftfunnel.certs import make_certificates
from siftfunnel.demo import parties, ports
from siftfunnel.demo.choice import DemoConfig
from siftfunnel.demo.parties import Meeting
from siftfunnel.demo.processes import Party, PartyError, Supervised
from siftfunnel.demo.selection import Choice
from siftfunnel.shared.hosts import TOKEN_VARIABLE
from siftfunnel.shared.ports import LOOPBACK

START_TIMEOUT_S = 60.0
_POLL_S = 0.1


class Services:
    """Cloud and attacker of one run, and the edge that comes and goes between them.

    Args:
        config: what the run plays.
        directory: receives logs, certificates and the curious cloud's record.
        stop: set when somebody asks the run to end.
        say: told of deaths and returns.
    """

    def __init__(self, config: DemoConfig, directory: Path, stop: Event, say: Callable[[str], None]) -> None:
        self._config = config
        self._directory = directory
        self._stop = stop
        self._say = say
        self.cloud: Supervised | None = None
        self._attacker: Supervised | None = None
        self._edge: Party | None = None
        if config.http_port and not ports.port_is_free(config.http_port, config.page_host):
            raise OSError(
                f"port {config.http_port} for the page is in use; choose another with --http-port (0: any)"
            )
        certificates = make_certificates(directory / "certificates")
        flows = directory / "flows.jsonl"
        flows.touch(mode=0o600, exist_ok=False)
        self.meeting = Meeting.arrange(config, certificates, flows)

    def start(self, control: str | None) -> None:
        """Start cloud and attacker and wait until both answer, or somebody asks the run to end.

        Args:
            control: address of the conductor's control server; None offers no switches.

        Raises:
            PartyError: one of them ended, or did not come up in time.
        """
        cloud = parties.cloud_arguments(self._config.bundles, self.meeting)
        attacker = parties.attacker_arguments(self._config, self.meeting, control)
        secrets = {TOKEN_VARIABLE: self._config.page_token} if self._config.page_token else {}
        self.cloud = Supervised(lambda: self._party("cloud", cloud), self._say)
        self._attacker = Supervised(lambda: self._party("attacker", attacker, secrets=secrets), self._say)
        self._wait_until_up(self.cloud.party, f"http://{LOOPBACK}:{self.meeting.cloud_http}/healthz")
        self._wait_until_up(self._attacker.party, f"{self.meeting.page_url}healthz")

    def start_edge(self, choice: Choice, first_sequence: int, outcomes: Path, summary: Path) -> Party:
        """Start an edge for one turn; the one before it must have ended."""
        arguments = parties.edge_arguments(choice, first_sequence, self.meeting, outcomes, summary)
        self._edge = self._party("edge", arguments, takes_input=True)
        return self._edge

    def look(self) -> None:
        """Bring back a cloud or attacker that died.

        Raises:
            PartyError: one died too often; the text holds its last log lines.
        """
        for party in (self.cloud, self._attacker):
            if party is not None:
                party.look()

    def attacker_summary(self) -> dict[str, Any] | None:
        """The attacker's ``GET /summary``; None where it does not answer."""
        return ports.get_json(f"{self.meeting.page_url}summary{self._config.page_query}")

    def end(self) -> None:
        """End the edge first, so that it can drain, then who listens and who serves at once."""
        if self._edge is not None:
            self._edge.end()
        lasting = [each.party for each in (self._attacker, self.cloud) if each is not None]
        for party in lasting:
            party.ask_to_end()
        for party in lasting:
            party.end()
        self._edge = self._attacker = self.cloud = None

    def _party(
        self,
        name: str,
        arguments: list[str],
        takes_input: bool = False,
        secrets: dict[str, str] | None = None,
    ) -> Party:
        return Party(name, arguments, self._directory / f"{name}.log", takes_input, secrets)

    def _wait_until_up(self, party: Party, url: str) -> None:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._stop.is_set() and not ports.answers(url):
            for each in (self.cloud, self._attacker):
                if each is not None:
                    each.party.check()
            if time.monotonic() > deadline_s:
                raise PartyError(f"{party.name} is not up after {START_TIMEOUT_S:.0f} s:\n{party.tail()}")
            self._stop.wait(_POLL_S)
