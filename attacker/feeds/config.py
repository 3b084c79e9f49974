"""The text form of a tap: `sniff:IFACE:PORT | relay:LISTEN:TARGET | pcap:FILE[:PORT] | cloud:FLOWS`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from siftfunnel.attacker.tap.events import FeedKind
from siftfunnel.shared.ports import LOOPBACK, MAX_PORT, Endpoint

FORMS = (
    "sniff:IFACE:PORT (listen on a network interface, e.g. sniff:eth0:50051)",
    "relay:LISTEN:TARGET (stand in the path; each is PORT or HOST:PORT, IPv6 in brackets, "
    "e.g. relay:7000:127.0.0.1:50051)",
    "pcap:FILE[:PORT] (a recorded capture, pcap or pcapng; PORT is the server's, for connections whose "
    "beginning was not captured)",
    "cloud:FLOWS (messages the cloud itself recorded, JSON lines)",
)

_HOST = r"(?:\[[0-9A-Fa-f:.%\w]+\]|[^:\[\]\s]+)"
_RELAY = re.compile(rf"(?:(?P<lh>{_HOST}):)?(?P<lp>\d+):(?:(?P<th>{_HOST}):)?(?P<tp>\d+)")


class TapError(ValueError):
    """The text is none of the forms of a tap."""

    def __init__(self, text: str, problem: str) -> None:
        listing = "".join(f"\n  {form}" for form in FORMS)
        super().__init__(f"cannot read the tap {text!r}: {problem}; a tap is one of{listing}")


class TapConfig:
    """Where to listen; `str` gives the text form back."""

    kind: ClassVar[FeedKind]

    @staticmethod
    def parse(text: str) -> "TapConfig":
        """Read a tap's text form.

        Raises:
            TapError: with what is wrong and the list of forms.

        >>> TapConfig.parse("relay:0:[::1]:50051").target
        Endpoint(host='::1', port=50051)
        """
        kind, _, rest = text.strip().partition(":")
        try:
            if kind not in _KINDS:
                raise ValueError(f"unknown kind {kind!r}")
            if not rest:
                raise ValueError(f"nothing follows '{kind}:'")
            return _KINDS[kind].read(rest)
        except ValueError as error:
            raise TapError(text, str(error)) from None

    @classmethod
    def read(cls, rest: str) -> Self:
        """Read what follows the kind; a ValueError says what is wrong with it."""
        raise NotImplementedError


@dataclass(frozen=True)
class SniffConfig(TapConfig):
    """Listen on `interface` to TCP connections whose server port is `port` (needs CAP_NET_RAW)."""

    kind = "sniff"
    interface: str
    port: int

    def __str__(self) -> str:
        return f"sniff:{self.interface}:{self.port}"

    @classmethod
    def read(cls, rest: str) -> Self:
        """See `TapConfig.read`."""
        interface, _, port = rest.rpartition(":")
        if not interface:
            raise ValueError("an interface and a port are needed")
        return cls(interface, _port(port, lowest=1))


@dataclass(frozen=True)
class RelayConfig(TapConfig):
    """Listen at `listen` (port 0: any free one) and pass every connection on to `target`."""

    kind = "relay"
    listen: Endpoint
    target: Endpoint

    def __str__(self) -> str:
        return f"relay:{self.listen}:{self.target}"

    @classmethod
    def read(cls, rest: str) -> Self:
        """See `TapConfig.read`.

        "A:1:2" reads as LISTEN A:1 with TARGET port 2 before LISTEN port A; only digits can be ambiguous, and
        "7000:8000:9000" would then be a host called 7000, which nobody has.
        """
        match = _RELAY.fullmatch(rest)
        if match is None:
            raise ValueError("LISTEN and TARGET are PORT or HOST:PORT each, IPv6 addresses in brackets")
        if match["lh"] and match["lh"].isdigit():
            raise ValueError(f"{match['lh']!r} is no host name; three numbers in a row are ambiguous")
        listen, target = _port(match["lp"], lowest=0), _port(match["tp"], lowest=1)
        hosts = [(match[name] or LOOPBACK).strip("[]") for name in ("lh", "th")]
        return cls(Endpoint(hosts[0], listen), Endpoint(hosts[1], target))


@dataclass(frozen=True)
class PcapConfig(TapConfig):
    """Replay the capture at `path`; `port` is the server's where that is known."""

    kind = "pcap"
    path: Path
    port: int | None = None

    def __str__(self) -> str:
        return f"pcap:{self.path}" if self.port is None else f"pcap:{self.path}:{self.port}"

    @classmethod
    def read(cls, rest: str) -> Self:
        """See `TapConfig.read`."""
        path, _, port = rest.rpartition(":")
        if path and port.isdecimal():
            return cls(Path(path), _port(port, lowest=1))
        return cls(Path(rest))


@dataclass(frozen=True)
class CloudConfig(TapConfig):
    """Read flow records at `path` and follow the file as it grows."""

    kind = "cloud"
    path: Path

    def __str__(self) -> str:
        return f"cloud:{self.path}"

    @classmethod
    def read(cls, rest: str) -> Self:
        """See `TapConfig.read`."""
        return cls(Path(rest))


_KINDS: dict[str, type[TapConfig]] = {
    each.kind: each for each in (SniffConfig, RelayConfig, PcapConfig, CloudConfig)
}


def _port(port: str, lowest: int) -> int:
    if not port.isdecimal() or not lowest <= int(port) <= MAX_PORT:
        raise ValueError(f"{port!r} is not a port between {lowest} and {MAX_PORT}")
    return int(port)
