"""The best emulation of a link that this machine offers, calibrated: results print what it measures."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from siftfunnel.bench.children import NotStartedError, announced, asked, child
from siftfunnel.bench.links import probe
from siftfunnel.bench.links.namespaces import (
    CLOUD_ADDRESS,
    DEVICE_ADDRESS,
    LinkUnavailableError,
    Namespaces,
    ip,
    netem_link,
    two_namespaces,
)
from siftfunnel.bench.links.probe import Bursts, Calibration
from siftfunnel.bench.links.profiles import PACKETS, Emulation, LinkProfile
from siftfunnel.bench.links.relay import relay_link
from siftfunnel.bench.links.tun import tun_link
from siftfunnel.bench.stored import read
from siftfunnel.shared.ports import LOOPBACK

CALIBRATION_TIMEOUT_S = 300

LIMITS: dict[Emulation, str] = {
    "netem": "the kernel (netem), packet by packet",
    "tun": "a process between two TUN interfaces, packet by packet",
    "relay": "a TCP relay: rate and delay of a long-lived connection; neither loss nor slow start",
    "none": "no emulation",
}
"""What each emulation does and cannot do, in words, for reports."""


@dataclass(frozen=True)
class Link:
    """A link in place.

    Attributes:
        profile: What was asked for.
        emulation: Who keeps it.
        namespaces: Its two ends; None where both ends are in this namespace.
        refused: Better emulations, each with why it cannot be had here.
    """

    profile: LinkProfile
    emulation: Emulation
    namespaces: Namespaces | None
    refused: tuple[str, ...]

    @property
    def host(self) -> str:
        """Address on which a server at the cloud's end listens."""
        return LOOPBACK if self.namespaces is None else CLOUD_ADDRESS

    def at_device(self, command: list[str]) -> list[str]:
        """The command line that runs ``command`` at the device's end."""
        return command if self.namespaces is None else self.namespaces.within(self.namespaces.device, command)

    def at_cloud(self, command: list[str]) -> list[str]:
        """The command line that runs ``command`` at the cloud's end."""
        return command if self.namespaces is None else self.namespaces.within(self.namespaces.cloud, command)

    @contextlib.contextmanager
    def towards(self, server: str) -> Iterator[str]:
        """Where a client at the device's end reaches a server (HOST:PORT) at the cloud's end."""
        if self.emulation == "relay":
            with relay_link(self.profile, server) as through:
                yield through
        else:
            yield server

    def check_can_drop(self) -> Namespaces:
        """Its two ends, where it can be taken down.

        Raises:
            LinkUnavailableError: they are in no namespaces of their own.
        """
        if self.namespaces is None:
            raise LinkUnavailableError(
                f"a link kept by {self.emulation} cannot be dropped; dropping needs namespaces (root)"
            )
        return self.namespaces

    def drop(self, seconds: float) -> None:
        """Take it down for a time: both ends' packets vanish, without a word to their sockets.

        Raises:
            LinkUnavailableError: see `check_can_drop`.
        """
        ends = self.check_can_drop()
        with contextlib.ExitStack() as stack:
            for namespace, other in ((ends.device, CLOUD_ADDRESS), (ends.cloud, DEVICE_ADDRESS)):
                # a route of one address goes before that of the link's network
                ip("-n", namespace, "route", "add", "blackhole", f"{other}/32")
                stack.callback(ip, "-n", namespace, "route", "delete", "blackhole", f"{other}/32")
            time.sleep(seconds)

    def calibrate(self, bulk_s: float = probe.BULK_S, bursts: Bursts | None = None) -> Calibration:
        """Measure the link, for some ten seconds.

        Args:
            bulk_s: How long each direction is flooded.
            bursts: Single packets, where the link is one of packets; None suits them to its rate.

        Raises:
            LinkUnavailableError: its two ends cannot talk.
        """
        if self.emulation == "relay":
            bursts = None
        elif bursts is None:
            rates = [way.rate_kbit_s for way in (self.profile.up, self.profile.down) if way.rate_kbit_s]
            bursts = Bursts.for_rate(min(rates, default=None))
        small = None if bursts is None else asdict(bursts)
        with (
            announced(self.at_cloud(child(probe.serve, host=self.host))) as served,
            self.towards(f"{self.host}:{served.told['port']}") as server,
        ):
            command = child(probe.tell_measured, server=server, bursts=small, bulk_s=bulk_s)
            try:
                made = asked(self.at_device(command), CALIBRATION_TIMEOUT_S)
            except (NotStartedError, subprocess.TimeoutExpired) as error:
                raise LinkUnavailableError(
                    f"the link {self.profile.name} carries nothing: {error}"
                ) from error
        return read(Calibration, made, "calibration")


@dataclass(frozen=True)
class MeasuredLink:
    """What `siftfunnel bench links` writes of one link.

    Attributes:
        link: As asked for.
        emulation, refused: As in `Link`.
        measured: What it did.
    """

    link: LinkProfile
    emulation: Emulation
    refused: tuple[str, ...]
    measured: Calibration


def told(link: Link) -> str:
    """What was asked for, who keeps it, and why nobody better does, for progress."""
    refused = (f"\n  not by {refusal}" for refusal in link.refused)
    return f"{link.profile.name}: asked {link.profile}; kept by {LIMITS[link.emulation]}{''.join(refused)}"


@contextlib.contextmanager
def open_link(profile: LinkProfile, wanted: Emulation | None = None, *, seed: int = 1) -> Iterator[Link]:
    """Lay a link with the best emulation there is, or the one that is wanted.

    Args:
        profile: The link.
        wanted: One emulation and no other.
        seed: Of loss and jitter, where this process draws them.

    Raises:
        LinkUnavailableError: what is wanted cannot be had here; says why.
    """
    if wanted is None and profile.is_unlimited:
        wanted = "none"
    choices: tuple[Emulation, ...] = (wanted,) if wanted else ("netem", "tun", "relay")
    refused: list[str] = []
    with contextlib.ExitStack() as stack:
        for emulation in choices:
            try:
                ends = stack.enter_context(_laid(emulation, profile, seed))
            except NotStartedError as error:
                refused.append(f"{emulation}: {error}")
                continue
            yield Link(profile, emulation, ends, tuple(refused))
            return
    raise LinkUnavailableError("; ".join(refused))


@contextlib.contextmanager
def _laid(emulation: Emulation, profile: LinkProfile, seed: int) -> Iterator[Namespaces | None]:
    """Without packets both ends stay here, and a relay is started for each server (``Link.towards``)."""
    if emulation not in PACKETS:
        yield None
        return
    with two_namespaces() as ends, contextlib.ExitStack() as stack:
        stack.enter_context(
            netem_link(profile, ends) if emulation == "netem" else tun_link(profile, ends, seed=seed)
        )
        yield ends
