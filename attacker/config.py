"""What an attacker process needs to know, checked before anything starts."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from siftfunnel.attacker.feeds.config import Endpoint, FeedConfig
from siftfunnel.attacker.workshop import WorkshopConfig
from siftfunnel.shared.hosts import is_host_name
from siftfunnel.shared.showing import without_credentials

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,256}")


@dataclass(frozen=True)
class AttackerConfig:
    """One attacker process.

    Attributes:
        taps: where it listens; one or more.
        http: where the page is served; port 0 takes a free one.
        bundles: directories of bundles, or bundles themselves.
        inverters: likewise.
        preview: the edge's preview (http://HOST:PORT), None for none.
        control: the conductor's address (http://HOST:PORT), None for none.
        record: a file for flow records, None for none.
        retention_mb: how large the record may grow, 10^6 bytes.
        page_names: names that the page answers to, beside localhost and addresses.
        page_token: what a visitor of the page must show, None where everyone may look.
        workshop: bounds of reconstruction.

    Raises:
        ValueError: no tap, or an address, a name or a token that is not one.
    """

    taps: tuple[FeedConfig, ...]
    http: Endpoint
    bundles: tuple[Path, ...] = ()
    inverters: tuple[Path, ...] = ()
    preview: str | None = None
    control: str | None = None
    record: Path | None = None
    retention_mb: float = 64.0
    page_names: tuple[str, ...] = ()
    page_token: str | None = field(default=None, repr=False)
    workshop: WorkshopConfig = field(default_factory=WorkshopConfig)

    def __post_init__(self) -> None:
        if not self.taps:
            raise ValueError(
                "no tap was given: say where to listen with --tap (see `siftfunnel attacker --help`)"
            )
        for flag, address in (("--preview", self.preview), ("--control", self.control)):
            if address is not None:
                check_address(flag, address)
        for name in self.page_names:
            if not is_host_name(name):
                raise ValueError(f"--page-name must be a host's name without a port, not {name!r}")
        if self.page_token is not None and not _TOKEN.fullmatch(self.page_token):
            raise ValueError("the page's token must be 16 or more of the characters A-Z a-z 0-9 - _")
        if not self.retention_mb > 0:
            raise ValueError(f"--retention-mb must be above 0, not {self.retention_mb}")


def check_address(flag: str, address: str) -> None:
    """Refuse what is not an http address.

    Raises:
        ValueError: naming the flag.

    >>> check_address("--preview", "http://edge:8090")
    """
    try:
        parts = urlsplit(address)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(
            f"{flag} must be an address such as http://127.0.0.1:8090, not {without_credentials(address)!r}"
        )
