"""Command lines of the three parties as the demo starts them, and where they meet."""

from dataclasses import dataclass
from pathlib import Path

from shared.bundle import Bundle
from shared.ports import LOOPBACK, free_ports
from siftfunnel.certs import CertificateFiles
from siftfunnel.demo.choice import DemoConfig

ENDLESS_FRAMES = 10**9


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
    certificates: CertificateFiles
    flows: Path

    @classmethod
    def arrange(cls, page: int, certificates: CertificateFiles, flows: Path) -> "Meeting":
        """Find free ports; ``page`` 0 finds one for the page too."""
        cloud, cloud_tls, cloud_http, relay, relay_tls, preview, spare = free_ports(7)
        return cls(
            cloud, cloud_tls, cloud_http, relay, relay_tls, preview, page or spare, certificates, flows
        )

    @property
    def page_url(self) -> str:
        """Where a person looks."""
        return f"http://{LOOPBACK}:{self.page}/"


@dataclass(frozen=True)
class Turn:
    """One run of the edge.

    Attributes:
        bundle: what it plays.
        codec: how features are encoded.
        tls: whether it speaks to the service over TLS.
        first_sequence: number of its first frame.
        frames: how many it sends; None: until it is stopped.
        seed: of the order of the pictures.
    """

    bundle: Bundle
    codec: str
    tls: bool
    first_sequence: int
    frames: int | None
    seed: int


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
        f"--http={LOOPBACK}:{meeting.page}",
        f"--preview=http://{LOOPBACK}:{meeting.preview}",
        *([f"--control={control}"] if control else []),
    ]


def edge_arguments(
    config: DemoConfig, turn: Turn, meeting: Meeting, outcomes: Path, summary: Path
) -> list[str]:
    """``siftfunnel edge``: one bundle's turn, through the attacker's relay."""
    port = meeting.relay_tls if turn.tls else meeting.relay
    arguments = [
        "edge",
        f"--server={LOOPBACK}:{port}",
        f"--bundle={turn.bundle.directory}",
        f"--codec={turn.codec}",
        f"--source={config.images}",
        f"--shuffle={turn.seed}",
        f"--first-sequence={turn.first_sequence}",
        f"--preview={LOOPBACK}:{meeting.preview}",
        f"--output=jsonl:{outcomes}",
        f"--summary={summary}",
        # A folder begins again only where a number of frames is given.
        f"--frames={turn.frames or ENDLESS_FRAMES}",
    ]
    if config.rate_fps is not None:
        arguments.append(f"--rate={config.rate_fps:g}")
    if turn.tls:
        arguments.append(f"--tls-ca={meeting.certificates.ca}")
    return arguments
