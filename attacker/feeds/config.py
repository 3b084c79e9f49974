"""The text form of a tap: `sniff:IFACE:PORT | relay:LISTEN:TARGET | pcap:FILE[:PORT] | cloud:FLOWS`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FORMS = (
    "sniff:IFACE:PORT (listen on a network interface, e.g. sniff:eth0:50051)",
    "relay:LISTEN:TARGET (stand in the path; each is PORT or HOST:PORT, IPv6 in brackets, "
    "e.g. relay:7000:127.0.0.1:50051)",
    "pcap:FILE[:PORT] (a recorded capture, pcap or pcapng; PORT is the server's, for connections whose "
    "beginning was not captured)",
    "cloud:FLOWS (messages the cloud itself recorded, JSON lines)",
)


class TapError(ValueError):
    """The text is none of the forms of a tap."""

    def __init__(self, text: str, problem: str) -> None:
        listing = "".join(f"\n  {form}" for form in FORMS)
        super().__init__(f"cannot read the tap {text!r}: {problem}; a tap is one of{listing}")


@dataclass(frozen=True)
class Endpoint:
    """A TCP address; `host` without brackets, `port` 0 only where a free port may be picked."""

    host: str
    port: int

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port {self.port} is not between 0 and 65535")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class SniffConfig:
    """Listen on `interface` to TCP connections whose server port is `port` (needs CAP_NET_RAW)."""

    interface: str
    port: int

    def __str__(self) -> str:
        return f"sniff:{self.interface}:{self.port}"


@dataclass(frozen=True)
class RelayConfig:
    """Listen at `listen` (port 0: any free one) and pass every connection on to `target`."""

    listen: Endpoint
    target: Endpoint

    def __str__(self) -> str:
        return f"relay:{self.listen}:{self.target}"


@dataclass(frozen=True)
class PcapConfig:
    """Replay the capture at `path`; `port` is the server's where that is known."""

    path: Path
    port: int | None = None

    def __str__(self) -> str:
        return f"pcap:{self.path}" if self.port is None else f"pcap:{self.path}:{self.port}"


@dataclass(frozen=True)
class CloudConfig:
    """Read flow records at `path` and follow the file as it grows."""

    path: Path

    def __str__(self) -> str:
        return f"cloud:{self.path}"


FeedConfig = SniffConfig | RelayConfig | PcapConfig | CloudConfig

_HOST = r"(?:\[[0-9A-Fa-f:.%\w]+\]|[^:\[\]\s]+)"
_RELAY = re.compile(rf"(?:(?P<lh>{_HOST}):)?(?P<lp>\d+):(?:(?P<th>{_HOST}):)?(?P<tp>\d+)")


def parse_tap(text: str) -> FeedConfig:
    """Read a tap's text form.

    Raises:
        TapError: with what is wrong and the list of forms.

    >>> parse_tap("relay:0:[::1]:50051").target
    Endpoint(host='::1', port=50051)
    """
    kind, _, rest = text.strip().partition(":")
    if kind not in _READERS:
        raise TapError(text, f"unknown kind {kind!r}")
    if not rest:
        raise TapError(text, f"nothing follows '{kind}:'")
    return _READERS[kind](text, rest)


def _sniff(text: str, rest: str) -> SniffConfig:
    interface, _, port = rest.rpartition(":")
    if not interface:
        raise TapError(text, "an interface and a port are needed")
    return SniffConfig(interface, _port(text, port, lowest=1))


def _relay(text: str, rest: str) -> RelayConfig:
    # "A:1:2" reads as LISTEN A:1 with TARGET port 2 before LISTEN port A; only digits can be ambiguous, and
    # "7000:8000:9000" would then be a host called 7000, which nobody has.
    match = _RELAY.fullmatch(rest)
    if match is None:
        raise TapError(text, "LISTEN and TARGET are PORT or HOST:PORT each, IPv6 addresses in brackets")
    if match["lh"] and match["lh"].isdigit():
        raise TapError(text, f"{match['lh']!r} is no host name; three numbers in a row are ambiguous")
    listen = Endpoint(_bare(match["lh"] or "127.0.0.1"), _port(text, match["lp"], lowest=0))
    target = Endpoint(_bare(match["th"] or "127.0.0.1"), _port(text, match["tp"], lowest=1))
    return RelayConfig(listen, target)


def parse_relay(text: str) -> RelayConfig:
    """Like `parse_tap`, for a relay only."""
    config = parse_tap(text)
    if not isinstance(config, RelayConfig):
        raise TapError(text, "a relay is needed")
    return config


def _pcap(text: str, rest: str) -> PcapConfig:
    path, _, port = rest.rpartition(":")
    if path and port.isdecimal():
        return PcapConfig(Path(path), _port(text, port, lowest=1))
    return PcapConfig(Path(rest))


def _cloud(text: str, rest: str) -> CloudConfig:
    return CloudConfig(Path(rest))


def _bare(host: str) -> str:
    return host.strip("[]")


def _port(text: str, port: str, lowest: int) -> int:
    if not port.isdecimal() or not lowest <= int(port) <= 65535:
        raise TapError(text, f"{port!r} is not a port between {lowest} and 65535")
    return int(port)


_READERS: dict[str, Callable[[str, str], FeedConfig]] = {
    "sniff": _sniff,
    "relay": _relay,
    "pcap": _pcap,
    "cloud": _cloud,
}
