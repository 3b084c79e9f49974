"""What an attacker process needs to know, checked before anything starts; its fields are its flags."""

import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from siftfunnel.attacker.feeds.config import TapConfig
from siftfunnel.shared.hosts import is_host_name, is_loopback
from siftfunnel.shared.ports import LOOPBACK, Endpoint
from siftfunnel.shared.settings import check, setting
from siftfunnel.shared.showing import without_credentials

DEFAULT_HTTP = Endpoint(LOOPBACK, 8080)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,256}")


@dataclass(frozen=True)
class AttackerConfig:
    """One attacker process.

    Attributes:
        bundles: directories of bundles, or bundles themselves.
        inverters: likewise.
        page_token: what a visitor of the page must show. None where everyone may look: on loopback, or where
            `page_anyone` says so; else one is drawn.

    Raises:
        ValueError: no tap, or an address, a name or a token that is not one.
    """

    taps: tuple[TapConfig, ...] = setting((), "where to listen; see below", flag="--tap", metavar="TAP")
    record: Path | None = setting(
        None, "keep what is overheard as JSON lines (replay it with cloud:FILE)", flag="--record-flows"
    )
    retention_mb: float = setting(
        64.0, "size that the record may reach, 10^6 bytes; the oldest goes", metavar="N", above=0
    )
    http: Endpoint = setting(
        DEFAULT_HTTP,
        "where the page is served; port 0 takes a free one",
        metavar="HOST:PORT",
        read=lambda text: Endpoint.parse(text, default_host=LOOPBACK),
    )
    preview: str | None = setting(None, "the edge's preview: originals, for scoring only", metavar="URL")
    control: str | None = setting(None, "the demo's conductor: switches appear on the page", metavar="URL")
    page_names: tuple[str, ...] = setting(
        (),
        "answer to this host name too, beside localhost and addresses; may be repeated",
        flag="--page-name",
    )
    page_anyone: bool = setting(
        False,
        "ask no token of visitors from other machines: something else keeps strangers from that address",
    )
    bundles: tuple[Path, ...] = ()
    inverters: tuple[Path, ...] = ()
    page_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check(self)
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
        if self.page_token is None and not self.page_anyone and not is_loopback(self.http.host):
            object.__setattr__(self, "page_token", secrets.token_urlsafe(18))
        if self.page_token is not None and not _TOKEN.fullmatch(self.page_token):
            raise ValueError("the page's token must be 16 or more of the characters A-Z a-z 0-9 - _")


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
