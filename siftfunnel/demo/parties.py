"""Command lines of the three parties as the demo starts them, and where they meet."""

from dataclasses import dataclass
from pathlib import Path

from siftfunnel.certs import CertificateFiles
from siftfunnel.demo.choice import EVERYWHERE, DemoConfig
from siftfunnel.demo.selection import Choice
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.ports import LOOPBACK, free_ports


@dataclass(frozen=True)
class Meeting:
    """Ports on loopback and files on disk that the parties of one run share.

    Attributes:
        cloud: the service in plaintext.
        cloud_tls: the service over TLS.
        cloud_http: its health and metrics.
        relay: the attacker's relay in front of ``cloud``.
        relay_tls: the attacker's relay in front of ``cloud_tls``.
        preview: the edge's preview.
        page: the attacker's page.
        page_host: where this machine finds the page.
        certificates: what TLS uses.
        flows: what the curious cloud records.
    """

    cloud: int
    cloud_tls: int
    cloud_http: int
    relay: int
    relay_tls: int
    preview: int
    page: int
    page_host: str
    certificates: CertificateFiles
    flows: Path

    @classmethod
    def arrange(cls, config: DemoConfig, certificates: CertificateFiles, flows: Path) -> "Meeting":
        """Find free ports; port 0 finds one for the page too."""
        cloud, cloud_tls, cloud_http, relay, relay_tls, preview, spare = free_ports(7)
        page, host = config.http_port or spare, config.page_host
        host = LOOPBACK if host in EVERYWHERE else host
        return cls(cloud, cloud_tls, cloud_http, relay, relay_tls, preview, page, host, certificates, flows)

    @property
    def page_url(self) -> str:
        """The page as this machine asks for it."""
        host = f"[{self.page_host}]" if ":" in self.page_host else self.page_host
        return f"http://{host}:{self.page}/"


def cloud_arguments(bundles: tuple[Bundle, ...], meeting: Meeting) -> list[str]:
    """``siftfunnel cloud``: every bundle, in plaintext and over TLS, recording what it hears."""
    certificates = meeting.certificates
    return [
        "cloud",
        *(f"--bundle={bundle.directory}" for bundle in bundles),
        f"--listen={LOOPBACK}:{meeting.cloud}",
        f"--tls-listen={LOOPBACK}:{meeting.cloud_tls}",
        f"--tls-cert={certificates.server}",
        f"--tls-key={certificates.server_key}",
        f"--http={LOOPBACK}:{meeting.cloud_http}",
        f"--record-flows={meeting.flows}",
    ]


def attacker_arguments(config: DemoConfig, meeting: Meeting, control: str | None) -> list[str]:
    """``siftfunnel attacker``: a relay in each path, the curious cloud's record, and the page."""
    return [
        "attacker",
        f"--tap=relay:{LOOPBACK}:{meeting.relay}:{LOOPBACK}:{meeting.cloud}",
        f"--tap=relay:{LOOPBACK}:{meeting.relay_tls}:{LOOPBACK}:{meeting.cloud_tls}",
        f"--tap=cloud:{meeting.flows}",
        *(f"--bundle={bundle.directory}" for bundle in config.bundles),
        *(f"--inverter={place}" for place in config.inverters),
        f"--http={f'[{config.page_host}]' if ':' in config.page_host else config.page_host}:{meeting.page}",
        *(f"--page-name={name}" for name in config.page_names),
        f"--preview=http://{LOOPBACK}:{meeting.preview}",
        *([f"--control={control}"] if control else []),
    ]


def edge_arguments(
    choice: Choice, first_sequence: int, meeting: Meeting, outcomes: Path, summary: Path
) -> list[str]:
    """``siftfunnel edge``: the bundles of one turn at once, through the attacker's relay."""
    places = [(str(bundle.directory), choice.codecs[bundle.name]) for bundle in choice.pair.bundles]
    return [
        "edge",
        f"--server={LOOPBACK}:{meeting.relay_tls if choice.tls else meeting.relay}",
        *(f"--bundle={place}" for place, _ in places),
        *(f"--codec={place}={codec}" for place, codec in places),
        "--source=jsonl:-",
        f"--first-sequence={first_sequence}",
        f"--preview={LOOPBACK}:{meeting.preview}",
        f"--output=jsonl:{outcomes}",
        f"--summary={summary}",
        *([f"--tls-ca={meeting.certificates.ca}"] if choice.tls else []),
    ]
