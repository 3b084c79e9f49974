"""The best emulation of a link that this machine offers, calibrated: results print what it measures."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from siftfunnel.bench.links.namespaces import (
    CLOUD_ADDRESS,
    LinkUnavailableError,
    Namespaces,
    missing_for_namespaces,
    two_namespaces,
)
from siftfunnel.bench.links.netem import netem_link
from siftfunnel.bench.links.probe import Bursts, Calibration
from siftfunnel.bench.links.profiles import LinkProfile
from siftfunnel.bench.links.relay import relay_link
from siftfunnel.bench.links.tun import missing_for_tun, tun_link
from siftfunnel.shared.children import python_module

LOOPBACK = "127.0.0.1"

Emulation = Literal["netem", "tun", "relay", "none"]

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

    def calibrate(self) -> Calibration:
        """Measure the link, for some ten seconds.

        Raises:
            LinkUnavailableError: its two ends cannot talk.
        """
        module = python_module("siftfunnel.bench.links.probe")
        served = subprocess.Popen(
            self.at_cloud([*module, "serve", self.host]), stdout=subprocess.PIPE, text=True
        )
        assert served.stdout is not None
        try:
            port = served.stdout.readline().strip()
            with self.towards(f"{self.host}:{port}") as server:
                host, _, through = server.rpartition(":")
                command = [*module, "measure", host, through]
                if self.emulation != "relay":
                    rates = [
                        way.rate_kbit_s for way in (self.profile.up, self.profile.down) if way.rate_kbit_s
                    ]
                    bursts = Bursts.for_rate(min(rates, default=None))
                    command += ["--datagrams", str(bursts.count), str(bursts.interval_s)]
                made = subprocess.run(
                    self.at_device(command), capture_output=True, text=True, check=False, timeout=300
                )
        finally:
            served.kill()
            served.wait()
            served.stdout.close()
        if made.returncode:
            raise LinkUnavailableError(f"the link {self.profile.name} carries nothing: {made.stderr.strip()}")
        return Calibration.from_json(made.stdout)


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
                ends = stack.enter_context(_LAYERS[emulation](profile, seed))
            except LinkUnavailableError as error:
                refused.append(f"{emulation}: {error}")
                continue
            yield Link(profile, emulation, ends, tuple(refused))
            return
    raise LinkUnavailableError("; ".join(refused))


@contextlib.contextmanager
def _lay_netem(profile: LinkProfile, seed: int) -> Iterator[Namespaces]:
    with two_namespaces() as ends, netem_link(profile, ends):
        yield ends


@contextlib.contextmanager
def _lay_tun(profile: LinkProfile, seed: int) -> Iterator[Namespaces]:
    with two_namespaces() as ends, tun_link(profile, ends, seed=seed):
        yield ends


def _lay_nothing(profile: LinkProfile, seed: int) -> contextlib.nullcontext[None]:
    """Both ends stay here; a relay is started for each server (``Link.towards``)."""
    return contextlib.nullcontext()


_LAYERS: dict[
    Emulation, Callable[[LinkProfile, int], contextlib.AbstractContextManager[Namespaces | None]]
] = {
    "netem": _lay_netem,
    "tun": _lay_tun,
    "relay": _lay_nothing,
    "none": _lay_nothing,
}


def missing_for_packets() -> str | None:
    """What this machine lacks to emulate packets, in words; None when it lacks nothing."""
    return missing_for_namespaces() or missing_for_tun()
