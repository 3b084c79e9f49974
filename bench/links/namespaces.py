"""Two network namespaces on one machine, the device's and the cloud's, and a link that the kernel keeps.

Needs the rights of an administrator (CAP_NET_ADMIN and CAP_SYS_ADMIN) and iproute2. Names carry the process
number of their maker, so that what a killed run left behind is found and removed by the next.
"""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from siftfunnel.bench.children import NotStartedError
from siftfunnel.bench.links.profiles import Direction, LinkProfile

DEVICE_ADDRESS, CLOUD_ADDRESS = "10.98.0.1", "10.98.0.2"
INTERFACE = "sift0"
"""At both ends."""
PREFIX_LENGTH = 24
MTU_BYTES = 1500
_OURS = re.compile(r"^siftfunnel-(\d+)-(device|cloud)$")


class LinkUnavailableError(NotStartedError):
    """This machine cannot emulate the link that way; says what it lacks."""


@dataclass(frozen=True)
class Namespaces:
    """The two ends.

    Attributes:
        device: Name of the namespace in which the device runs.
        cloud: Name of the namespace in which the cloud runs.
    """

    device: str
    cloud: str

    def within(self, namespace: str, command: list[str]) -> list[str]:
        """The command line that runs ``command`` inside one of the two."""
        return ["ip", "netns", "exec", namespace, *command]


def ip(*arguments: str) -> None:
    """Run iproute2's ``ip``.

    Raises:
        LinkUnavailableError: it failed; with what it said.
    """
    made = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if made.returncode:
        raise LinkUnavailableError(f"`ip {' '.join(arguments)}` failed: {made.stderr.strip()}")


def missing_for_namespaces() -> str | None:
    """What this machine lacks to make namespaces, in words; None when it lacks nothing."""
    if shutil.which("ip") is None:
        return "the command `ip` (package iproute2)"
    if os.geteuid() != 0:
        return "the rights of root"
    return None


@contextlib.contextmanager
def two_namespaces() -> Iterator[Namespaces]:
    """Make the namespaces, with loopback up, and remove them afterwards.

    Raises:
        LinkUnavailableError: no rights, or no iproute2.
    """
    lacking = missing_for_namespaces()
    if lacking:
        raise LinkUnavailableError(f"emulating a link with namespaces needs {lacking}")
    remove_stale()
    names = Namespaces(f"siftfunnel-{os.getpid()}-device", f"siftfunnel-{os.getpid()}-cloud")
    made: list[str] = []
    try:
        for name in (names.device, names.cloud):
            ip("netns", "add", name)
            made.append(name)
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in made:
            with contextlib.suppress(LinkUnavailableError):
                ip("netns", "delete", name)


def remove_stale(directory: Path = Path("/run/netns")) -> list[str]:
    """Delete namespaces of ours whose maker is gone; returns their names."""
    gone = [
        path.name
        for path in (sorted(directory.iterdir()) if directory.is_dir() else [])
        if (found := _OURS.match(path.name)) and not Path(f"/proc/{found[1]}").exists()
    ]
    for name in gone:
        with contextlib.suppress(LinkUnavailableError):
            ip("netns", "delete", name)
    return gone


def address(interface: str, namespace: str, own: str) -> None:
    """Give an interface of a namespace its address and bring it up."""
    ip("-n", namespace, "addr", "add", f"{own}/{PREFIX_LENGTH}", "dev", interface)
    ip("-n", namespace, "link", "set", interface, "mtu", str(MTU_BYTES), "up")


def netem_arguments(direction: Direction) -> list[str]:
    """What follows ``tc qdisc add dev X root``.

    Example:
        >>> " ".join(netem_arguments(Direction(750, delay_ms=75, loss=0.001)))
        'netem limit 1000 delay 75ms loss 0.1% rate 750kbit'
    """
    made = ["netem", "limit", str(direction.queue_packets), "delay", f"{direction.delay_ms:g}ms"]
    if direction.jitter_ms:
        made.append(f"{direction.jitter_ms:g}ms")
    if direction.loss:
        made += ["loss", f"{direction.loss * 100:g}%"]
    if direction.rate_kbit_s is not None:
        made += ["rate", f"{direction.rate_kbit_s:g}kbit"]
    return made


def shape(namespace: str, interface: str, direction: Direction) -> None:
    """Put netem on what an interface sends.

    Raises:
        LinkUnavailableError: the kernel has no netem, or refuses.
    """
    command = ["tc", "-n", namespace, "qdisc", "add", "dev", interface, "root", *netem_arguments(direction)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise LinkUnavailableError(f"the kernel's netem cannot be used here: {made.stderr.strip()}")


@contextlib.contextmanager
def netem_link(profile: LinkProfile, namespaces: Namespaces) -> Iterator[None]:
    """Lay the link between two namespaces, a veth pair with netem on both ends; it goes with them.

    netem reorders packets where there is jitter and no rate; with a rate it keeps their order, as others do.

    Raises:
        LinkUnavailableError: no ``tc``, no veth, or no netem.
    """
    if shutil.which("tc") is None:
        raise LinkUnavailableError("netem needs the command `tc` (package iproute2)")
    ends = f"sd{os.getpid()}", f"sc{os.getpid()}"
    ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
    sides = (
        (ends[0], namespaces.device, DEVICE_ADDRESS, profile.up),
        (ends[1], namespaces.cloud, CLOUD_ADDRESS, profile.down),
    )
    for end, namespace, own, direction in sides:
        ip("link", "set", end, "netns", namespace)
        ip("-n", namespace, "link", "set", end, "name", INTERFACE)
        address(INTERFACE, namespace, own)
        shape(namespace, INTERFACE, direction)
    yield
